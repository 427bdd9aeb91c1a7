"""Floods: a queue that fills although its consumers are fast is announced, and its end too. The clock is the test's."""
from __future__ import annotations

from pathlib import Path

import pytest

from bus.limits import CONNECTION_WINDOW_BYTES
from tests.unit.shards.conftest import Bench
from tests.unit.shards.wire import Deliver, Json, credit, publish, settle

FAST = 100
"""Messages a millisecond from which on consumers are fast."""
MEASURED_MS = 20
SMALLEST = 1000
WAITING_BEGINS, WAITING_ENDS = 20_000, 4_000


class FloodBench:
    """One queue with one consumer, which takes of what it was given as many messages a millisecond as a test says."""

    def __init__(self, bench: Bench, **consumer: int) -> None:
        self.bench = bench
        self.no_ack = bool(consumer.get("no_ack"))
        self.given = self.taken = 0
        self.given_bytes = 0
        self.events: list[tuple[int, bool]] = []
        bench.engine.now_ms = 1_700_000_000_000
        bench.consume(**consumer)

    def look(self) -> None:
        for record in self.bench.take():
            if isinstance(record, Deliver):
                self.given += 1
                self.given_bytes += record.record_bytes
            elif isinstance(record, Json):
                assert record.document["event"] == "flood"
                self.events.append((record.document["queue_id"], record.document["on"]))

    def live(self, milliseconds: int, *, published: int = 0, taken: int = 0, body: bytes = b"body") -> None:
        """So many are published and acknowledged in each millisecond, if so many were given."""
        for _ in range(milliseconds):
            self.bench.engine.now_ms += 1
            if published:
                self.bench.feed(publish(1, body) * published)
                self.look()
            if taken:
                self.take(taken)

    def take(self, count: int) -> None:
        self.taken = min(self.taken + count, self.given)
        if self.no_ack:
            self.bench.feed(credit(1, self.given_bytes * self.taken // self.given))
        elif self.taken:
            self.bench.feed(settle(1, self.taken, multiple=True), credit(1, self.given_bytes))
        self.look()


def flooded(bench: Bench) -> FloodBench:
    flood = FloodBench(bench, prefetch=500)
    flood.live(3 * MEASURED_MS, published=400, taken=300)
    assert flood.events == [(1, True)] and bench.ready() > SMALLEST
    return flood


def test_a_fast_consumer_that_is_outrun(bench: Bench) -> None:
    flood = flooded(bench)
    while bench.ready() > SMALLEST:
        flood.live(1, taken=300)
    flood.live(3, taken=300)
    assert flood.events == [(1, True), (1, False)]


@pytest.mark.parametrize("taken, fast", [(25, True), (15, False)], ids=["400 MB a second", "240 MB a second"])
def test_large_messages_count_for_more_and_fewer_of_them_are_a_flood(tmp_path: Path, taken: int, fast: bool) -> None:
    bench = Bench(tmp_path, segment_bytes=16 << 20)
    bench.engine.add_queue(1, False, False)
    flood = FloodBench(bench, prefetch=50)
    flood.live(3 * MEASURED_MS, published=taken + 15, taken=taken, body=bytes(16384))
    assert flood.events == ([(1, True)] if fast else [])
    assert 256 < bench.ready() < SMALLEST


def test_a_flood_ends_before_the_consumer_has_nothing_left(bench: Bench) -> None:
    flood = flooded(bench)
    while len(flood.events) == 1:
        flood.live(1, taken=300)
    assert bench.ready() > SMALLEST // 4


def test_whether_consumers_acknowledge_makes_no_difference(bench: Bench) -> None:
    flood = FloodBench(bench, no_ack=True)
    body = b"x" * 6000
    for _ in range(3 * MEASURED_MS):            # of these a connection's window holds less than 200
        bench.engine.now_ms += 1
        bench.feed(publish(1, body) * 200)
        flood.look()
        flood.take(150)
    assert flood.events == [(1, True)]


@pytest.mark.parametrize("prefetch", [1, 10, 500, 0])
def test_a_slow_consumer_leaves_a_backlog_and_no_flood(bench: Bench, prefetch: int) -> None:
    flood = FloodBench(bench, prefetch=prefetch)
    flood.live(10 * MEASURED_MS, published=300, taken=FAST - 10)
    assert flood.events == []
    assert bench.ready() > WAITING_BEGINS or prefetch == 0


@pytest.mark.parametrize("no_ack", [True, False])
def test_a_consumer_that_waits_for_its_connection_need_not_be_fast(bench: Bench, no_ack: bool) -> None:
    flood = FloodBench(bench, no_ack=no_ack)
    body = b"x" * 2000
    bench.feed(publish(1, body) * 600)          # more than a connection's window
    flood.look()
    while bench.ready() <= WAITING_BEGINS:
        flood.live(1, published=400)
    for _ in range(3 * MEASURED_MS):            # its connection takes some messages in a millisecond
        bench.engine.now_ms += 1
        bench.feed(publish(1) * 5, credit(1, flood.given_bytes - CONNECTION_WINDOW_BYTES + 1000))
        flood.look()
    assert flood.events == [(1, True)]
    while bench.ready() > WAITING_ENDS // 2:
        bench.engine.now_ms += MEASURED_MS
        bench.feed(credit(1, flood.given_bytes))
        flood.look()
    assert flood.events == [(1, True), (1, False)]


def test_the_backlog_of_a_waiting_consumer_is_counted_in_bytes_too(tmp_path: Path) -> None:
    bench = Bench(tmp_path, segment_bytes=16 << 20)
    bench.engine.add_queue(1, False, False)
    flood = FloodBench(bench)
    body = bytes(1 << 20)
    bench.feed(publish(1, body) * 4)            # more than a connection's window
    flood.look()
    begins = (64 << 20) // (len(body) + 1)
    while not flood.events and bench.ready() < 2 * begins:
        bench.engine.now_ms += MEASURED_MS      # its connection takes one in so long
        bench.feed(publish(1, body) * 2, credit(1, flood.given_bytes - CONNECTION_WINDOW_BYTES + 1000))
        flood.look()
    assert flood.events == [(1, True)] and begins < bench.ready() < begins + 4
    while bench.ready() > begins // 5:
        bench.engine.now_ms += MEASURED_MS
        bench.feed(credit(1, flood.given_bytes))
        flood.look()
    assert flood.events == [(1, True), (1, False)]


def test_acknowledgements_that_come_rarely_and_many_at_once_are_slow(bench: Bench) -> None:
    flood = FloodBench(bench, prefetch=1000)
    for _ in range(20):
        flood.live(50, published=100)
        flood.live(1, taken=1000)
    assert flood.events == []


def test_nor_is_a_backlog_without_consumers_a_flood(bench: Bench) -> None:
    bench.engine.now_ms = 1_700_000_000_000
    for _ in range(3 * MEASURED_MS):
        bench.engine.now_ms += 1
        bench.feed(publish(1) * 500)
    assert bench.take() == []


def test_a_consumer_that_becomes_slow_throttles_nobody(bench: Bench) -> None:
    flood = flooded(bench)
    flood.live(2 * MEASURED_MS, published=50, taken=5)
    assert flood.events == [(1, True), (1, False)]
    flood.live(5 * MEASURED_MS, published=300, taken=5)
    assert flood.events == [(1, True), (1, False)]


def test_nor_does_one_that_stops(bench: Bench) -> None:
    flood = flooded(bench)
    flood.live(2 * MEASURED_MS, published=50)
    assert flood.events == [(1, True), (1, False)]


def test_a_short_backlog_is_none(bench: Bench) -> None:
    flood = FloodBench(bench, prefetch=500)
    flood.live(3 * MEASURED_MS, published=300, taken=300)
    flood.live(1, published=SMALLEST)
    flood.live(1, taken=300)
    assert flood.events == []


def test_a_queue_that_has_rested_is_measured_anew(bench: Bench) -> None:
    flood = FloodBench(bench, prefetch=500)
    flood.live(3 * MEASURED_MS, published=300, taken=300)
    bench.engine.now_ms += 60_000
    flood.live(1, published=20 * SMALLEST)
    assert flood.events == []


def test_a_clock_that_is_set_back_begins_anew(bench: Bench) -> None:
    flood = flooded(bench)
    bench.engine.now_ms -= 3_600_000
    flood.live(1, published=1)
    assert flood.events == [(1, True), (1, False)]
    flood.live(3 * MEASURED_MS, published=400, taken=300)
    assert flood.events == [(1, True), (1, False), (1, True)]


@pytest.mark.parametrize("end", ["purge", "cancel", "delete"])
def test_other_ends(bench: Bench, end: str) -> None:
    flood = flooded(bench)
    if end == "purge":
        bench.engine.purge(1)
    elif end == "cancel":
        bench.engine.cancel(0, 1)
    else:
        bench.engine.remove_queue(1)
    flood.look()
    assert flood.events == [(1, True), (1, False)]
