"""What the engine of a shard costs per message, without processes, links and sockets: `python -m bench.engine`.

Each case hands batches of PUBLISH records to an engine whose consumer takes and settles everything, as a gateway's
batches would. Prints nanoseconds per message, the least of several rounds, and the part of a plain queue's rate (of
one with persistent messages, where they are).
`--json` gives figures that two trees can be compared by (see bench/README.md).
"""
from __future__ import annotations

import argparse
import itertools
import json
import shutil
import struct
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from log.store import Store
from shards.engine import Engine

try:
    from topology.features import QueueFeatures
except ImportError:                     # a tree from before there were features
    QueueFeatures = None                # type: ignore[assignment, misc]
try:
    from topology.deduplication import Deduplication
except ImportError:
    Deduplication = None                # type: ignore[assignment, misc]

PUBLISH: Final = struct.Struct("<IBBHIIQIBBBBQ")
SETTLE: Final = struct.Struct("<IBBHIIQ")
CREDIT: Final = struct.Struct("<IBBHIIQ")
KIND_PUBLISH, KIND_SETTLE, KIND_CREDIT, KIND_EVENT = 1, 2, 3, 6
PERSISTENT, MULTIPLE, ACK, REJECT = 1, 1, 0, 2
NO_TTL: Final = 0xFFFF_FFFF_FFFF_FFFF
HAS_MESSAGE_ID: Final = b"\0\x80"
BODY: Final = b"x" * 100
BATCH_MESSAGES: Final = 200
SEGMENT_BYTES: Final = 64 << 20
NOW_MS: Final = 1_700_000_000_000
MEMORY_DIRECTORY: Final = Path("/dev/shm") if Path("/dev/shm").is_dir() else None


def publish(
    queue_id: int, *, persistent: bool = False, priority: int = 0, ttl_ms: int = NO_TTL, message_id: bytes = b""
) -> bytes:
    """One PUBLISH record (bus/records.pxd)."""
    properties = HAS_MESSAGE_ID + bytes((len(message_id),)) + message_id if message_id else b"\0\0"
    content = b"key" + properties + BODY
    rest = struct.pack("<II", queue_id, 0) + content
    rest += bytes(-len(rest) % 8)
    return PUBLISH.pack(
        PUBLISH.size + len(rest), KIND_PUBLISH, PERSISTENT if persistent else 0, 1, 1, len(properties), 0, len(BODY),
        0, 3, priority, 0, ttl_ms,
    ) + rest


def settle(sequence: int, outcome: int = ACK, *, channel: int = 1) -> bytes:
    """Everything up to a delivery is settled."""
    return SETTLE.pack(SETTLE.size, KIND_SETTLE, MULTIPLE, outcome, channel, 0, sequence)


def deliveries_bytes(batch: bytes) -> int:
    """Of a batch to a gateway, what counts for the connection's window: all but documents."""
    total = len(batch)
    if b'{"event"' in batch:
        offset = 0
        while offset < len(batch):
            record_bytes, kind = struct.unpack_from("<IB", batch, offset)
            total -= record_bytes if kind == KIND_EVENT else 0
            offset += record_bytes
    return total


class LettersTo2:
    """Dead letters of queue 1 go to queue 2 (shards/engine/letter_routes.pyx)."""

    version = 1
    source = b"orders"
    local: Sequence[tuple[int, bytes]] = ((2, b"dead"),)
    remote: Sequence[tuple[int, int, bytes]] = ()
    by_message = False

    def route(self, queue_id: int, exchange: bytes, keys: list[bytes], properties: bytes | None) -> LettersTo2:
        return self

    def goes_in_circles(self, queue_id: int, target: bytes) -> None:
        """Never here."""


class Case:
    """One queue, with what is published to it, and how it is consumed."""

    def __init__(
        self, name: str, features: dict[str, Any] | None = None, *, persistent: bool = False, no_ack: bool = False,
        backlog: bool = False, ttl_ms: int = NO_TTL, priorities: int = 1, outcome: int = ACK, letters: bool = False,
    ) -> None:
        """`letters`: what the consumer rejects, or what expires, is consumed from a second queue, without acks."""
        self.name = name
        self.features = features
        self.no_ack = no_ack
        self.backlog = backlog
        self.outcome = outcome
        self.letters = letters
        self.delivered_bytes = 0
        self.batch = b"".join(
            publish(1, persistent=persistent, priority=number % priorities, ttl_ms=ttl_ms)
            for number in range(BATCH_MESSAGES)
        )

    def round(self, root: Path, memory_root: Path, batches: int) -> float:
        """Seconds per message. `memory_root` lies where a shard has its transient messages: in memory."""
        store = Store(
            str(root / "durable"), str(memory_root / "transient"), str(root / "spill"), segment_bytes=SEGMENT_BYTES,
            clock_ms=lambda: NOW_MS,
        )
        engine = Engine(store, 1)
        engine.now_ms = NOW_MS
        if self.features is None:
            engine.add_queue(1, True, False)
        else:
            engine.add_queue(1, True, False, 0, QueueFeatures(**self.features))
        if self.letters:
            engine.letter_router = LettersTo2()
            engine.add_queue(2, True, False)
            engine.consume(0, 2, 2, 1, 1, no_ack=True, exclusive=False, prefetch=0)
        if not self.backlog:
            self._consume(engine)
        self.delivered_bytes = 0
        published = self.published(batches)
        began_s = time.perf_counter()
        for number, batch in enumerate(published, 1):
            engine.receive(0, batch)
            engine.dispatch()
            if not self.backlog:
                self._take(engine, number * BATCH_MESSAGES)
            elif self.letters:
                engine.expire(NOW_MS)
                engine.dispatch()
                self._take(engine, 0)
            if self.letters:
                engine.dispatch()
                self._take(engine, 0)
                engine.durable_up_to(store.appended_position)
            self._tidy(store, number)
        if self.backlog and not self.letters:
            self._consume(engine)
            total = left = engine.count(1)[0]
            while left:
                engine.dispatch()
                left = engine.count(1)[0]
                self._take(engine, total - left)
        elapsed_s = time.perf_counter() - began_s
        store.close()
        return elapsed_s / (batches * BATCH_MESSAGES)

    def published(self, batches: int) -> Iterable[bytes]:
        """What is published."""
        return itertools.repeat(self.batch, batches)

    def _consume(self, engine: Engine) -> None:
        engine.consume(0, 1, 1, 1, 1, no_ack=self.no_ack, exclusive=False, prefetch=0)
        engine.sent(0)                  # events that this caused are no deliveries

    def _take(self, engine: Engine, delivered: int) -> None:
        """The gateway has what was delivered, and its client settles it."""
        batch = engine.outgoing(0)
        # only of a long queue does a shard tell anything between the deliveries
        self.delivered_bytes += deliveries_bytes(bytes(batch)) if self.backlog and not self.letters else len(batch)
        engine.sent(0)
        settled = b"" if self.no_ack or not delivered else settle(delivered, self.outcome)
        engine.receive(0, settled + CREDIT.pack(CREDIT.size, KIND_CREDIT, 0, 0, 1, 0, self.delivered_bytes))

    @staticmethod
    def _tidy(store: Store, number: int) -> None:
        if number % 64 == 0:
            for chore in store.take_chores():
                chore.run()
                chore.finish()


class Deduplicating(Case):
    """Every message has an id of its own."""

    def __init__(self, name: str, *, persistent: bool = False) -> None:
        super().__init__(name, None if Deduplication is None else {"deduplication": Deduplication()})
        self.persistent = persistent

    def published(self, batches: int) -> Iterable[bytes]:
        return [
            b"".join(
                publish(1, persistent=self.persistent, message_id=b"message-%09d" % number)
                for number in range(start, start + BATCH_MESSAGES)
            )
            for start in range(0, batches * BATCH_MESSAGES, BATCH_MESSAGES)
        ]


CASES: Final = (
    Case("plain, no ack", no_ack=True),
    Case("plain", None),
    Case("plain, persistent", None, persistent=True),
    Case("plain, backlog", None, backlog=True),
    Case("ttl of the queue", {"message_ttl_ms": 60_000}),
    Case("ttl of the queue, backlog", {"message_ttl_ms": 60_000}, backlog=True),
    Case("ttl of the message", {"message_ttl_ms": None, "max_length": 1 << 40}, ttl_ms=60_000),
    Case("max-length", {"max_length": 1_000_000}),
    Case("max-length, dropping", {"max_length": 1_000}, backlog=True),
    Case("max-length-bytes", {"max_length_bytes": 1 << 40}),
    Case("dead letters, rejected", {"dead_letter_exchange": "dlx"}, outcome=REJECT, letters=True),
    Case("dead letters, rejected, persistent", {"dead_letter_exchange": "dlx"}, outcome=REJECT, letters=True,
         persistent=True),
    Case("dead letters, expired", {"dead_letter_exchange": "dlx", "message_ttl_ms": 0}, backlog=True, letters=True),
    Case("consumer timeout", {"consumer_timeout_ms": 60_000}),
    Case("single active consumer", {"single_active_consumer": True}),
    Case("quorum", {"queue_type": "quorum", "delivery_limit": 20}, persistent=True),
    Case("priorities", {"max_priority": 10}, priorities=10),
    Case("priorities, backlog", {"max_priority": 10}, priorities=10, backlog=True),
    Deduplicating("deduplication"),
    Deduplicating("deduplication, persistent", persistent=True),
)


def measure(cases: tuple[Case, ...], rounds: int, batches: int, progress: Callable[[str], None]) -> dict[str, float]:
    """Nanoseconds per message of each case: the least of the rounds, which take turns."""
    best: dict[str, float] = {}
    for number in range(rounds):
        for case in cases:
            root = Path(tempfile.mkdtemp(prefix="bench-engine-"))
            memory_root = Path(tempfile.mkdtemp(prefix="bench-engine-", dir=MEMORY_DIRECTORY))
            try:
                took = case.round(root, memory_root, batches) * 1e9
            finally:
                shutil.rmtree(root)
                shutil.rmtree(memory_root)
            best[case.name] = min(took, best.get(case.name, took))
        progress(f"round {number + 1} of {rounds}")
    return best


def main() -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.engine", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=300, help=f"of {BATCH_MESSAGES} messages, per round and case")
    parser.add_argument("--case", action="append", help="name of a case; repeatable")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    known = tuple(case for case in CASES if QueueFeatures is not None or case.features is None)
    chosen = tuple(case for case in known if not options.case or case.name in options.case)
    best = measure(chosen, options.rounds, options.batches, lambda text: None)
    if options.json:
        print(json.dumps(best))
        return 0
    for name, nanoseconds in best.items():
        plain = best.get("plain, persistent" if "persistent" in name or name == "quorum" else "plain")
        part = f"{plain / nanoseconds:8.2f} of a plain queue's rate" if plain else ""
        print(f"{name:32} {nanoseconds:8.0f} ns {part}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
