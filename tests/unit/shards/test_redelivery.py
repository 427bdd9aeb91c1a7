"""Delivery counts, delivery limits and back-off on one engine, with the test's clock."""
from __future__ import annotations

from pathlib import Path

import pytest

from amqp091 import properties
from amqp091.tables import encode_table
from tests.unit.shards.test_queue_features import FeatureBench
from tests.unit.shards.wire import REQUEUE, REQUEUE_FAILED, Deliver, publish, settle
from topology.backoff import Backoff

DAY_MS = 24 * 3600 * 1000


def headers(record: Deliver) -> dict[str, object] | None:
    found: dict[str, object] | None = properties.decode(record.properties).headers
    return found


def delivered(bench: FeatureBench) -> list[Deliver]:
    return [record for record in bench.take() if isinstance(record, Deliver)]


def returns(bench: FeatureBench, outcomes: list[int]) -> list[int]:
    """Gives the message of consumer 1 back again and again; the counts that its deliveries said."""
    counts = []
    for sequence, outcome in enumerate(outcomes, 1):
        (record,) = delivered(bench)
        counts.append(record.delivery_count)
        bench.feed(settle(1, sequence, outcome))
    return counts


# -- counts

@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_a_redelivered_message_says_how_often_it_was_delivered(tmp_path: Path, queue_type: str) -> None:
    bench = FeatureBench(tmp_path, queue_type=queue_type)
    bench.consume()
    bench.feed(publish(1, b"body", exchange=b"x", routing_key=b"a.b"))
    (first,) = delivered(bench)
    assert (first.properties, first.redelivered) == (b"\0\0", False)
    for sequence in (1, 2, 3):
        bench.feed(settle(1, sequence, REQUEUE))
        (again,) = delivered(bench)
        assert headers(again) == {"x-delivery-count": sequence}
        assert (again.exchange, again.routing_key, again.body, again.redelivered) == (b"x", b"a.b", b"body", True)


def test_a_plain_queue_counts_too(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path)
    bench.engine.add_queue(2, False, False)
    bench.consume(queue_id=2)
    bench.feed(publish(2, b"x"), settle(1, 1, REQUEUE))
    assert [headers(record) for record in delivered(bench)] == [None, {"x-delivery-count": 1}]


def test_other_headers_stay_and_a_clients_count_is_replaced(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path)
    bench.consume()
    table = encode_table({"a": "b", "x-delivery-count": 77, "c": 5})
    bench.feed(publish(1, properties=b"\x20\0" + table))
    (first,) = delivered(bench)
    assert first.properties == b"\x20\0" + table
    bench.feed(settle(1, 1, REQUEUE))
    (again,) = delivered(bench)
    assert headers(again) == {"a": "b", "c": 5, "x-delivery-count": 1}


def test_properties_that_do_not_decode_are_passed_on(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path)
    bench.consume()
    bench.feed(publish(1, properties=b"\x20\0\0\0\0\xff"), settle(1, 1, REQUEUE))
    assert [record.properties for record in delivered(bench)] == [b"\x20\0\0\0\0\xff"] * 2


def test_the_window_counts_what_was_sent(tmp_path: Path) -> None:
    """A record that grew is what the gateway gives credit for."""
    bench = FeatureBench(tmp_path)
    bench.consume()
    bench.feed(publish(1), settle(1, 1, REQUEUE))
    first, again = delivered(bench)
    assert again.record_bytes > first.record_bytes


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_counts_survive_a_restart(tmp_path: Path, queue_type: str) -> None:
    bench = FeatureBench(tmp_path, queue_type=queue_type)
    bench.consume()
    bench.feed(publish(1, b"x", persistent=True))
    assert returns(bench, [REQUEUE_FAILED] * 3) == [0, 1, 2]
    again = bench.reopened(queue_type=queue_type)
    again.consume()
    (record,) = delivered(again)
    assert record.delivery_count in ((4,) if queue_type == "classic" else (3,))
    assert headers(record) == {"x-delivery-count": record.delivery_count}


# -- limits

@pytest.mark.parametrize("limit", [0, 1, 3])
def test_a_message_whose_delivery_fails_too_often_dies(tmp_path: Path, limit: int) -> None:
    bench = FeatureBench(tmp_path, queue_type="quorum", delivery_limit=limit)
    bench.consume()
    bench.feed(publish(1, b"poison"), publish(1, b"next"))
    bench.engine.cancel(0, 1)
    bench.take()
    bench.feed(settle(1, 2))
    for _ in range(limit):
        bench.engine.close_channel(0, 1)
        assert bench.get(no_ack=False) == b"poison"
    assert (bench.deaths(), bench.store.live_entries) == ({}, 1)
    bench.engine.close_channel(0, 1)
    assert (bench.deaths(), bench.ready(), bench.store.live_entries) == ({"delivery_limit": 1}, 0, 0)


def test_what_was_only_given_back_does_not_count(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path, queue_type="quorum", delivery_limit=1)
    bench.consume()
    bench.feed(publish(1))
    outcomes = [REQUEUE, REQUEUE, REQUEUE_FAILED, REQUEUE, REQUEUE, REQUEUE_FAILED]
    assert returns(bench, outcomes) == list(range(6))
    assert (bench.deaths(), delivered(bench)) == ({"delivery_limit": 1}, [])


@pytest.mark.parametrize("features", [{"queue_type": "quorum"}, {"queue_type": "classic", "delivery_limit": 1}])
def test_no_limit(tmp_path: Path, features: dict[str, object]) -> None:
    bench = FeatureBench(tmp_path, **features)
    bench.consume()
    bench.feed(publish(1))
    assert returns(bench, [REQUEUE_FAILED] * 300) == [min(number, 254) for number in range(300)]
    assert bench.deaths() == {}


def test_a_limit_above_what_the_log_counts_to(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path, queue_type="quorum", delivery_limit=400)
    bench.consume()
    bench.feed(publish(1))
    returns(bench, [REQUEUE_FAILED] * 400)
    assert bench.deaths() == {}
    bench.feed(settle(1, 401, REQUEUE_FAILED))
    assert bench.deaths() == {"delivery_limit": 1}


def test_a_limit_holds_through_a_restart(tmp_path: Path) -> None:
    features = {"queue_type": "quorum", "delivery_limit": 3}
    bench = FeatureBench(tmp_path, **features)
    bench.consume()
    bench.feed(publish(1, persistent=True))
    returns(bench, [REQUEUE] * 5 + [REQUEUE_FAILED] * 3)
    again = bench.reopened(**features)
    again.consume()
    assert len(delivered(again)) == 1
    again.engine.close_channel(0, 1)
    assert again.deaths() == {"delivery_limit": 1}


# -- back-off

@pytest.mark.parametrize(
    ("backoff", "pauses"),
    [
        (Backoff(100, 2.0, DAY_MS), [100, 200, 400, 800]),
        (Backoff(100, 1.0, DAY_MS), [100, 100, 100, 100]),
        (Backoff(100, 1.5, DAY_MS), [100, 150, 225, 337]),
        (Backoff(100, 10.0, 5000), [100, 1000, 5000, 5000]),
        (Backoff(100, None, 250), [100, 200, 250, 250]),
        (Backoff(100, 1e300, DAY_MS), [100, DAY_MS, DAY_MS, DAY_MS]),
    ],
)
@pytest.mark.parametrize("outcome", [REQUEUE, REQUEUE_FAILED])
def test_a_returned_message_waits(tmp_path: Path, backoff: Backoff, pauses: list[int], outcome: int) -> None:
    bench = FeatureBench(tmp_path, backoff=backoff)
    bench.consume()
    bench.feed(publish(1, b"a"))
    at_ms = 0
    for sequence, pause_ms in enumerate(pauses, 1):
        (record,) = delivered(bench)
        assert record.delivery_count == sequence - 1
        bench.feed(settle(1, sequence, outcome))
        assert (bench.ready(), bench.next_ms()) == (0, at_ms + pause_ms)
        bench.at(at_ms + pause_ms - 1)
        assert delivered(bench) == []
        at_ms += pause_ms
        bench.at(at_ms)


def test_others_do_not_wait_for_it_and_it_comes_back_to_its_place(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path, backoff=Backoff(100, 2.0, DAY_MS))
    bench.consume(prefetch=1)
    bench.feed(*(publish(1, body) for body in (b"a", b"b", b"c", b"d")))
    bench.feed(settle(1, 1, REQUEUE))
    assert bench.bodies() == [b"a", b"b"]
    bench.at(100)
    bench.feed(settle(1, 2))
    assert bench.bodies() == [b"a"]
    assert bench.engine.describe(1)["messages_delayed"] == 0


@pytest.mark.parametrize(
    ("of_failed", "of_given_back", "outcome", "waits"),
    [
        (True, False, REQUEUE_FAILED, True), (True, False, REQUEUE, False),
        (False, True, REQUEUE_FAILED, False), (False, True, REQUEUE, True),
    ],
)
def test_which_returns_wait(
    tmp_path: Path, of_failed: bool, of_given_back: bool, outcome: int, waits: bool
) -> None:
    backoff = Backoff(100, None, DAY_MS, of_failed, of_given_back)
    bench = FeatureBench(tmp_path, queue_type="quorum", backoff=backoff)
    bench.consume()
    bench.feed(publish(1), settle(1, 1, outcome))
    assert len(delivered(bench)) == (1 if waits else 2)


def test_a_channel_that_ends_makes_its_messages_wait(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path, backoff=Backoff(100, 2.0, DAY_MS))
    bench.consume()
    bench.feed(publish(1, b"a"), publish(1, b"b"))
    bench.engine.close_channel(0, 1)
    assert (bench.ready(), bench.engine.describe(1)["messages_delayed"]) == (0, 2)
    bench.at(100)
    assert [bench.get(), bench.get()] == [b"a", b"b"]


def test_after_a_restart_it_is_ready(tmp_path: Path) -> None:
    backoff = Backoff(DAY_MS, 2.0, DAY_MS)
    bench = FeatureBench(tmp_path, backoff=backoff)
    bench.consume()
    bench.feed(publish(1, b"a", persistent=True), settle(1, 1, REQUEUE))
    again = bench.reopened(backoff=backoff)
    assert again.ready() == 1
    again.consume()
    (record,) = delivered(again)
    assert record.delivery_count == 1


def test_a_ttl_goes_on_while_it_waits(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path, message_ttl_ms=50, backoff=Backoff(100, 2.0, DAY_MS))
    bench.consume()
    bench.feed(publish(1))
    bench.feed(settle(1, 1, REQUEUE))
    bench.at(100)
    assert (bench.ready(), bench.deaths(), len(delivered(bench))) == (0, {"expired": 1}, 1)


def test_a_queue_that_goes_takes_what_waits_along(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path, backoff=Backoff(100, 2.0, DAY_MS))
    bench.consume()
    bench.feed(publish(1), settle(1, 1, REQUEUE))
    bench.engine.remove_queue(1)
    assert (bench.next_ms(), bench.store.live_entries) == (None, 0)
