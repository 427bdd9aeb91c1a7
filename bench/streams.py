"""What a stream costs a shard's engine beside a plain durable queue: `python -m bench.streams`.

Publishes so many persistent messages of 100 bytes and then reads them: a plain queue once, with an ack for each batch;
a stream with one consumer, with twenty at the same time, and with a filter that nothing passes. No process, link or
sync is part of it. Prints nanoseconds per message (for several consumers: per delivery), the least of several rounds.
"""
from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

from bench.engine import CREDIT, KIND_CREDIT, NOW_MS, SEGMENT_BYTES, publish, settle
from log.store import Store
from shards.engine import Engine
from topology.features import QueueFeatures
from topology.stream_offset import Start, StreamOffset

BATCH_MESSAGES: Final = 200
FIRST: Final = StreamOffset(Start.FIRST)
PREFETCH: Final = 1000
READERS: Final = 20


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


def measure(rounds: int, batches: int) -> dict[str, float]:
    """Nanoseconds, the least of all rounds."""
    messages = batches * BATCH_MESSAGES
    stream = QueueFeatures(queue_type="stream")
    aged = QueueFeatures(queue_type="stream", max_age_ms=1 << 40, max_length_bytes=1 << 40)
    best: dict[str, float] = {}
    for _ in range(rounds):
        for name, features, consumers, filters in (
            ("plain durable queue", None, 1, None),
            ("stream", stream, 1, None),
            ("stream with retention", aged, 1, None),
            (f"stream, {READERS} consumers", stream, READERS, None),
            ("stream, a filter that passes nothing", stream, 1, [b"x"]),
        ):
            root = Path(tempfile.mkdtemp(prefix="bench-streams-"))
            try:
                one = Round(root, features)
                took = {f"{name}: publish": one.publish(batches)}
                took[f"{name}: read"] = one.read(messages, consumers, filters)
                one.store.close()
            finally:
                shutil.rmtree(root)
            for key, seconds in took.items():
                best[key] = min(seconds * 1e9, best.get(key, seconds * 1e9))
    return best


def main() -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.streams", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, default=500, help=f"of {BATCH_MESSAGES} messages")
    options = parser.parse_args()
    for name, nanoseconds in measure(options.rounds, options.batches).items():
        print(f"{name:48} {nanoseconds:8.0f} ns")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
