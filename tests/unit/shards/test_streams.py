"""Streams on one engine, with the test's clock and the test's word on what is on the disk."""
from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from shards.engine.browsing import READY, UNACKED
from tests.harness.wire import field_entry, table
from tests.unit.shards.conftest import Bench
from tests.unit.shards.wire import REJECT, REQUEUE, Deliver, Json, credit, publish, settle
from topology.features import QueueFeatures
from topology.stream_offset import NEXT, Start, StreamOffset

START_MS = 1_700_000_000_000
FIRST = StreamOffset(Start.FIRST)
LAST = StreamOffset(Start.LAST)


def at_offset(number: int) -> StreamOffset:
    return StreamOffset(Start.OFFSET, number)


def at_time(ms: int) -> StreamOffset:
    return StreamOffset(Start.TIME_MS, START_MS + ms)


class StreamBench(Bench):
    """Queue 1 is a stream, queue 2 a plain one."""

    def __init__(self, root: Path, *, segment_bytes: int = 64 << 10, **features: Any) -> None:
        super().__init__(root, segment_bytes=segment_bytes)
        self.engine.now_ms = START_MS
        self.engine.add_queue(1, True, False, 0, QueueFeatures(queue_type="stream", **features))
        self.engine.add_queue(2, True, False)
        self.delivered_bytes = 0

    def sync(self) -> None:
        """All that was appended is on the disk."""
        ticket = self.store.sync_target()
        if ticket is not None:
            ticket.synchronise()
            self.store.committed(ticket.position)
        self.engine.durable(self.store.appended_position)
        self.engine.dispatch()

    def put(self, *bodies: bytes, at_ms: int = 0) -> None:
        self.engine.now_ms = START_MS + at_ms
        self.feed(*(publish(1, body) for body in bodies))
        self.sync()

    def numbered(self, count: int, start: int = 0) -> None:
        self.put(*(b"%d" % n for n in range(start, start + count)))

    def read(self, consumer: int = 1, start: StreamOffset = FIRST, *, channel: int = 1, prefetch: int = 1000,
             connection: int = 1, filters: list[bytes] | None = None, match_unfiltered: bool = False) -> None:
        self.engine.consume(0, 1, consumer, channel, connection, no_ack=False, exclusive=False, prefetch=prefetch,
                            start=start, filters=filters, match_unfiltered=match_unfiltered)
        self.engine.dispatch()

    def offsets(self, consumer: int | None = None) -> list[int]:
        """What was delivered since the last look, to one consumer or to all."""
        records = [record for record in self.take() if isinstance(record, Deliver)]
        assert all(not record.redelivered for record in records)
        mine = [record for record in records if consumer in (None, record.consumer)]
        return [record.offset for record in mine if record.offset is not None]

    def all_offsets(self) -> list[int]:
        """All there is to be had, over as many turns as it takes."""
        found: list[int] = []
        while True:
            records = [record for record in self.take() if isinstance(record, Deliver)]
            self.delivered_bytes += sum(record.record_bytes for record in records)
            if not records and self.engine.idle:
                return found
            found += [record.offset for record in records if record.offset is not None]
            self.feed(credit(1, self.delivered_bytes))

    def begins(self, start: StreamOffset) -> int | None:
        """Where a consumer that starts like this reads first."""
        self.engine.cancel(0, 99)
        self.read(99, start, channel=99, prefetch=1)
        offsets = self.offsets(99)
        self.engine.close_channel(0, 99)
        return offsets[0] if offsets else None

    def at(self, ms: int) -> None:
        while self.engine.expire(START_MS + ms):
            pass
        self.engine.dispatch()

    def kept(self) -> tuple[int, int]:
        """The first offset, and the one that comes next."""
        about = self.engine.describe(1)
        return about["first_offset"], about["next_offset"]

    def reopened(self, *, close: bool = True, **features: Any) -> StreamBench:
        """After a restart, or (not close) after the process was killed."""
        if close:
            self.store.close()
        again = StreamBench.__new__(StreamBench)
        Bench.__init__(again, Path(self.store.durable_directory).parent)
        recovered = again.store.recover()
        again.engine.now_ms = self.engine.now_ms
        again.engine.add_queue(1, True, False, again.store.highest_number(1),
                               QueueFeatures(queue_type="stream", **features))
        if 1 in recovered:
            again.engine.load(1, recovered[1])
        again.engine.add_queue(2, True, False)
        again.delivered_bytes = 0
        return again


@pytest.fixture
def bench(tmp_path: Path) -> StreamBench:
    return StreamBench(tmp_path)


# -- reading

def test_a_consumer_reads_from_the_first_message_in_order(bench: StreamBench) -> None:
    bench.numbered(600)
    bench.read()
    records = bench.take()
    assert [(record.offset, record.body) for record in records] == [(n, b"%d" % n) for n in range(600)]
    assert bench.ready() == 600


def test_every_consumer_reads_everything(bench: StreamBench) -> None:
    bench.numbered(10)
    for consumer in range(1, 21):
        bench.read(consumer, channel=consumer)
    bench.numbered(10, 10)
    records = bench.take()
    for consumer in range(1, 21):
        assert [record.offset for record in records if record.consumer == consumer] == list(range(20))


def test_a_message_is_read_when_it_is_on_the_disk(bench: StreamBench) -> None:
    bench.read()
    bench.feed(publish(1, b"a"))
    assert bench.offsets() == []
    ticket = bench.store.sync_target()
    bench.feed(publish(1, b"b"))
    assert ticket is not None
    ticket.synchronise()
    bench.store.committed(ticket.position)
    bench.engine.durable(ticket.position)
    bench.engine.dispatch()
    assert bench.offsets() == [0]
    bench.sync()
    assert bench.offsets() == [1]


def test_a_transient_message_is_kept_on_the_disk(bench: StreamBench) -> None:
    bench.feed(publish(1, persistent=False))
    assert bench.store.appended_position > 0


def test_a_consumer_is_given_as_much_as_its_prefetch(bench: StreamBench) -> None:
    bench.numbered(10)
    bench.read(prefetch=3)
    assert bench.offsets() == [0, 1, 2]
    bench.feed(settle(1, 1))
    assert bench.offsets() == [3]
    bench.feed(settle(1, 4, multiple=True))
    assert bench.offsets() == [4, 5, 6]


@pytest.mark.parametrize("outcome", [REQUEUE, REJECT])
def test_a_message_never_comes_again(bench: StreamBench, outcome: int) -> None:
    bench.numbered(5)
    bench.read(prefetch=2)
    assert bench.offsets() == [0, 1]
    bench.feed(settle(1, 2, outcome, multiple=True))
    assert bench.offsets() == [2, 3]
    assert bench.ready() == 5
    assert sum(bench.engine.statistics()["deaths"].values()) == 0


def test_what_a_channel_held_stays_in_the_stream(bench: StreamBench) -> None:
    bench.numbered(3)
    bench.read()
    assert bench.offsets() == [0, 1, 2]
    bench.engine.close_channel(0, 1)
    bench.read(2, channel=2)
    assert bench.offsets() == [0, 1, 2]
    assert bench.engine.count(1) == (3, 1)


def test_acks_after_a_cancellation_are_taken(bench: StreamBench) -> None:
    bench.numbered(3)
    bench.read()
    bench.engine.cancel(0, 1)
    bench.feed(settle(1, 1), settle(1, 3, multiple=True))
    assert bench.engine.count(1) == (3, 0)


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (FIRST, 0), (LAST, 9), (NEXT, None), (at_offset(0), 0), (at_offset(7), 7), (at_offset(10), None),
        (at_time(-1), 0), (at_time(0), 0), (at_time(40), 4), (at_time(41), 5), (at_time(90), 9), (at_time(91), None),
    ],
)
def test_where_a_consumer_begins(bench: StreamBench, start: StreamOffset, expected: int | None) -> None:
    for n in range(10):
        bench.put(b"%d" % n, at_ms=10 * n)
    assert bench.begins(start) == expected


@pytest.mark.parametrize("start", [FIRST, LAST, NEXT, at_offset(0), at_time(0)])
def test_in_an_empty_stream_all_begin_with_the_next_message(bench: StreamBench, start: StreamOffset) -> None:
    bench.read(1, start)
    bench.numbered(2)
    assert bench.offsets() == [0, 1]


def test_an_offset_that_is_not_there_yet_is_waited_for(bench: StreamBench) -> None:
    bench.read(1, at_offset(3))
    bench.numbered(3)
    assert bench.offsets() == []
    bench.numbered(2, 3)
    assert bench.offsets() == [3, 4]


def test_next_is_behind_what_is_on_the_disk(bench: StreamBench) -> None:
    bench.numbered(2)
    bench.read(1, NEXT)
    assert bench.engine.read_next(0, 1) == 2
    bench.numbered(1)
    assert bench.offsets() == [2]
    assert bench.engine.read_next(0, 1) == 3


def test_a_consumer_without_a_prefetch_or_with_automatic_acks_is_none(bench: StreamBench) -> None:
    for no_ack, prefetch in ((True, 10), (False, 0)):
        with pytest.raises(ValueError):
            bench.engine.consume(0, 1, 1, 1, 1, no_ack=no_ack, exclusive=False, prefetch=prefetch)


def test_a_live_consumer_keeps_a_limit_when_others_lose_theirs(bench: StreamBench) -> None:
    bench.numbered(5)
    bench.read(prefetch=2)
    bench.engine.qos(0, 1, limited=False, prefetch=0)
    bench.engine.dispatch()
    assert bench.offsets() == [0, 1]
    bench.engine.qos(0, 1, limited=False, prefetch=4)
    bench.engine.dispatch()
    assert bench.offsets() == [2, 3]


# -- what holds a consumer back

def test_a_connection_takes_what_its_window_holds(bench: StreamBench) -> None:
    bench.put(*[b"x" * 30_000] * 60)
    bench.read()
    bench.read(2, channel=2, connection=2)
    seen: dict[int, int] = {1: 0, 2: 0}
    while records := [record for record in bench.take() if isinstance(record, Deliver)]:
        for record in records:
            seen[record.consumer] += record.record_bytes
        bench.feed(credit(2, seen[2]))
    assert seen[1] <= (1 << 20) + 31_000
    assert seen[2] > 60 * 30_000
    bench.feed(credit(1, seen[1]))
    assert bench.offsets(1)


def test_a_paused_channel_reads_nothing(bench: StreamBench) -> None:
    bench.numbered(2)
    bench.engine.qos(0, 1, limited=False, paused=True, connection=1)
    bench.read()
    assert bench.offsets() == []
    bench.engine.qos(0, 1, limited=False)
    bench.engine.dispatch()
    assert bench.offsets() == [0, 1]


def test_a_congested_link_is_waited_for(bench: StreamBench) -> None:
    bench.numbered(2)
    bench.engine.set_congested(0, True)
    bench.read()
    assert bench.offsets() == []
    bench.engine.set_congested(0, False)
    bench.engine.dispatch()
    assert bench.offsets() == [0, 1]


def test_a_limited_channel_asks_for_credit_only_while_there_is_something_to_read(bench: StreamBench) -> None:
    bench.engine.qos(0, 1, limited=True, connection=1)
    bench.read()
    assert bench.take() == [] and bench.engine.idle
    bench.numbered(5)
    (wanted,) = bench.take()
    assert isinstance(wanted, Json) and wanted.document == {"event": "credit_wanted", "channel": 1, "count": 5}
    bench.engine.grant(0, 1, 3)
    bench.engine.dispatch()
    assert [record.offset for record in bench.take()] == [0, 1, 2]
    bench.engine.grant(0, 1, 9)
    bench.engine.dispatch()
    *given, returned = bench.take()
    assert [record.offset for record in given] == [3, 4]
    assert returned.document == {"event": "credit_returned", "channel": 1, "count": 7}
    assert bench.engine.idle


def test_a_reader_of_old_messages_keeps_no_other_queue_from_its_turn(bench: StreamBench) -> None:
    bench.put(*[b"x" * 2000] * 400)
    bench.engine.set_congested(0, True)
    bench.read()
    bench.consume(2, 2, channel=2, connection=2, no_ack=True)
    bench.feed(publish(2, b"other"))
    bench.engine.set_congested(0, False)
    bench.engine.dispatch()
    first_batch = [record for record in bench.take() if isinstance(record, Deliver)]
    assert b"other" in [record.body for record in first_batch]


def test_consumers_of_a_stream_take_turns(bench: StreamBench) -> None:
    bench.put(*[b"x" * 1000] * 450)
    bench.engine.set_congested(0, True)
    for consumer in range(1, 5):
        bench.read(consumer, channel=consumer, connection=consumer)
    bench.engine.set_congested(0, False)
    bench.engine.dispatch()
    counts = [0] * 5
    for record in bench.take():
        counts[record.consumer] += 1
    assert sum(counts) < 600
    assert min(counts[1:]) >= 64


# -- filters

def filtered(value: bytes | None) -> bytes:
    """Properties with headers, and the filter value in them."""
    entries = field_entry("a", b"S", b"\0\0\0\1b")
    if value is not None:
        entries += field_entry("x-stream-filter-value", b"S", len(value).to_bytes(4, "big") + value)
    return b"\x20\0" + table(entries)


@pytest.mark.parametrize(
    ("filters", "match_unfiltered", "expected"),
    [
        (None, False, [0, 1, 2, 3, 4]),
        ([b"red"], False, [0, 3]),
        ([b"red", b"blue"], False, [0, 1, 3]),
        ([b"red"], True, [0, 2, 3, 4]),
        ([b"re"], False, []),
        ([], False, []),
        ([], True, [2, 4]),
        ([b""], False, []),
    ],
)
def test_a_filter_passes_what_has_one_of_its_values(
    bench: StreamBench, filters: list[bytes] | None, match_unfiltered: bool, expected: list[int]
) -> None:
    bench.feed(
        *(publish(1, properties=filtered(value)) for value in (b"red", b"blue", None, b"red")), publish(1), publish(2)
    )
    bench.sync()
    bench.read(filters=filters, match_unfiltered=match_unfiltered)
    assert bench.offsets() == expected


def test_a_filter_that_finds_little_rests_between_dispatches(bench: StreamBench) -> None:
    bench.feed(*[publish(1, properties=filtered(b"no"))] * 5000, publish(1, properties=filtered(b"yes")))
    bench.sync()
    bench.read(filters=[b"yes"])
    turns = 0
    while not bench.engine.idle:
        bench.engine.dispatch()
        turns += 1
    assert 3 <= turns <= 6
    assert bench.offsets() == [5000]
    bench.read(2, filters=[b"yes"], channel=2)
    bench.engine.cancel(0, 2)
    assert bench.engine.idle


# -- retention

def test_the_oldest_go_when_the_stream_is_too_large(tmp_path: Path) -> None:
    bench = StreamBench(tmp_path, max_length_bytes=1000)
    bench.put(*[b"x" * 100] * 3)
    record_bytes = bench.engine.describe(1)["message_bytes"] // 3
    bench.put(*[b"x" * 100] * 97)
    first, end = bench.kept()
    assert end == 100
    assert end - first == 1000 // record_bytes
    assert bench.engine.describe(1)["message_bytes"] == (end - first) * record_bytes
    assert bench.store.live_entries == end - first
    assert bench.begins(at_offset(0)) == first


def test_the_oldest_go_when_their_time_is_over(tmp_path: Path) -> None:
    bench = StreamBench(tmp_path, max_age_ms=100)
    for n in range(5):
        bench.put(b"%d" % n, at_ms=10 * n)
    assert bench.kept() == (0, 5)
    assert bench.engine.next_timer_ms() == START_MS + 100
    bench.at(99)
    assert bench.kept() == (0, 5)
    bench.at(100)
    assert bench.kept() == (1, 5)
    bench.at(125)
    assert bench.kept() == (3, 5)
    assert bench.engine.next_timer_ms() == START_MS + 130
    bench.at(1000)
    assert bench.kept() == (4, 5)
    assert bench.engine.next_timer_ms() is None
    bench.put(b"5", at_ms=2000)
    assert bench.kept() == (5, 6)


def test_the_last_message_always_stays(tmp_path: Path) -> None:
    bench = StreamBench(tmp_path, max_length_bytes=0)
    bench.numbered(3)
    assert bench.kept() == (2, 3)
    assert bench.begins(FIRST) == 2
    again = bench.reopened(max_length_bytes=0)
    assert again.kept() == (2, 3)
    again.numbered(1)
    assert again.kept() == (3, 4)


def test_a_reader_that_was_overtaken_goes_on_with_what_there_is(tmp_path: Path) -> None:
    bench = StreamBench(tmp_path, max_length_bytes=1000)
    bench.put(b"x" * 100)
    bench.read(prefetch=1)
    assert bench.offsets() == [0]
    bench.put(*[b"x" * 100] * 50)
    bench.feed(settle(1, 1))
    first, _ = bench.kept()
    assert first > 1
    assert bench.offsets() == [first]


def test_a_new_limit_holds_at_once(bench: StreamBench) -> None:
    bench.put(*[b"x" * 100] * 50)
    bench.engine.configure(1, QueueFeatures(queue_type="stream", max_length_bytes=1000))
    assert bench.ready() < 10
    bench.engine.configure(1, QueueFeatures(queue_type="stream", max_age_ms=10))
    bench.at(20)
    assert bench.ready() == 1


def test_much_is_dropped_in_steps(bench: StreamBench) -> None:
    bench.numbered(20_000)
    bench.engine.configure(1, QueueFeatures(queue_type="stream", max_length_bytes=0))
    assert 1 < bench.ready() < 20_000
    assert bench.engine.next_timer_ms() == bench.engine.now_ms
    bench.at(0)
    assert bench.kept() == (19_999, 20_000)


def test_limits_of_other_queues_are_not_a_streams(tmp_path: Path) -> None:
    bench = StreamBench(tmp_path, message_ttl_ms=1, max_length=1, expires_ms=1, overflow="reject-publish",
                        dead_letter_exchange="x")
    bench.feed(publish(1, ttl_ms=1), publish(1, ttl_ms=1), publish(1, ttl_ms=1))
    bench.sync()
    bench.at(1000)
    assert bench.ready() == 3
    assert bench.engine.take_expired_queues() == []


def test_a_stream_is_not_purged(bench: StreamBench) -> None:
    bench.numbered(1)
    with pytest.raises(ValueError):
        bench.engine.purge(1)
    assert not bench.engine.get(0, 1, 1, 1, True)
    assert bench.ready() == 1


def test_a_deleted_stream_takes_all_its_messages_along(bench: StreamBench) -> None:
    bench.numbered(700)
    bench.feed(publish([1, 2]))
    bench.read(prefetch=5)
    bench.read(2, channel=2)
    assert sorted(bench.engine.remove_queue(1)) == [(0, 1), (0, 2)]
    assert bench.store.live_entries == 1
    bench.feed(settle(1, 5, multiple=True))
    bench.sync()
    assert bench.store.live_entries == 1
    assert bench.engine.idle


def test_several_streams_wait_for_the_disk_together(bench: StreamBench) -> None:
    for queue_id in (3, 4, 5):
        bench.engine.add_queue(queue_id, True, False, 0, QueueFeatures(queue_type="stream"))
        bench.engine.consume(0, queue_id, queue_id, 1, 1, no_ack=False, exclusive=False, prefetch=9)
    bench.feed(publish([3, 4, 5, 1]), publish([4, 2]))
    bench.engine.remove_queue(4)
    assert bench.take() == []
    bench.sync()
    assert sorted((record.queue_id, record.offset) for record in bench.take()) == [(3, 0), (5, 0)]


# -- messages by position

def shown(bench: StreamBench, first: int = 0, count: int = 1000) -> list[int]:
    messages, _ = bench.engine.browse(1, first, (1 << 64) - 1, READY | UNACKED, count, 1 << 30, 100)
    assert all(message.state == READY for message in messages)
    return [message.position for message in messages]


def test_the_position_of_a_message_is_its_offset_and_one(bench: StreamBench) -> None:
    bench.numbered(600)
    bench.read(prefetch=3)
    assert shown(bench) == list(range(1, 601))
    assert shown(bench, 300, 2) == [300, 301]
    assert bench.engine.positions(1, 599, 10_000, READY, 10) == ([599, 600], None)


def test_a_deleted_message_leaves_its_offset_out(bench: StreamBench) -> None:
    bench.numbered(6)
    assert bench.engine.delete_messages(1, [0, 1, 2, 4, 6, 7, 99]) == 3
    assert bench.kept() == (2, 6)
    assert bench.store.live_entries == 3
    bench.read()
    assert bench.offsets() == [2, 4, 5]
    assert bench.engine.delete_messages(1, [3, 5, 6]) == 2
    assert bench.kept() == (5, 6)
    again = bench.reopened()
    assert again.kept() == (5, 6)


# -- restarts

@pytest.mark.parametrize("close", [True, False])
def test_offsets_are_kept_through_a_restart(tmp_path: Path, close: bool) -> None:
    bench = StreamBench(tmp_path, max_length_bytes=30_000)
    bench.numbered(1000)
    kept, size_bytes = bench.kept(), bench.engine.describe(1)["message_bytes"]
    again = bench.reopened(close=close, max_length_bytes=30_000)
    assert again.kept() == kept
    assert again.engine.describe(1)["message_bytes"] == size_bytes
    again.read(prefetch=2000)
    assert again.all_offsets() == list(range(*kept))
    again.numbered(1, 1000)
    assert again.all_offsets() == [1000]


def test_a_stream_survives_the_compaction_of_its_segments(tmp_path: Path) -> None:
    bench = StreamBench(tmp_path, segment_bytes=16 << 10)
    bench.store.compacted_bytes_min = 1
    for n in range(200):
        bench.feed(*[publish(2, b"x" * 50, persistent=True)] * 10, publish(1, b"%d" % n))
    bench.sync()
    bench.engine.purge(2)
    while bench.store.compact(1 << 20) or bench.store.has_chores:
        bench.sync()
        for chore in bench.store.take_chores():
            chore.run()
            chore.finish()
    assert bench.store.statistics()["compactions"] > 0
    bench.read()
    records = [record for record in bench.take() if isinstance(record, Deliver)]
    assert [(record.offset, record.body) for record in records] == [(n, b"%d" % n) for n in range(200)]
    again = bench.reopened()
    again.read()
    assert [record.body for record in again.take()] == [b"%d" % n for n in range(200)]


def test_a_damaged_message_is_left_out(tmp_path: Path) -> None:
    bench = StreamBench(tmp_path)
    bench.numbered(5)
    bench.store.close()
    (data,) = (tmp_path / "durable").glob("*.data")
    raw = bytearray(data.read_bytes())
    for body in (b"key\0\x002", b"key\0\x004"):
        raw[raw.index(body) + 5] ^= 1
    data.write_bytes(bytes(raw))
    again = bench.reopened(close=False)
    again.read()
    assert again.offsets() == [0, 1, 3]
    again.numbered(1)
    assert again.offsets() == [5]
    assert again.begins(at_offset(2)) == 3
    assert again.begins(LAST) == 5


# -- any order of things

@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_things(tmp_path: Path, seed: int) -> None:
    """Against a list: what a consumer gets ascends, leaves nothing out that was still there, and is what was put."""
    rng = random.Random(seed)
    bench = StreamBench(tmp_path, segment_bytes=8 << 10, max_length_bytes=20_000)
    put = 0
    readers: dict[int, tuple[int, int]] = {}        # consumer: (next offset that it may get, last sequence)
    serial = 0
    for _ in range(400):
        match rng.randrange(8):
            case 0 | 1:
                bench.feed(*(publish(1, b"%d" % (put + n)) for n in range(20)), publish(2))
                put += 20
            case 2:
                bench.sync()
            case 3:
                serial += 1
                start = rng.randrange(put + 1)
                bench.read(serial, at_offset(start), channel=serial, connection=1, prefetch=rng.choice((1, 5, 50)))
                readers[serial] = (start, 0)
            case 4 if readers:
                gone = rng.choice(list(readers))
                bench.engine.close_channel(0, gone)
                del readers[gone]
            case 5 if rng.random() < 0.1:
                bench.sync()
                bench = bench.reopened(close=rng.random() < 0.5, max_length_bytes=20_000)
                readers.clear()
            case _:
                for consumer, (_, sequence) in readers.items():
                    bench.feed(settle(consumer, rng.randint(0, sequence), rng.randrange(3), multiple=True))
        first, end = bench.kept()
        assert end == put
        for record in bench.take():
            if not isinstance(record, Deliver) or record.offset is None:
                continue
            bench.delivered_bytes += record.record_bytes
            expected, sequence = readers[record.consumer]
            assert record.offset >= expected
            assert record.offset == expected or record.offset <= first
            assert record.body == b"%d" % record.offset
            readers[record.consumer] = (record.offset + 1, sequence + 1)
        bench.feed(credit(1, bench.delivered_bytes))
    assert bench.engine.describe(1)["messages"] == end - first
