"""The arguments that say what becomes of messages that come back: refusals, and the features they ask for."""
from __future__ import annotations

from typing import Any

import pytest

from tests.unit.topology.test_declarations import refusal_of
from topology.backoff import MAX_MS_DEFAULT, Backoff
from topology.features import features_of

QUORUM = {"x-queue-type": "quorum"}
MIN = {"x-redelivery-backoff-min": 100}


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
@pytest.mark.parametrize(
    ("arguments", "key", "reason"),
    [
        (MIN, "", ""),
        ({**MIN, "x-redelivery-backoff-factor": 1}, "", ""),
        ({**MIN, "x-redelivery-backoff-factor": 1.5}, "", ""),
        ({**MIN, "x-redelivery-backoff-max": 100}, "", ""),
        ({"x-redelivery-backoff-min": 0}, "min", "{value_zero,0}"),
        ({"x-redelivery-backoff-min": -1}, "min", "{value_negative,-1}"),
        ({"x-redelivery-backoff-min": 315_360_000_001}, "min", "{value_too_large,315360000001}"),
        ({"x-redelivery-backoff-min": "1"}, "min", '"expected integer, got longstr"'),
        ({**MIN, "x-redelivery-backoff-factor": 0.99}, "factor", "{value_below_one,0.99}"),
        ({**MIN, "x-redelivery-backoff-factor": float("inf")}, "factor", "{value_too_large,inf}"),
        ({**MIN, "x-redelivery-backoff-factor": float("nan")}, "factor", "{value_below_one,nan}"),
        ({**MIN, "x-redelivery-backoff-factor": 1001}, "factor", "{value_too_large,1001}"),
        ({**MIN, "x-redelivery-backoff-factor": True}, "factor", '"expected number, got bool"'),
        ({**MIN, "x-redelivery-backoff-max": 99}, "max", "{value_below_min,99}"),
        ({**MIN, "x-redelivery-backoff-max": 1.5}, "max", '"expected integer, got double"'),
        ({"x-redelivery-backoff-factor": 2}, "factor", "redelivery_backoff_without_min"),
        ({"x-redelivery-backoff-max": 2}, "max", "redelivery_backoff_without_min"),
    ],
)
def test_arguments_of_a_backoff(arguments: dict[str, Any], key: str, reason: str, queue_type: str) -> None:
    expected = (
        f"invalid arg 'x-redelivery-backoff-{key}' for queue 'q' in vhost '/': {reason}" if reason else "ok"
    )
    assert refusal_of({"x-queue-type": queue_type, **arguments}) == expected


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"x-delayed-retry-type": "all", "x-delayed-retry-min": 10, "x-delayed-retry-max": 100}, ""),
        ({"x-delayed-retry-type": "some"}, "x-delayed-retry-type"),
        ({"x-delayed-retry-min": -1}, "x-delayed-retry-min"),
        ({"x-delivery-limit": -2}, "x-delivery-limit"),
        ({"x-delivery-limit": "a"}, "x-delivery-limit"),
        ({"x-consumer-timeout": -1}, "x-consumer-timeout"),
    ],
)
def test_arguments_of_a_quorum_queue(arguments: dict[str, Any], reason: str) -> None:
    refusal = refusal_of({**QUORUM, **arguments})
    assert refusal == "ok" if not reason else f"invalid arg '{reason}'" in refusal


def test_a_classic_queue_knows_no_delayed_retry() -> None:
    assert refusal_of({"x-delayed-retry-min": 5}).endswith("of queue type rabbit_classic_queue")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, None),
        (MIN, Backoff(100, 2.0, MAX_MS_DEFAULT)),
        ({"x-redelivery-backoff-min": 10**9}, Backoff(10**9, 2.0, 10**9)),
        ({**MIN, "x-redelivery-backoff-factor": 3, "x-redelivery-backoff-max": 500}, Backoff(100, 3.0, 500)),
        ({**QUORUM, "x-delayed-retry-type": "all", "x-delayed-retry-min": 7, "x-delayed-retry-max": 9},
         Backoff(7, None, 9, True, True)),
        ({**QUORUM, "x-delayed-retry-type": "failed", "x-delayed-retry-min": 7},
         Backoff(7, None, MAX_MS_DEFAULT, True, False)),
        ({**QUORUM, "x-delayed-retry-type": "returned", "x-delayed-retry-min": 7},
         Backoff(7, None, MAX_MS_DEFAULT, False, True)),
        ({**QUORUM, "x-delayed-retry-type": "disabled", "x-delayed-retry-min": 7}, None),
        ({**QUORUM, "x-delayed-retry-min": 7}, None),
        ({**QUORUM, "x-delayed-retry-type": "all"}, None),
        ({**QUORUM, "x-delayed-retry-type": "all", "x-delayed-retry-min": 7, **MIN}, Backoff(100, 2.0, MAX_MS_DEFAULT)),
    ],
)
def test_the_backoff_of_a_queue(arguments: dict[str, Any], expected: Backoff | None) -> None:
    assert features_of(arguments).backoff == expected


@pytest.mark.parametrize(
    ("arguments", "limit"),
    [
        ({}, None), (QUORUM, 20), ({**QUORUM, "x-delivery-limit": 3}, 3), ({**QUORUM, "x-delivery-limit": 0}, 0),
        ({**QUORUM, "x-delivery-limit": -1}, None), ({"x-delivery-limit": 3}, None),
    ],
)
def test_the_delivery_limit_is_of_quorum_queues(arguments: dict[str, Any], limit: int | None) -> None:
    assert features_of(arguments).delivery_limit == limit


def test_a_timeout_of_0_is_none() -> None:
    assert features_of({"x-consumer-timeout": 0}).consumer_timeout_ms is None
    assert features_of({"x-consumer-timeout": 5}).consumer_timeout_ms == 5
