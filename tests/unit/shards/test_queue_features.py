"""TTL, length limits, priorities and x-expires on one engine, with the test's clock."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shards.engine import Engine
from tests.unit.shards.conftest import Bench
from tests.unit.shards.wire import REJECT, REQUEUE, GetOk, Refused, publish, settle
from topology.features import QueueFeatures

START_MS = 1_700_000_000_000


class FeatureBench(Bench):
    """Queue 1 with features, and a clock."""

    def __init__(self, root: Path, **features: Any) -> None:
        super().__init__(root)
        self.engine.now_ms = START_MS
        self.engine.add_queue(1, True, False, 0, QueueFeatures(**features))

    def at(self, ms: int) -> None:
        """So many ms after the start: what is due happens."""
        while self.engine.expire(START_MS + ms):
            pass
        self.engine.dispatch()

    def next_ms(self) -> int | None:
        at_ms = self.engine.next_timer_ms()
        return None if at_ms is None else at_ms - START_MS

    def get(self, *, no_ack: bool = True) -> bytes | None:
        if not self.engine.get(0, 1, 1, 1, no_ack):
            return None
        (record,) = [record for record in self.take() if isinstance(record, GetOk)]
        return record.body

    def deaths(self) -> dict[str, int]:
        return {reason: count for reason, count in self.engine.statistics()["deaths"].items() if count}

    def reopened(self, **features: Any) -> FeatureBench:
        """After a restart."""
        self.store.close()
        again = FeatureBench.__new__(FeatureBench)
        Bench.__init__(again, Path(self.store.durable_directory).parent)
        recovered = again.store.recover()
        again.engine.now_ms = self.engine.now_ms
        again.engine.add_queue(1, True, False, again.store.highest_number(1), QueueFeatures(**features))
        if 1 in recovered:
            again.engine.load(1, recovered[1])
        return again


def sizes(*bodies: int) -> list[bytes]:
    return [publish(1, b"x" * size) for size in bodies]


# -- TTL

def test_a_message_expires_at_the_head(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path, message_ttl_ms=100)
    bench.feed(publish(1, b"a"))
    assert bench.next_ms() == 100
    bench.at(99)
    assert bench.ready() == 1
    bench.at(100)
    assert (bench.ready(), bench.deaths(), bench.next_ms()) == (0, {"expired": 1}, None)
    assert bench.store.live_entries == 0


@pytest.mark.parametrize("queue_ttl, message_ttl, expected", [(100, 50, 50), (50, 100, 50), (None, 70, 70)])
def test_the_lesser_ttl_counts(tmp_path: Path, queue_ttl: int | None, message_ttl: int, expected: int) -> None:
    bench = FeatureBench(tmp_path, message_ttl_ms=queue_ttl)
    bench.feed(publish(1, ttl_ms=message_ttl))
    assert bench.next_ms() == expected


def test_a_message_behind_one_that_lives_longer_waits_for_it(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path)
    bench.feed(publish(1, b"long", ttl_ms=1000), publish(1, b"short", ttl_ms=10))
    bench.at(500)
    assert bench.ready() == 2
    bench.at(1000)
    assert (bench.ready(), bench.deaths()) == (0, {"expired": 2})


def test_an_expired_head_is_never_delivered(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path, message_ttl_ms=10)
    bench.feed(publish(1, b"old"))
    bench.engine.now_ms = START_MS + 10
    bench.consume()
    assert bench.take() == []
    bench.feed(publish(1, b"new"))
    assert bench.bodies() == [b"new"]


def test_ttl_0_is_for_those_who_wait_already(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path, message_ttl_ms=0)
    bench.feed(publish(1, b"nobody"))
    bench.at(0)
    assert (bench.ready(), bench.deaths()) == (0, {"expired": 1})
    bench.consume(prefetch=2)
    bench.feed(publish(1, b"a"), publish(1, b"b"), publish(1, b"c"))
    bench.at(0)
    assert bench.bodies() == [b"a", b"b"]
    assert bench.deaths() == {"expired": 2}


def test_a_requeued_message_keeps_its_deadline(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path, message_ttl_ms=100)
    bench.consume(prefetch=1)
    bench.feed(publish(1, b"a"))
    bench.engine.cancel(0, 1)
    bench.at(150)
    bench.feed(settle(1, 1, REQUEUE))
    bench.at(150)
    assert (bench.ready(), bench.deaths()) == (0, {"expired": 1})


@pytest.mark.parametrize("queue_ttl, message_ttl", [(100, 2**64 - 1), (None, 100)])
def test_a_deadline_survives_a_restart(tmp_path: Path, queue_ttl: int | None, message_ttl: int) -> None:
    bench = FeatureBench(tmp_path, message_ttl_ms=queue_ttl)
    bench.feed(publish(1, b"a", persistent=True, ttl_ms=message_ttl))
    bench.at(60)
    again = bench.reopened()
    again.at(99)
    assert again.ready() == 1
    again.at(100)
    assert (again.ready(), again.deaths()) == (0, {"expired": 1})


def test_a_message_of_a_plain_queue_may_expire(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path)
    bench.feed(publish(1, b"a"), publish(1, b"b", ttl_ms=5), publish(1, b"c"))
    bench.at(10)
    assert [bench.get(), bench.get()] == [b"a", b"c"]


# -- length

def test_the_head_is_dropped(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path, max_length=2)
    bench.feed(*(publish(1, b"%d" % number) for number in range(5)))
    assert (bench.ready(), bench.deaths()) == (2, {"maxlen": 3})
    assert [bench.get(), bench.get()] == [b"3", b"4"]


def test_bytes_count_bodies_of_ready_messages(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path, max_length_bytes=10)
    bench.feed(*sizes(4, 4))
    assert bench.ready() == 2
    bench.feed(*sizes(4))
    assert bench.ready() == 2
    bench.consume(prefetch=1)                   # holds one: only the other counts
    bench.feed(*sizes(6))
    assert bench.ready() == 2
    bench.feed(settle(1, 1, REQUEUE))           # as the head, which has no room
    assert (bench.ready(), bench.deaths()) == (1, {"maxlen": 2})


@pytest.mark.parametrize("overflow", ["reject-publish", "reject-publish-dlx"])
def test_what_would_not_fit_is_refused(tmp_path: Path, overflow: str) -> None:
    bench = FeatureBench(tmp_path, max_length=1, overflow=overflow)
    bench.engine.add_queue(2, False, False)
    bench.feed(publish(1, b"a", sequence=1), publish([1, 2], b"b", sequence=2), publish(1, b"c"))
    assert bench.take() == [Refused(1, 2)]
    assert (bench.ready(1), bench.ready(2)) == (1, 1)
    assert bench.deaths() == ({"maxlen": 2} if overflow.endswith("dlx") else {})


def test_a_limit_that_is_lowered_holds_at_once(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path)
    bench.feed(*sizes(1, 2, 3, 4))
    bench.engine.configure(1, QueueFeatures(max_length_bytes=7))
    assert bench.ready() == 2
    bench.engine.configure(1, QueueFeatures())
    bench.feed(*sizes(10, 10))
    assert bench.ready() == 4


def test_bytes_are_right_after_a_restart(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path, max_length_bytes=10)
    bench.feed(*(publish(1, b"x" * size, persistent=True) for size in (4, 5)))
    again = bench.reopened(max_length_bytes=10)
    again.feed(publish(1, b"x" * 2))
    assert (again.ready(), again.deaths()) == (2, {"maxlen": 1})


# -- priorities

def test_higher_priorities_first_and_fifo_inside(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path, max_priority=255)
    for body, priority in [(b"0", 0), (b"200", 200), (b"3", 3), (b"200'", 200), (b"255", 255), (b"64", 64)]:
        bench.feed(publish(1, body, priority=priority))
    assert [bench.get() for _ in range(7)] == [b"255", b"200", b"200'", b"64", b"3", b"0", None]


def test_a_priority_above_the_highest_counts_as_that(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path, max_priority=5)
    bench.feed(publish(1, b"a", priority=5), publish(1, b"b", priority=9), publish(1, b"c", priority=5))
    assert [bench.get() for _ in range(3)] == [b"a", b"b", b"c"]


def test_a_returned_message_goes_back_into_its_priority(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path, max_priority=2)
    for body, priority in [(b"low", 0), (b"high", 2), (b"high'", 2)]:
        bench.feed(publish(1, body, priority=priority))
    assert bench.get(no_ack=False) == b"high"
    bench.feed(settle(1, 1, REQUEUE))
    assert [bench.get() for _ in range(3)] == [b"high", b"high'", b"low"]


def test_priorities_survive_a_restart(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path, max_priority=9)
    for priority in (1, 9, 4):
        bench.feed(publish(1, b"%d" % priority, priority=priority, persistent=True))
    again = bench.reopened(max_priority=9)
    assert [again.get() for _ in range(3)] == [b"9", b"4", b"1"]


def test_the_heads_of_all_priorities_expire(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path, max_priority=3)
    bench.feed(publish(1, b"a", priority=3), publish(1, b"b", priority=1, ttl_ms=5), publish(1, b"c", priority=1))
    bench.at(5)
    assert (bench.ready(), bench.deaths()) == (2, {"expired": 1})


# -- the rest

def test_a_rejected_message_dies(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path, max_length=5)
    bench.consume()
    bench.feed(publish(1, b"a"))
    bench.feed(settle(1, 1, REJECT))
    assert (bench.deaths(), bench.store.live_entries) == ({"rejected": 1}, 0)


def test_a_queue_that_nobody_uses_expires(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path, expires_ms=100)
    assert bench.next_ms() == 100
    bench.engine.now_ms = START_MS + 60
    bench.get()
    bench.at(100)
    assert (bench.engine.take_expired_queues(), bench.next_ms()) == ([], 160)
    bench.consume()
    bench.at(200)
    assert (bench.engine.take_expired_queues(), bench.next_ms()) == ([], None)
    bench.engine.cancel(0, 1)
    assert bench.next_ms() == 300
    bench.engine.now_ms = START_MS + 250
    bench.engine.used(1)
    bench.at(349)
    assert bench.engine.take_expired_queues() == []
    bench.at(350)
    assert bench.engine.take_expired_queues() == [1]


def test_removed_queues_leave_no_timers(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path, message_ttl_ms=50)
    for queue_id in range(2, 40):
        bench.engine.add_queue(queue_id, False, False, 0, QueueFeatures(message_ttl_ms=queue_id * 7 % 31 + 1))
        bench.feed(publish(queue_id))
    bench.feed(publish(1))
    order = []
    for queue_id in range(2, 40, 3):
        bench.engine.remove_queue(queue_id)
    while (at_ms := bench.next_ms()) is not None:
        order.append(at_ms)
        bench.at(at_ms)
    assert order == sorted({queue_id * 7 % 31 + 1 for queue_id in range(2, 40) if (queue_id - 2) % 3} | {50})
    assert bench.store.live_entries == 0


def test_an_idle_million_costs_no_timer_but_the_first(tmp_path: Path) -> None:
    engine: Engine = FeatureBench(tmp_path).engine
    batch = b"".join(publish(1, b"x", ttl_ms=1000 + number) for number in range(1000))
    engine.receive(0, batch)
    engine.expire(START_MS + 999)
    assert engine.next_timer_ms() == START_MS + 1000
