"""Consumer timeout on one engine, with the test's clock: who loses a consumer, when, and what comes back."""
from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.unit.shards.test_queue_features import START_MS, FeatureBench
from tests.unit.shards.wire import ACK, REQUEUE, Deliver, Json, publish, settle
from topology.features import QueueFeatures

TIMEOUT_MS = 8000
LATE_MS = 2000
"""At most: a look for the checkpoint behind the delivery, and one that finds it."""


class TimedBench(FeatureBench):
    """Queue 1 with a timeout."""

    def __init__(self, root: Path, **features: Any) -> None:
        super().__init__(root, **{"consumer_timeout_ms": TIMEOUT_MS, **features})

    def run_to(self, ms: int) -> list[dict[str, Any]]:
        """Lets the time pass as a shard does, from timer to timer; who was told what."""
        while (at_ms := self.next_ms()) is not None and at_ms <= ms:
            self.at(at_ms)
        self.at(ms)
        return self.timed_out()

    def timed_out(self, gateway: int = 0) -> list[dict[str, Any]]:
        return [
            {key: value for key, value in record.document.items() if key != "event"}
            for record in self.take(gateway)
            if isinstance(record, Json) and record.document["event"] == "timed_out"
        ]


def said(consumer: int | None = 1, channel: int = 1, timeout_ms: int = TIMEOUT_MS) -> dict[str, int]:
    return {"channel": channel, **({} if consumer is None else {"consumer": consumer}), "timeout": timeout_ms}


def test_who_holds_a_message_too_long_loses_its_consumer(tmp_path: Path) -> None:
    bench = TimedBench(tmp_path)
    bench.consume(1, channel=1)
    bench.consume(2, channel=2)
    bench.feed(publish(1, b"kept"), publish(1, b"settled"))
    bench.feed(settle(2, 1))
    assert bench.run_to(TIMEOUT_MS - 1) == []
    bench.at(TIMEOUT_MS)
    records = bench.take()
    assert [record.document for record in records if isinstance(record, Json)] == [{"event": "timed_out", **said()}]
    (again,) = [record for record in records if isinstance(record, Deliver)]
    assert (again.consumer, again.body, again.delivery_count) == (2, b"kept", 1)
    assert bench.engine.count(1) == (0, 1)


def test_nothing_is_found_too_early_nor_much_too_late(tmp_path: Path) -> None:
    """Deliveries at any time, each on a channel of its own and one that goes on with others."""
    bench = TimedBench(tmp_path)
    dice = random.Random(5)
    delivered: dict[int, int] = {}
    found: dict[int, int] = {}
    for consumer in range(1, 60):
        bench.at(dice.randrange(400) + (delivered[consumer - 1] if delivered else 0))
        now_ms = bench.engine.now_ms - START_MS
        bench.consume(consumer, channel=consumer, prefetch=1, priority=consumer)
        bench.feed(publish(1))
        delivered[consumer] = now_ms
        for document in bench.timed_out():
            found[document["consumer"]] = now_ms
    end_ms = max(delivered.values()) + TIMEOUT_MS + LATE_MS
    now_ms = max(delivered.values())
    while now_ms < end_ms:
        now_ms += 50
        for document in bench.run_to(now_ms):
            found[document["consumer"]] = now_ms
    assert found.keys() == delivered.keys()
    assert all(TIMEOUT_MS <= found[n] - delivered[n] <= TIMEOUT_MS + LATE_MS for n in found)


def test_one_message_of_many_on_a_busy_channel(tmp_path: Path) -> None:
    bench = TimedBench(tmp_path)
    bench.consume(1)
    bench.feed(publish(1, b"stuck"))
    for number in range(2, 200):
        bench.at(number * 100)
        if bench.timed_out():
            assert TIMEOUT_MS <= number * 100 <= TIMEOUT_MS + LATE_MS
            break
        bench.feed(publish(1), settle(1, number, ACK))
    else:
        pytest.fail("it was never found")
    assert (bench.ready(), bench.engine.describe(1)["messages_unacknowledged"]) == (1, 0)


def test_a_long_timeout_is_kept_by_few_checkpoints(tmp_path: Path) -> None:
    half_an_hour_ms = 1_800_000
    bench = TimedBench(tmp_path, consumer_timeout_ms=half_an_hour_ms)
    bench.consume(1)
    for second in range(100):
        bench.run_to(second * 1000)
        bench.feed(publish(1))
        bench.feed(settle(1, second + 1))
    bench.feed(publish(1, b"stuck"))
    stuck_ms, sequence = 99_000, 101
    for second in range(100, 2100):
        if bench.run_to(second * 1000):
            assert half_an_hour_ms <= second * 1000 - stuck_ms <= half_an_hour_ms * 1.05
            break
        sequence += 1
        bench.feed(publish(1))
        bench.feed(settle(1, sequence))
    else:
        pytest.fail("it was never found")


def test_settling_in_time_costs_nothing(tmp_path: Path) -> None:
    bench = TimedBench(tmp_path)
    bench.consume(1)
    bench.feed(publish(1), publish(1))
    assert bench.next_ms() == 1000
    bench.feed(settle(1, 2, multiple=True))
    assert bench.run_to(1000) == []
    assert bench.next_ms() is None


def test_queues_with_different_timeouts_on_one_channel(tmp_path: Path) -> None:
    bench = TimedBench(tmp_path)
    bench.engine.add_queue(2, False, False, 0, QueueFeatures(consumer_timeout_ms=20_000))
    bench.engine.add_queue(3, False, False)
    for queue_id in (1, 2, 3):
        bench.consume(queue_id, queue_id)
        bench.feed(publish(queue_id))
    assert bench.run_to(TIMEOUT_MS + LATE_MS) == [said()]
    assert bench.run_to(20_000 - 1) == []
    assert bench.run_to(20_000 + LATE_MS) == [said(2, 1, 20_000)]
    assert bench.run_to(200_000) == []
    assert bench.engine.count(3) == (0, 1)


def test_all_that_the_consumer_holds_comes_back(tmp_path: Path) -> None:
    bench = TimedBench(tmp_path)
    bench.consume(1)
    bench.consume(2)
    bench.feed(*(publish(1, b"%d" % number) for number in range(4)))
    bench.feed(settle(1, 2))
    bench.engine.cancel(0, 2)
    bench.run_to(TIMEOUT_MS - 500)
    bench.feed(publish(1, b"fresh"))
    assert bench.run_to(TIMEOUT_MS + LATE_MS) == [said(), said(None)]
    assert [bench.get() for _ in range(4)] == [b"0", b"2", b"fresh", None]


def test_what_was_got_has_the_channel_closed_and_is_told_once(tmp_path: Path) -> None:
    bench = TimedBench(tmp_path)
    bench.feed(publish(1, b"a"))
    assert bench.get(no_ack=False) == b"a"
    assert bench.run_to(TIMEOUT_MS + LATE_MS) == [said(None)]
    assert bench.run_to(5 * TIMEOUT_MS) == []
    bench.engine.close_channel(0, 1)
    assert (bench.ready(), bench.run_to(6 * TIMEOUT_MS), bench.next_ms()) == (1, [], None)


def test_a_timeout_is_a_failed_delivery(tmp_path: Path) -> None:
    bench = TimedBench(tmp_path, queue_type="quorum", delivery_limit=0)
    bench.consume()
    bench.feed(publish(1))
    bench.run_to(TIMEOUT_MS + LATE_MS)
    assert (bench.deaths(), bench.ready()) == ({"delivery_limit": 1}, 0)


def test_the_next_single_active_consumer_follows(tmp_path: Path) -> None:
    bench = TimedBench(tmp_path, single_active_consumer=True)
    for consumer in (1, 2):
        bench.consume(consumer, channel=consumer)
    bench.feed(publish(1, b"a"))
    bench.take()
    bench.at(TIMEOUT_MS // 2)
    bench.at(TIMEOUT_MS)
    assert bench.engine.active_consumer(1) == (0, 2)
    assert [record.consumer for record in bench.take() if isinstance(record, Deliver)] == [2]


def test_an_auto_delete_queue_that_loses_its_last_consumer(tmp_path: Path) -> None:
    bench = TimedBench(tmp_path)
    bench.engine.add_queue(2, False, True, 0, QueueFeatures(consumer_timeout_ms=100))
    bench.consume(1, 2)
    bench.feed(publish(2))
    assert bench.run_to(300) == [said(timeout_ms=100)]
    assert (bench.engine.take_deserted_queues(), bench.engine.take_deserted_queues()) == ([2], [])


def test_a_policy_holds_for_what_is_with_consumers_already(tmp_path: Path) -> None:
    bench = TimedBench(tmp_path, consumer_timeout_ms=None)
    bench.consume(1)
    bench.feed(publish(1))
    bench.feed(publish(1))
    assert bench.run_to(10_000) == []
    bench.engine.configure(1, QueueFeatures(consumer_timeout_ms=TIMEOUT_MS))
    assert bench.run_to(10_000 + TIMEOUT_MS - 1) == []
    assert bench.run_to(10_000 + TIMEOUT_MS + LATE_MS) == [said()]


def test_a_policy_that_goes_takes_the_timeout_along(tmp_path: Path) -> None:
    bench = TimedBench(tmp_path)
    bench.consume(1)
    bench.feed(publish(1))
    bench.engine.configure(1, QueueFeatures())
    assert bench.run_to(5 * TIMEOUT_MS) == []


@pytest.mark.parametrize("jump_ms", [3_600_000, -3_600_000])
def test_a_wall_clock_that_is_set_makes_no_message_old(tmp_path: Path, jump_ms: int) -> None:
    bench = TimedBench(tmp_path)
    bench.consume(1)
    bench.feed(publish(1))
    bench.run_to(1000)
    bench.at(1000 + jump_ms)
    assert bench.timed_out() == []
    assert bench.run_to(1000 + jump_ms + TIMEOUT_MS + LATE_MS) == [said()]


def test_a_channel_that_ends_is_not_looked_at(tmp_path: Path) -> None:
    bench = TimedBench(tmp_path)
    for channel in (1, 2, 3):
        bench.consume(channel, channel=channel, gateway=channel % 2, connection=channel)
        bench.feed(publish(1))
    bench.engine.close_channel(0, 2)
    bench.engine.gateway_down(1)
    assert bench.run_to(10 * TIMEOUT_MS) == []
    assert bench.next_ms() is None


def test_a_message_that_is_given_back_in_time_starts_anew(tmp_path: Path) -> None:
    bench = TimedBench(tmp_path)
    bench.consume(1)
    bench.feed(publish(1))
    bench.run_to(TIMEOUT_MS - 1500)
    bench.feed(settle(1, 1, REQUEUE))
    assert bench.run_to(2 * TIMEOUT_MS - 1501) == []
    assert bench.run_to(2 * TIMEOUT_MS + LATE_MS) == [said()]
