"""Shards that send dead letters to their own queues and to one another's; the test plays links, disks and the clock."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from amqp091.properties import Properties, decode
from log.disk import Disk
from log.store import Store
from shards.dead_letters import LetterRoute, headers_of
from shards.engine import Engine, relay
from shards.watermarks import Watermark
from tests.unit.shards import wire
from topology.features import QueueFeatures

START_MS = 1_700_000_000_000
GATEWAYS = 1
SEGMENT_BYTES = 256 << 10
GONE = 77
"""A queue that the router knows and no shard has (any more)."""


class Letter(NamedTuple):
    body: bytes
    exchange: bytes
    routing_key: bytes
    properties: Properties

    @property
    def deaths(self) -> list[tuple[str, str, int]]:
        headers = self.properties.headers or {}
        return [(death["queue"], death["reason"], death["count"]) for death in headers.get("x-death", [])]


class Router:
    """Routes as the test gives them: {exchange: {key or "": [queue id]}}; queue n is called qn, on shard n // 100."""

    def __init__(self, shard: int) -> None:
        self.shard = shard
        self.version = 1
        self.routes: dict[str, dict[str, list[int]]] = {}
        self.by_headers: set[str] = set()
        self.asked: list[tuple[int, str, list[str], bool]] = []
        self.circles: list[tuple[int, bytes]] = []

    def route(self, queue_id: int, exchange: bytes, keys: Sequence[bytes], properties: bytes | None) -> LetterRoute:
        name = exchange.decode()
        self.asked.append((queue_id, name, [key.decode() for key in keys], properties is not None))
        if name in self.by_headers and properties is None:
            return LetterRoute(b"q%d" % queue_id, by_message=True)
        wanted = [key.decode() for key in keys] if properties is None else [headers_of(properties).get("to", "")]
        bound = self.routes.get(name, {})
        found = dict.fromkeys(target for key in wanted for target in bound.get(key, bound.get("", [])))
        return LetterRoute(
            b"q%d" % queue_id,
            [(target, b"q%d" % target) for target in found if target // 100 == self.shard],
            [(target // 100, target, b"q%d" % target) for target in found if target // 100 != self.shard],
        )

    def goes_in_circles(self, queue_id: int, target: bytes) -> None:
        self.circles.append((queue_id, target))


class LetterShard:
    """One shard: its engine, its store, and the sender's ends of its links to others."""

    def __init__(self, root: Path, index: int = 0, shards: int = 2, *, disk: Disk | None = None) -> None:
        self.root, self.index, self.shards = root, index, shards
        self.now_ms = START_MS
        self.store = Store(
            str(root / "durable"), str(root / "transient"), str(root / "spill"), segment_bytes=SEGMENT_BYTES,
            clock_ms=lambda: self.now_ms, disk=disk,
        )
        self.engine = Engine(self.store, GATEWAYS, shards)
        self.engine.now_ms = START_MS
        self.router = self.engine.letter_router = Router(index)
        self.watermarks: dict[int, Watermark] = {}      # of shards that send here
        self.next_batch: dict[int, int] = {}            # to shards
        self.queues: dict[int, tuple[bool, QueueFeatures]] = {}
        self.recovered: dict[int, Any] = {}

    def restarted(self, *, disk: Disk | None = None) -> LetterShard:
        """Another process on the same files, with the same queues: it was killed, or closed its store before."""
        again = LetterShard(self.root, self.index, self.shards, disk=disk)
        again.router.routes, again.router.by_headers = self.router.routes, self.router.by_headers
        again.now_ms = again.engine.now_ms = self.now_ms
        recovered = again.store.recover()
        for queue_id, (durable, features) in self.queues.items():
            again.queue(queue_id, durable=durable, features=features)
            if queue_id in recovered:
                again.engine.load(queue_id, recovered[queue_id])
        return again

    def queue(
        self, queue_id: int, *, durable: bool = True, features: QueueFeatures | None = None, **named: Any
    ) -> None:
        features = QueueFeatures(**named) if features is None else features
        self.queues[queue_id] = (durable, features)
        self.engine.add_queue(queue_id, durable, False, self.store.highest_number(queue_id), features)

    def dying(self, queue_id: int, exchange: str = "dlx", key: str | None = None, **features: Any) -> None:
        self.queue(queue_id, dead_letter_exchange=exchange, dead_letter_routing_key=key, **features)

    def feed(self, *records: bytes) -> None:
        self.engine.receive(0, b"".join(records))
        self.engine.dispatch()

    def consume(self, queue_id: int, *, no_ack: bool = False) -> None:
        """Its messages settle on channel `queue_id`."""
        self.engine.consume(0, queue_id, queue_id, queue_id, 1, no_ack=no_ack, exclusive=False, prefetch=0)
        self.engine.dispatch()

    def reject(self, queue_id: int, *bodies: bytes, persistent: bool = True, **fields: Any) -> None:
        """Messages that come to the queue, are delivered and rejected."""
        self.feed(*(wire.publish(queue_id, body, persistent=persistent, **fields) for body in bodies))
        for _ in bodies:
            assert self.engine.get(0, 1, queue_id, queue_id, False)
        self.engine.sent(0)
        self._rejected = getattr(self, "_rejected", {})
        self._rejected[queue_id] = self._rejected.get(queue_id, 0) + len(bodies)
        self.feed(wire.settle(queue_id, self._rejected[queue_id], multiple=True, outcome=wire.REJECT))

    def at(self, ms: int) -> None:
        """So many ms after the start."""
        self.now_ms = START_MS + ms
        while self.engine.expire(self.now_ms):
            pass
        self.engine.dispatch()

    def sync(self) -> None:
        """The disk has everything."""
        ticket = self.store.sync_target()
        if ticket is not None:
            ticket.synchronise()
            self.store.committed(ticket.position)
        position = self.store.appended_position
        for watermark in self.watermarks.values():
            watermark.durable_up_to(position)
        self.engine.durable_up_to(position)
        self.engine.dispatch()

    def ready(self, queue_id: int) -> int:
        return self.engine.count(queue_id)[0]

    def waiting(self, queue_id: int) -> int:
        """Messages of the queue that have died and are not buried."""
        return self.engine.describe(queue_id)["messages_dlx"]

    @property
    def live(self) -> int:
        """Entries that the log keeps."""
        return self.store.live_entries

    def letters(self, queue_id: int) -> list[Letter]:
        """What the queue holds, taken out of it."""
        found = []
        while self.engine.get(0, 1, queue_id, 1, True):
            (raw,) = wire.split(bytes(self.engine.outgoing(0)))
            self.engine.sent(0)
            found.append(letter_of(raw))
        return found

    def bodies(self, queue_id: int) -> list[bytes]:
        return [letter.body for letter in self.letters(queue_id)]

    @property
    def counted(self) -> dict[str, int]:
        return {reason: count for reason, count in self.engine.statistics()["dead_lettered"].items() if count}

    @property
    def dropped(self) -> int:
        return int(self.engine.statistics()["dead_letters_dropped"])


def letter_of(raw: bytes) -> Letter:
    record = wire.DELIVER.unpack_from(raw)
    sizes = (record[7], record[8], record[5], record[6])
    parts, start = [], wire.DELIVER.size
    for size in sizes:
        parts.append(raw[start : start + size])
        start += size
    exchange, key, properties, body = parts
    return Letter(body, exchange, key, decode(properties))


# -- links

def connect(source: LetterShard, target: LetterShard) -> None:
    target.watermarks[source.index] = Watermark()
    source.next_batch[target.index] = 1
    relay.up(source.engine, target.index, 1)
    source.engine.dispatch()


def disconnect(source: LetterShard, target: LetterShard) -> None:
    relay.down(source.engine, target.index)
    target.engine.gateway_down(GATEWAYS + source.index)
    target.watermarks.pop(source.index, None)
    source.engine.dispatch()


def send(source: LetterShard, target: LetterShard) -> int:
    """What waits for the target arrives; how many messages that were."""
    batch = bytes(relay.outgoing(source.engine, target.index))
    if not batch:
        return 0
    source.next_batch[target.index] += 1
    relay.sent(source.engine, target.index, source.next_batch[target.index])
    before = target.store.appended_position
    target.engine.receive(GATEWAYS + source.index, batch)
    position = target.store.appended_position
    target.watermarks[source.index].applied(position if position != before else None)
    target.engine.dispatch()
    return len(wire.split(batch))


def answer(source: LetterShard, target: LetterShard) -> None:
    """What the target says arrives."""
    news = target.watermarks[source.index].news()
    if news is not None:
        target.engine.watermark(GATEWAYS + source.index, *news)
    batch = bytes(target.engine.outgoing(GATEWAYS + source.index))
    target.engine.sent(GATEWAYS + source.index)
    relay.receive(source.engine, target.index, batch)
    source.engine.dispatch()


def cross(source: LetterShard, target: LetterShard) -> int:
    """A whole round trip."""
    count = send(source, target)
    target.sync()
    answer(source, target)
    return count
