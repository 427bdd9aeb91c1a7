"""What a stream costs a shard's engine beside a plain durable queue.

Publishes so many persistent messages of 100 bytes and then reads them: a plain queue once, with an ack for each batch;
a stream with one consumer, with twenty at the same time, and with a filter that nothing passes. No process, link or
sync is part of it.
"""
from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.engine import CREDIT, KIND_CREDIT, NOW_MS, SEGMENT_BYTES, publish, settle
from bench.micro.case import Case, Timed
from log.store import Store
from shards.engine import Engine
from topology.features import QueueFeatures
from topology.stream_offset import Start, StreamOffset

BATCH_MESSAGES: Final = 200
FIRST: Final = StreamOffset(Start.FIRST)
PREFETCH: Final = 1000
READERS: Final = 20
MESSAGES: Final = 20_000
STREAM: Final = QueueFeatures(queue_type="stream")
AGED: Final = QueueFeatures(queue_type="stream", max_age_ms=1 << 40, max_length_bytes=1 << 40)


class Round:
    """One queue in a store of its own."""

    def __init__(self, root: Path, features: QueueFeatures | None) -> None:
        self.store = Store(
            str(root / "durable"), str(root / "transient"), str(root / "spill"), segment_bytes=SEGMENT_BYTES,
            clock_ms=lambda: NOW_MS,
        )
        self.engine = Engine(self.store, 1)
        self.engine.now_ms = NOW_MS
        self.streams = features is not None
        if features is None:
            self.engine.add_queue(1, True, False)
        else:
            self.engine.add_queue(1, True, False, 0, features)
        self.delivered_bytes = 0

    def publish(self, batches: int) -> float:
        """Seconds per message."""
        batch = publish(1, persistent=True) * BATCH_MESSAGES
        began_s = time.perf_counter()
        for number in range(batches):
            self.engine.receive(0, batch)
            self.engine.durable(self.store.appended_position)
            if number % 64 == 0:
                for chore in self.store.take_chores():
                    chore.run()
                    chore.finish()
        return (time.perf_counter() - began_s) / (batches * BATCH_MESSAGES)

    def read(self, messages: int, consumers: int, filters: list[bytes] | None = None) -> float:
        """Seconds per delivery; with a filter, per message that it looks at."""
        for consumer in range(1, consumers + 1):
            # each on a channel of its own, all of one connection, as settlements name channels
            self.engine.consume(
                0, 1, consumer, consumer, 1, no_ack=False, exclusive=False, prefetch=PREFETCH, start=FIRST,
                filters=filters,
            )
        began_s = time.perf_counter()
        if filters is not None:
            while not self.engine.idle:
                self.engine.dispatch()
            return (time.perf_counter() - began_s) / messages
        settled = [0] * (consumers + 1)
        while min(settled[1:]) < messages:
            self.engine.dispatch()
            self.delivered_bytes += len(self.engine.outgoing(0))
            self.engine.sent(0)
            records = [CREDIT.pack(CREDIT.size, KIND_CREDIT, 0, 0, 1, 0, self.delivered_bytes)]
            for consumer in range(1, consumers + 1):
                settled[consumer] = self.position(consumer, settled[consumer])
                records.append(settle(settled[consumer], channel=consumer))
            self.engine.receive(0, b"".join(records))
        return (time.perf_counter() - began_s) / (messages * consumers)

    def position(self, consumer: int, settled: int) -> int:
        """How many were delivered to the consumer."""
        if self.streams:
            return self.engine.read_next(0, consumer) or 0
        return settled + self.engine.describe(1)["messages_unacknowledged"]


def written(features: QueueFeatures | None) -> Callable[[Path, int], Timed]:
    """What publishing costs."""
    return _rounds(lambda one, batches: one.publish(batches), features)


def read(
    features: QueueFeatures | None, consumers: int = 1, filters: list[bytes] | None = None
) -> Callable[[Path, int], Timed]:
    """What reading costs, per delivery."""

    def do(one: Round, batches: int) -> float:
        one.publish(batches)
        return one.read(batches * BATCH_MESSAGES, consumers, filters)

    return _rounds(do, features)


def _rounds(
    do: Callable[[Round, int], float], features: QueueFeatures | None
) -> Callable[[Path, int], Timed]:
    """Each time with a new engine."""

    def prepare(directory: Path, units: int) -> Timed:
        batches = max(1, units // BATCH_MESSAGES)
        serial = itertools.count()

        def timed(loops: int) -> float:
            took_s = 0.0
            for _ in range(loops):
                root = directory / str(next(serial))
                one = Round(root, features)
                took_s += do(one, batches) * batches * BATCH_MESSAGES
                one.store.close()
                shutil.rmtree(root)
            return took_s

        return timed

    return prepare


CASES: Final = tuple(
    Case(name, prepare, MESSAGES, unit)
    for name, prepare, unit in (
        ("durable queue: publish", written(None), "message"),
        ("durable queue: read", read(None), "message"),
        ("stream: publish", written(STREAM), "message"),
        ("stream: read", read(STREAM), "message"),
        ("stream with retention: publish", written(AGED), "message"),
        ("stream with retention: read", read(AGED), "message"),
        (f"stream: read by {READERS} consumers", read(STREAM, READERS), "delivery"),
        ("stream: a filter that passes nothing", read(STREAM, filters=[b"x"]), "message"),
    )
)
