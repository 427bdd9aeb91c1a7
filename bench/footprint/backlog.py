"""A backlog of messages in one queue: the memory that each takes, and what publishing and consuming cost beside it."""
from __future__ import annotations

from typing import Final

from amqp091.methods import QueuePurge, QueuePurgeOk
from bench.footprint.cost import MESSAGES, compared, timed
from bench.footprint.memory import declare, scaled, started
from bench.footprint.row import Row
from bench.footprint.usage import usage
from bench.footprint.wire import Wire, publishes
from bench.perf.local_broker import LocalBroker

MESSAGE_BYTES_MAX: Final = 32
"""The target."""
MANY: Final = 10_000_000
"""The goal's number."""
BLOB_MESSAGES: Final = 1000


def memory(scale: float) -> list[Row]:
    """Of a backlog in one queue, 100 bytes each, beyond the files that hold them."""
    return [_waiting(count, persistent=persistent)
            for count in dict.fromkeys((scaled(1_000_000, scale), scaled(MANY, scale))) for persistent in (True, False)]


def deep(scale: float) -> list[Row]:
    """The same for the goal's number of persistent messages alone: half a minute."""
    return [_waiting(scaled(MANY, scale), persistent=True)]


def _waiting(count: int, *, persistent: bool) -> Row:
    with started() as broker:
        wire = Wire(broker.url)
        declare(wire, ["backlog"], durable=persistent)
        fill(wire, "backlog", BLOB_MESSAGES, persistent=persistent)
        before = usage(broker)
        fill(wire, "backlog", count, persistent=persistent)
        after = usage(broker)
        wire.close()
    return Row(
        "message in a backlog", f"{'persistent' if persistent else 'transient'}, {count:,} of them", "bytes",
        round((after.anonymous - before.anonymous) / count, 2), MESSAGE_BYTES_MAX,
        {"mapped files": round((after.files - before.files) / count, 1),
         "/dev/shm": round((after.shared - before.shared) / count, 1)})


def growth(scale: float) -> list[Row]:
    """Publishing to the end of a long queue, and consuming from its beginning."""
    many, some = scaled(MANY, scale), scaled(MESSAGES, scale) // 4
    return [*_shallow_and_deep(many, some, persistent=True), *_shallow_and_deep(many, some, persistent=False)]


def _shallow_and_deep(deep: int, some: int, *, persistent: bool) -> list[Row]:
    kind = "persistent" if persistent else "transient"
    with started() as broker:
        wire = Wire(broker.url)
        declare(wire, ["backlog"], durable=persistent)

        def fill_some() -> None:
            fill(wire, "backlog", some, persistent=persistent)

        fill_some()                                     # warm
        wire.call(QueuePurge(queue="backlog"), QueuePurgeOk)
        shallow_in = timed(broker, some, fill_some)
        shallow_out = timed(broker, some, lambda: _drain(broker, some))
        fill(wire, "backlog", deep, persistent=persistent)
        deep_in = timed(broker, some, fill_some)
        deep_out = timed(broker, some, lambda: _drain(broker, some))
        wire.close()
    return [
        compared("backlog", f"publish behind {deep:,} {kind} messages", shallow_in, deep_in),
        compared("backlog", f"consume from {deep:,} {kind} messages", shallow_out, deep_out),
    ]


def fill(wire: Wire, queue: str, count: int, *, persistent: bool) -> None:
    """So many messages in it, all confirmed."""
    blob = publishes("", [queue] * BLOB_MESSAGES, persistent=persistent)
    size = len(blob) // BLOB_MESSAGES
    for start in range(0, count, BLOB_MESSAGES):
        some = min(BLOB_MESSAGES, count - start)
        wire.publish(blob[: some * size], some)


def _drain(broker: LocalBroker, messages: int) -> None:
    """With prefetch, so that the consumer takes no more than it is to."""
    wire = Wire(broker.url, "consumer")
    wire.consume_and_acknowledge("backlog", messages)
    wire.close()
