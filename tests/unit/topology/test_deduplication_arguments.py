"""The arguments of a queue that deduplicates: what they take, and the features they ask for."""
from __future__ import annotations

from typing import Any

import pytest

from tests.unit.topology.test_declarations import refusal_of
from topology.arguments import ALL_KNOWN, KNOWN_ARGUMENTS, STREAM
from topology.deduplication import CACHE_SIZE_DEFAULT, Deduplication
from topology.features import features_of

ON = {"x-message-deduplication": True}


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("x-message-deduplication", True, ""),
        ("x-message-deduplication", False, ""),
        ("x-message-deduplication", 1, "{unacceptable_type,signedint}"),
        ("x-deduplication-header", "order", ""),
        ("x-deduplication-header", "", "invalid_deduplication_header"),
        ("x-deduplication-header", "\u00fc" * 128, "invalid_deduplication_header"),
        ("x-deduplication-header", 5, "{unacceptable_type,signedint}"),
        ("x-cache-size", 1, ""),
        ("x-cache-size", 1_000_000, ""),
        ("x-cache-size", 1_000_001, "{max_value_exceeded,1000001}"),
        ("x-cache-size", 0, "{value_zero,0}"),
        ("x-cache-size", -1, "{value_negative,-1}"),
        ("x-cache-size", "5", '"expected integer, got longstr"'),
        ("x-cache-ttl", 1, ""),
        ("x-cache-ttl", 0, "{value_zero,0}"),
        ("x-cache-ttl", 315_360_000_001, "{value_too_large,315360000001}"),
    ],
)
def test_what_the_arguments_take(key: str, value: Any, reason: str, queue_type: str) -> None:
    expected = f"invalid arg '{key}' for queue 'q' in vhost '/': {reason}" if reason else "ok"
    assert refusal_of({"x-queue-type": queue_type, key: value}) == expected


@pytest.mark.parametrize("key", ["x-message-deduplication", "x-deduplication-header", "x-cache-size", "x-cache-ttl"])
def test_a_stream_refuses_them(key: str) -> None:
    assert key in ALL_KNOWN and key not in KNOWN_ARGUMENTS[STREAM]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, None),
        ({"x-message-deduplication": False, "x-cache-size": 5}, None),
        (ON, Deduplication(None, CACHE_SIZE_DEFAULT, None)),
        ({**ON, "x-deduplication-header": "o", "x-cache-size": 7, "x-cache-ttl": 9}, Deduplication("o", 7, 9)),
    ],
)
def test_the_features(arguments: dict[str, Any], expected: Deduplication | None) -> None:
    assert features_of(arguments).deduplication == expected
