"""What memory goes to: an idle broker, a connection, a queue, a consumer, a binding."""
from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from amqp091.methods import (
    BasicConsume,
    BasicConsumeOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
)
from bench.footprint.row import Row
from bench.footprint.usage import ENDS, Usage, growth_by_process, kernel_socket_bytes, usage
from bench.footprint.wire import Wire, hang_up
from bench.perf.local_broker import LocalBroker

MIB: Final = 1 << 20
KIB: Final = 1 << 10
IDLE_MIB_MAX: Final = 150
CONNECTION_KIB_MAX: Final = 20
QUEUE_KIB_MAX: Final = 4
"""The targets."""
MANY: Final = 4
"""Of gateways, and of shards: each knows every queue."""


@contextmanager
def started(gateways: int = 1, shards: int = 1) -> Iterator[LocalBroker]:
    """A broker of its own on fresh data."""
    with tempfile.TemporaryDirectory(prefix="warren-footprint-") as name, \
            LocalBroker(Path(name), gateways, shards) as broker:
        try:
            yield broker
        finally:
            hang_up(list(Wire.open))        # who does not answer a goodbye is waited for


def idle(scale: float) -> list[Row]:
    """Right after the start; one gateway and one shard, and four of each."""
    rows = []
    for processes in (1, MANY):
        with started(processes, processes) as broker:
            found = usage(broker)
            rows.append(Row(
                "idle broker", f"{processes} gateways, {processes} shards", "MiB", round(found.pss / MIB, 1),
                IDLE_MIB_MAX, {"MiB by process": {name: round(size / MIB, 1)
                                                  for name, size in found.by_process.items()}}))
    return rows


def connections(scale: float) -> list[Row]:
    """Idle ones with one channel each; and what the kernel takes for the broker's end of their sockets."""
    count = scaled(10_000, scale)
    with started() as broker:
        with_one = [Wire(broker.url)]
        before, kernel_before = usage(broker), kernel_socket_bytes()
        wires = [Wire(broker.url) for _ in range(count)]
        after, kernel_after = usage(broker), kernel_socket_bytes()
        rows = [_each("idle connection", "with one channel", before, after, count, CONNECTION_KIB_MAX)]
        if kernel_before is not None and kernel_after is not None:
            of_kernel = max(0, kernel_after - kernel_before) / ENDS / count
            rows.append(Row("idle connection", "kernel's memory for its socket", "KiB", round(of_kernel / KIB, 2)))
        hang_up(wires)
        emptied = usage(broker)
        kept = max(0, emptied.pss - before.pss)
        rows.append(Row("idle connection", "left when all are gone", "KiB", round(kept / count / KIB, 2),
                        details={"connections": count}))
        for wire in with_one:
            wire.close()
    return rows


def queues(scale: float) -> list[Row]:
    """Idle ones, with and without a consumer, and bindings."""
    count = scaled(10_000, scale)
    rows = []
    for durable, name in ((True, "durable"), (False, "transient")):
        rows.append(_grown("idle queue", f"classic, {name}", count, QUEUE_KIB_MAX, _nothing,
                           partial(declare, queue_names=names(count), durable=durable)))
    rows.append(_grown("idle consumer", "on a queue of its own", count, QUEUE_KIB_MAX,
                       lambda wire: declare(wire, names(count)), lambda wire: consume(wire, names(count))))
    for kind, key in (("direct", "key.{}"), ("topic", "*.key.{}.#")):
        rows.append(_grown("idle binding", f"{kind} exchange, durable", count, QUEUE_KIB_MAX,
                           partial(bindable, kind=kind),
                           partial(bind, keys=[key.format(number) for number in range(count)])))
    return rows


def queues_many_processes(scale: float) -> list[Row]:
    """Idle ones, where every process of many knows each. With few of them it tells what a process has once."""
    count = scaled(10_000, scale)
    return [_grown(f"idle queue, {MANY} gateways and shards", "classic, durable", count, QUEUE_KIB_MAX, _nothing,
                   partial(declare, queue_names=names(count), durable=True), processes=MANY)]


# -- doing


def scaled(count: int, scale: float) -> int:
    return max(10, int(count * scale))


def names(count: int) -> list[str]:
    """All of one length."""
    return [f"queue-{number:06}" for number in range(count)]


def declare(wire: Wire, queue_names: Sequence[str], *, durable: bool = False, exclusive: bool = False) -> None:
    wire.calls((QueueDeclare(queue=name, durable=durable, exclusive=exclusive) for name in queue_names),
               QueueDeclareOk)


def consume(wire: Wire, queue_names: Sequence[str]) -> None:
    """With automatic acknowledgement."""
    wire.calls((BasicConsume(queue=name, consumer_tag=name, no_ack=True) for name in queue_names), BasicConsumeOk)


def bindable(wire: Wire, kind: str) -> None:
    """A durable exchange and a durable queue, `bound` both."""
    wire.call(ExchangeDeclare(exchange="bound", type=kind, durable=True), ExchangeDeclareOk)
    declare(wire, ["bound"], durable=True)


def bind(wire: Wire, keys: Sequence[str]) -> None:
    wire.calls((QueueBind(queue="bound", exchange="bound", routing_key=key) for key in keys), QueueBindOk)


def _nothing(wire: Wire) -> None:
    pass


def _grown(
    subject: str, quantity: str, count: int, target_kib: float, prepare: Callable[[Wire], None],
    grow: Callable[[Wire], None], processes: int = 1,
) -> Row:
    with started(processes, processes) as broker:
        wire = Wire(broker.url)
        prepare(wire)
        before = usage(broker)
        grow(wire)
        after = usage(broker)
        wire.close()
    return _each(subject, quantity, before, after, count, target_kib)


def _each(subject: str, quantity: str, before: Usage, after: Usage, count: int, target_kib: float) -> Row:
    return Row(subject, quantity, "KiB", round((after.pss - before.pss) / count / KIB, 2), target_kib,
               {"number": count, "bytes by process": growth_by_process(before, after, count)})
