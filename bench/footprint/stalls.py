"""What the others wait while something large goes away: a deep queue, ten thousand queues at once.

Two bystanders on connections of their own publish and wait for the confirm, one message at a time, persistent and
transient; the row tells the longest wait of either.
"""
from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from amqp091.methods import Method, QueueDelete, QueueDeleteOk, QueuePurge, QueuePurgeOk
from bench.footprint.backlog import fill
from bench.footprint.memory import declare, names, scaled, started
from bench.footprint.row import Row
from bench.footprint.wire import Pulse, Wire, publishes
from bench.perf.local_broker import LocalBroker

STALL_S_MAX: Final = 1.0
"""Less than seconds; what nobody notices is a tenth of it."""
AFTERWARDS_S: Final = 2.0
"""What was begun goes on after its answer: segments are removed, names forgotten."""
BYSTANDERS: Final = ("bystander-durable", "bystander-transient")


def stalls(scale: float) -> list[Row]:
    """A purge and a delete of a deep queue, and the end of a connection with many exclusive queues."""
    deep, many = scaled(10_000_000, scale), scaled(10_000, scale)
    rows = []
    for persistent, kind in ((True, "persistent"), (False, "transient")):
        ways: Sequence[tuple[str, Method, type]] = (
            ("purged", QueuePurge(queue="deep"), QueuePurgeOk), ("deleted", QueueDelete(queue="deep"), QueueDeleteOk))
        for done, method, answer in ways:
            with started() as broker:
                wire = Wire(broker.url)
                declare(wire, ["deep"], durable=persistent)
                fill(wire, "deep", deep, persistent=persistent)
                rows.append(_watched(
                    broker, f"{deep:,} {kind} messages are {done}", partial(wire.call, method, answer)))
                wire.close()
    with started() as broker:
        owner = Wire(broker.url)
        declare(owner, names(many), exclusive=True)
        rows.append(_watched(broker, f"{many:,} exclusive queues go with their connection", owner.abandon))
    with started() as broker:
        wire = Wire(broker.url)
        rows.append(_watched(broker, f"{many:,} durable queues are declared",
                             lambda: declare(wire, names(many), durable=True)))
        rows.append(_watched(broker, f"{many:,} durable queues are deleted",
                             lambda: wire.calls((QueueDelete(queue=name) for name in names(many)), QueueDeleteOk)))
        wire.close()
    return rows


def _watched(broker: LocalBroker, quantity: str, work: Callable[[], object]) -> Row:
    pulses = []
    for name in BYSTANDERS:
        wire, durable = Wire(broker.url, name), name == BYSTANDERS[0]
        declare(wire, [name], durable=durable)
        pulses.append(Pulse(wire, publishes("", [name], persistent=durable)))
    time.sleep(AFTERWARDS_S / 4)
    for pulse in pulses:
        pulse.longest_s = 0.0
    began_s = time.monotonic()
    work()
    took_s = time.monotonic() - began_s
    time.sleep(AFTERWARDS_S)
    waits = dict(zip(BYSTANDERS, (round(pulse.stop(), 3) for pulse in pulses), strict=True))
    for name in BYSTANDERS:
        wire = Wire(broker.url)
        wire.call(QueueDelete(queue=name), QueueDeleteOk)
        wire.close()
    return Row("stall", quantity, "s", max(waits.values()), STALL_S_MAX, {"took s": round(took_s, 3), **waits})
