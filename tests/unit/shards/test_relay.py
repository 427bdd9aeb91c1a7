"""Messages handed from one shard's engine to another's, with the link between them played by the test."""
from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from log.disk import Disk
from log.store import Store
from shards.engine import BadRecord, Engine, relay
from shards.watermarks import Watermark
from tests.unit.shards import wire

SOURCE, TARGET = 0, 1
SHARDS = 2
SEGMENT_BYTES = 1 << 20
GATEWAYS = 1
SENDER = GATEWAYS + SOURCE
QUEUE, TRANSIENT_QUEUE, MISSING_QUEUE = 1, 2, 77


class Asking(Engine):
    """Keeps the answers to its tickets, and may hand over more when it hears one."""

    def __init__(self, store: Store, gateway_count: int, shard_count: int) -> None:
        super().__init__(store, gateway_count, shard_count)
        self.answers: list[tuple[int, int, int]] = []
        self.opened: list[int] = []
        self.then: list[int] = []

    def relayed(self, shard: int, ticket: int, answer: int) -> int:
        self.answers.append((shard, ticket, answer))
        if self.then:
            hand_over(self, self.then.pop(0))
        return 0

    def relay_opened(self, shard: int) -> int:
        self.opened.append(shard)
        return 0

    def take(self) -> list[tuple[int, int]]:
        answers, self.answers = self.answers, []
        assert all(shard == TARGET for shard, _, _ in answers)
        return [(ticket, answer) for _, ticket, answer in answers]


def hand_over(engine: Engine, ticket: int, body: bytes = b"body", **fields: Any) -> bool:
    fields = {"queue_ids": [QUEUE], "exchange": b"dlx", "routing_key": b"dead", "properties": b"\0\0"} | fields
    return relay.publish(engine, TARGET, ticket, body=body, **fields)


class Pair:
    """Two shards. `send` and `answer` move one batch each; the test says when the target's disk has synced."""

    def __init__(self, root: Path, disk: Disk | None = None) -> None:
        """`disk` is the target's."""
        self.source = Asking(self._store(root / "source"), GATEWAYS, SHARDS)
        self.target_store = self._store(root / "target", disk)
        self.target = Engine(self.target_store, GATEWAYS, SHARDS)
        self.target.add_queue(QUEUE, True, False)
        self.target.add_queue(TRANSIENT_QUEUE, False, False)
        self.watermark = Watermark()
        self.next_batch = 1

    @staticmethod
    def _store(root: Path, disk: Disk | None = None) -> Store:
        return Store(
            str(root / "durable"), str(root / "transient"), str(root / "spill"),
            segment_bytes=SEGMENT_BYTES, clock_ms=lambda: 1_700_000_000_000, disk=disk,
        )

    def connect(self) -> None:
        self.watermark = Watermark()
        self.next_batch = 1
        relay.up(self.source, TARGET, self.next_batch)

    def disconnect(self) -> None:
        relay.down(self.source, TARGET)
        self.target.gateway_down(SENDER)

    def send(self) -> None:
        """The source's batch arrives."""
        assert relay.pending(self.source) == [TARGET]
        batch = bytes(relay.outgoing(self.source, TARGET))
        self.next_batch += 1
        relay.sent(self.source, TARGET, self.next_batch)
        before = self.target_store.appended_position
        assert self.target.receive(SENDER, batch) == len(batch)
        position = self.target_store.appended_position
        self.watermark.applied(position if position != before else None)

    def sync(self) -> None:
        self.watermark.durable_up_to(self.target_store.appended_position)

    def answer(self) -> None:
        """The target's watermark, and what it had said before, arrives."""
        news = self.watermark.news()
        if news is not None:
            self.target.watermark(SENDER, *news)
        relay.receive(self.source, TARGET, bytes(self.target.outgoing(SENDER)))
        self.target.sent(SENDER)

    def cross(self) -> list[tuple[int, int]]:
        """A whole round trip; what it answered."""
        self.send()
        self.sync()
        self.answer()
        return self.source.take()

    def bodies(self, queue_id: int = QUEUE) -> list[bytes]:
        """All that is ready at the target."""
        count, _ = self.target.count(queue_id)
        for _ in range(count):
            assert self.target.get(0, 1, queue_id, 1, True)
        records = wire.parse(bytes(self.target.outgoing(0)))
        self.target.sent(0)
        return [record.body for record in records]


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    made = Pair(tmp_path)
    made.connect()
    return made


def test_a_message_reaches_the_queue_of_the_other_shard(pair: Pair) -> None:
    assert hand_over(pair.source, 5, b"a")
    assert hand_over(pair.source, 6, b"b")
    assert pair.cross() == [(5, relay.TAKEN), (6, relay.TAKEN)]
    assert pair.bodies() == [b"a", b"b"]
    assert relay.under_way(pair.source, TARGET) == (0, 0)


def test_all_of_a_message_comes_along(pair: Pair) -> None:
    pair.target.consume(0, QUEUE, 1, 1, 1, no_ack=True, exclusive=False, prefetch=0)
    assert hand_over(
        pair.source, 1, b"body", exchange=b"orders.dead", routing_key=b"key", properties=b"\x80\x00\x04text",
        queue_ids=[MISSING_QUEUE, QUEUE, TRANSIENT_QUEUE], persistent=True, priority=3, ttl_ms=99,
    )
    pair.cross()
    (record,) = wire.parse(bytes(pair.target.outgoing(0)))
    assert (record.exchange, record.routing_key, record.properties, record.body) == (
        b"orders.dead", b"key", b"\x80\x00\x04text", b"body")
    pair.target.sent(0)
    assert pair.bodies(TRANSIENT_QUEUE) == [b"body"]


def test_a_message_that_is_not_ready_yet_is_not_at_the_target_either(pair: Pair) -> None:
    pair.target.now_ms = 1_700_000_000_000
    hand_over(pair.source, 1, b"later", not_before_ms=pair.target.now_ms + 50, queue_ids=[QUEUE, TRANSIENT_QUEUE])
    hand_over(pair.source, 2, b"past", not_before_ms=pair.target.now_ms)
    assert pair.cross() == [(1, relay.TAKEN), (2, relay.TAKEN)]
    assert pair.bodies() == [b"past"]
    pair.target.expire(pair.target.now_ms + 50)
    assert pair.bodies() == [b"later"]
    assert pair.bodies(TRANSIENT_QUEUE) == [b"later"]


def test_a_durable_message_is_taken_when_the_target_has_synced_it(pair: Pair) -> None:
    hand_over(pair.source, 1, persistent=True)
    pair.send()
    pair.answer()
    assert pair.source.take() == []
    pair.sync()
    pair.answer()
    assert pair.source.take() == [(1, relay.TAKEN)]


def test_a_transient_message_is_taken_when_the_target_has_it(pair: Pair) -> None:
    hand_over(pair.source, 1, persistent=False)
    pair.send()
    pair.answer()
    assert pair.source.take() == [(1, relay.TAKEN)]


def test_a_queue_that_is_gone_counts_as_taken(pair: Pair) -> None:
    hand_over(pair.source, 1, queue_ids=[MISSING_QUEUE])
    assert pair.cross() == [(1, relay.TAKEN)]


def test_a_watermark_answers_its_batches_and_no_later_ones(pair: Pair) -> None:
    hand_over(pair.source, 1)
    pair.send()
    hand_over(pair.source, 2)
    pair.send()
    hand_over(pair.source, 3)
    pair.sync()
    pair.answer()
    assert pair.source.take() == [(1, relay.TAKEN), (2, relay.TAKEN)]
    assert pair.cross() == [(3, relay.TAKEN)]


def test_what_the_log_of_the_target_has_no_room_for_is_refused(tmp_path: Path) -> None:
    class Full(Disk):
        full = False

        def allocate(self, descriptor: int, offset: int, size: int) -> None:
            if self.full:
                raise OSError(errno.ENOSPC, "No space left on device")
            super().allocate(descriptor, offset, size)

    disk = Full()
    pair = Pair(tmp_path, disk)
    pair.connect()
    hand_over(pair.source, 1, persistent=True)
    assert pair.cross() == [(1, relay.TAKEN)]
    disk.full = True
    hand_over(pair.source, 2, bytes(SEGMENT_BYTES), persistent=True)
    hand_over(pair.source, 3, persistent=True)
    assert sorted(pair.cross()) == [(2, relay.REFUSED), (3, relay.TAKEN)]
    assert pair.bodies() == [b"body", b"body"]
    assert relay.under_way(pair.source, TARGET) == (0, 0)


def test_a_link_that_goes_down_leaves_its_tickets_lost_and_nothing_else(pair: Pair) -> None:
    hand_over(pair.source, 1)
    assert pair.cross() == [(1, relay.TAKEN)]
    hand_over(pair.source, 2)
    pair.send()
    hand_over(pair.source, 3)
    pair.disconnect()
    assert pair.source.take() == [(2, relay.LOST), (3, relay.LOST)]
    assert relay.pending(pair.source) == []
    assert not relay.ready(pair.source, TARGET)
    assert not hand_over(pair.source, 2)


def test_the_next_link_starts_anew(pair: Pair) -> None:
    hand_over(pair.source, 1)
    pair.cross()
    hand_over(pair.source, 2)
    pair.send()
    pair.disconnect()
    assert pair.source.take() == [(2, relay.LOST)]
    assert not hand_over(pair.source, 2)
    pair.connect()
    assert pair.source.opened == [TARGET]
    hand_over(pair.source, 2)
    assert pair.cross() == [(2, relay.TAKEN)]
    assert pair.bodies() == [b"body"] * 3


def test_a_shard_without_a_link_is_wanted_only_when_somebody_asks_for_it(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    assert relay.wanted(pair.source) == []
    assert not relay.ready(pair.source, TARGET)
    assert relay.wanted(pair.source) == [TARGET]
    pair.connect()
    assert relay.wanted(pair.source) == []
    assert pair.source.opened == [TARGET]


def test_what_is_under_way_has_a_limit_in_bytes(pair: Pair) -> None:
    body = bytes(60_000)
    ticket = 0
    while hand_over(pair.source, ticket, body):
        ticket += 1
    assert relay.BYTES_MAX // 61_000 <= ticket <= relay.BYTES_MAX // 60_000 + 1
    assert relay.under_way(pair.source, TARGET)[1] < relay.BYTES_MAX + 61_000
    assert pair.source.opened == []
    assert len(pair.cross()) == ticket
    assert pair.source.opened == [TARGET]
    assert hand_over(pair.source, ticket, body)


def test_what_is_under_way_has_a_limit_in_messages(pair: Pair) -> None:
    ticket = 0
    while hand_over(pair.source, ticket, b""):
        ticket += 1
    assert ticket == relay.MESSAGES_MAX
    assert pair.cross() == [(one, relay.TAKEN) for one in range(ticket)]
    assert pair.source.opened == [TARGET]


def test_a_message_larger_than_the_limit_crosses_alone(pair: Pair) -> None:
    body = bytes(relay.BYTES_MAX + 5)
    assert hand_over(pair.source, 1, body)
    assert not relay.ready(pair.source, TARGET)
    assert pair.cross() == [(1, relay.TAKEN)]
    assert pair.bodies() == [body]


def test_an_answer_may_lead_to_more(pair: Pair) -> None:
    """As many as make the window grow while its answers are told."""
    for ticket in range(64):
        hand_over(pair.source, ticket)
    pair.source.then = list(range(100, 164))
    assert [ticket for ticket, _ in pair.cross()] == list(range(64))
    assert [ticket for ticket, _ in pair.cross()] == list(range(100, 164))
    assert len(pair.bodies()) == 128


def test_nothing_is_handed_over_while_a_link_goes_down(pair: Pair) -> None:
    hand_over(pair.source, 1)
    pair.source.then = [2]
    pair.disconnect()
    assert pair.source.take() == [(1, relay.LOST)]
    assert relay.under_way(pair.source, TARGET) == (0, 0)
    pair.connect()
    assert pair.source.opened == [TARGET]


def test_memory_of_a_large_window_is_used_again(pair: Pair) -> None:
    for turn in range(300):
        for ticket in range(turn % 90):
            hand_over(pair.source, ticket)
        if turn % 90:
            assert pair.cross() == [(ticket, relay.TAKEN) for ticket in range(turn % 90)]


def watermark(processed: int, durable: int) -> bytes:
    return wire.WATERMARK.pack(wire.WATERMARK.size, 18, 0, 0, processed, durable)


def refusal(sequence: int) -> bytes:
    return wire.REFUSED.pack(wire.REFUSED.size, 19, 0, 0, 0, 0, sequence)


def test_a_refusal_that_comes_twice_or_late_changes_nothing(pair: Pair) -> None:
    hand_over(pair.source, 7)
    pair.send()
    relay.receive(pair.source, TARGET, refusal(1) + refusal(1) + watermark(1, 1) + refusal(1))
    assert pair.source.take() == [(7, relay.REFUSED)]
    assert relay.under_way(pair.source, TARGET) == (0, 0)


@pytest.mark.parametrize(
    "batch",
    [
        watermark(2, 2),                                            # of a batch that was not sent
        watermark(9, 9),
        refusal(2),                                                 # of a message that was not sent yet
        refusal(3),                                                 # of none
        watermark(1, 1)[:-8],
        b"\0" * 4,
        b"\x20" + watermark(1, 1)[1:],                              # longer than the batch
        b"\x10" + watermark(1, 1)[1:16],                            # without its fields
        b"\x10" + refusal(1)[1:16],
        b"\0" * 8,
        wire.publish(1),
        wire.request(1, verb="barrier"),
    ],
)
def test_nonsense_from_a_shard_is_noticed(pair: Pair, batch: bytes) -> None:
    hand_over(pair.source, 1)
    pair.send()
    hand_over(pair.source, 2)
    with pytest.raises(BadRecord):
        relay.receive(pair.source, TARGET, batch)
    assert pair.source.take() == []


def test_a_shard_that_is_none_is_refused(pair: Pair) -> None:
    for call in (relay.ready, relay.down, relay.outgoing, relay.under_way):
        with pytest.raises(IndexError):
            call(pair.source, SHARDS)
    with pytest.raises(IndexError):
        relay.publish(pair.source, SHARDS, 1, [QUEUE], b"", b"", b"", b"")


@pytest.mark.parametrize("count", [0, 65536])
def test_a_message_is_for_one_queue_at_least_and_for_65535_at_most(pair: Pair, count: int) -> None:
    with pytest.raises(ValueError, match="queues"):
        hand_over(pair.source, 1, queue_ids=range(count))
