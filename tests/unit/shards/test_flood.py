"""Floods: a queue that fills faster than its consumers' connections take from it is announced, and its end too."""
from __future__ import annotations

import pytest

from tests.unit.shards.conftest import Bench
from tests.unit.shards.wire import Deliver, Json, credit, publish, settle

BEGINS, ENDS = 20_000, 4_000
BODY = b"x" * 2000


class FloodBench:
    """One queue with one consumer whose connection takes only what the test lets it take."""

    def __init__(self, bench: Bench, **consumer: int) -> None:
        self.bench = bench
        self.delivered_bytes = 0
        self.events: list[tuple[int, bool]] = []
        bench.consume(**consumer)

    def look(self) -> None:
        for record in self.bench.take():
            if isinstance(record, Deliver):
                self.delivered_bytes += record.record_bytes
            elif isinstance(record, Json):
                assert record.document["event"] == "flood"
                self.events.append((record.document["queue_id"], record.document["on"]))

    def fill(self, count: int) -> None:
        for _ in range(count // 500 + 20):
            self.bench.feed(publish(1, b"x" * 200) * 500)
            self.look()

    def drain(self) -> None:
        """The connection takes what it was given, until nothing is left."""
        while self.bench.ready():
            self.bench.feed(credit(1, self.delivered_bytes))
            self.look()


@pytest.mark.parametrize("no_ack", [True, False])
def test_a_consumer_that_is_slower_than_its_queue(bench: Bench, no_ack: bool) -> None:
    flood = FloodBench(bench, no_ack=no_ack)
    bench.feed(publish(1, BODY) * 600)          # more than a connection's window
    flood.look()
    flood.fill(BEGINS + 1000)
    bench.feed(credit(1, flood.delivered_bytes))
    flood.look()
    assert flood.events == [(1, True)]
    flood.drain()
    assert flood.events == [(1, True), (1, False)]


def test_a_backlog_that_a_prefetch_leaves_is_none(bench: Bench) -> None:
    flood = FloodBench(bench, prefetch=10)
    flood.fill(BEGINS + 1000)
    bench.feed(settle(1, 5, multiple=True))
    flood.look()
    assert flood.events == []


def test_nor_is_one_without_consumers(bench: Bench) -> None:
    for _ in range(2 * BEGINS // 500):
        bench.feed(publish(1) * 500)
    assert bench.take() == []


@pytest.mark.parametrize("end", ["purge", "cancel", "delete"])
def test_other_ends(bench: Bench, end: str) -> None:
    flood = FloodBench(bench, no_ack=True)
    bench.feed(publish(1, BODY) * 600)
    flood.look()
    flood.fill(BEGINS + 1000)
    bench.feed(credit(1, flood.delivered_bytes))
    flood.look()
    assert flood.events == [(1, True)]
    if end == "purge":
        bench.engine.purge(1)
    elif end == "cancel":
        bench.engine.cancel(0, 1)
    else:
        bench.engine.remove_queue(1)
    flood.look()
    assert flood.events == [(1, True), (1, False)]
