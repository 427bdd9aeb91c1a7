"""Arguments of streams and of their consumers; the texts were compared with RabbitMQ 3.10.8's."""
from decimal import Decimal
from typing import Any

import pytest

from amqp091.errors import PreconditionFailed
from amqp091.values import Binary, Timestamp
from topology.consumer_arguments import check_consume
from topology.durations import AGE_MS_MAX, age_ms
from topology.equivalence import check_queue_declare
from topology.features import features_of
from topology.model import Queue
from topology.stream_offset import NUMBER_MAX, Start, StreamOffset, stream_offset

NOW_MS = 1_800_000_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1s", 1000),
        ("5m", 300_000),
        ("2h", 7_200_000),
        ("007D", 604_800_000),
        ("1M", 2_592_000_000),
        ("1Y", 31_536_000_000),
        ("9999999999999999999Y", AGE_MS_MAX),
        ("0s", None),
        ("5x", None),
        ("5", None),
        ("h", None),
        ("", None),
        ("-5m", None),
        ("1Y 7D", None),
        ("1y", None),
        ("5m\n", None),
        ("\u0665m", None),
    ],
)
def test_an_age_is_a_number_and_one_unit(text: str, expected: int | None) -> None:
    assert age_ms(text) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("first", StreamOffset(Start.FIRST)),
        ("last", StreamOffset(Start.LAST)),
        ("next", StreamOffset(Start.NEXT)),
        (Binary(b"first"), StreamOffset(Start.FIRST)),
        (0, StreamOffset(Start.OFFSET, 0)),
        (7, StreamOffset(Start.OFFSET, 7)),
        (-5, StreamOffset(Start.OFFSET, 0)),
        (1 << 63, StreamOffset(Start.OFFSET, NUMBER_MAX)),
        ("5m", StreamOffset(Start.TIME_MS, NOW_MS - 300_000)),
        ("100Y", StreamOffset(Start.TIME_MS, 0)),
        (Timestamp(1_700_000_000), StreamOffset(Start.TIME_MS, 1_700_000_000_000)),
        (Timestamp((1 << 64) - 1), StreamOffset(Start.TIME_MS, NUMBER_MAX)),
        ("FIRST", None),
        ("", None),
        ("0s", None),
        (b"\xff\x00", None),
        (1.5, None),
        (True, None),
        (None, None),
        (Decimal("1.5"), None),
        ([1], None),
        ({"a": 1}, None),
    ],
)
def test_where_a_consumer_begins(value: Any, expected: StreamOffset | None) -> None:
    assert stream_offset(value, NOW_MS) == expected


def refusal(queue_type: str, arguments: dict[str, Any]) -> str:
    queue = Queue(1, "q", "/", durable=True, arguments={"x-queue-type": queue_type})
    try:
        check_consume(queue, arguments)
    except PreconditionFailed as error:
        return error.text
    return "ok"


def invalid(key: str, reason: str) -> str:
    return f"invalid arg '{key}' for queue 'q' in vhost '/'{reason}"


@pytest.mark.parametrize(
    ("queue_type", "arguments", "expected"),
    [
        ("stream", {"x-stream-offset": "first"}, "ok"),
        ("stream", {"x-unknown": 1, "x-stream-filter": 1}, "ok"),
        (
            "stream",
            {"x-stream-offset": "5x"},
            invalid("x-stream-offset", ': {invalid_stream_offset_arg,{longstr,<<"5x">>}}'),
        ),
        (
            "stream",
            {"x-stream-offset": "5x", "x-priority": 1},
            invalid("x-stream-offset", ': {invalid_stream_offset_arg,{longstr,<<"5x">>}}'),
        ),
        ("stream", {"x-stream-offset": True}, invalid("x-stream-offset", ": {invalid_stream_offset_arg,{bool,true}}")),
        ("stream", {"x-priority": "a"}, invalid("x-priority", " of queue type rabbit_stream_queue")),
        ("classic", {"x-stream-offset": "5x"}, invalid("x-stream-offset", " of queue type rabbit_classic_queue")),
        ("quorum", {"x-stream-offset": "first"}, invalid("x-stream-offset", " of queue type rabbit_quorum_queue")),
        ("classic", {"x-priority": "a"}, invalid("x-priority", ': "expected integer, got longstr"')),
        ("classic", {"x-priority": 3, "x-cancel-on-ha-failover": True, "x-stream-filter": "a"}, "ok"),
    ],
)
def test_what_a_queue_type_takes_of_its_consumers(queue_type: str, arguments: dict[str, Any], expected: str) -> None:
    assert refusal(queue_type, arguments) == expected


def declared(arguments: dict[str, Any], **fields: bool) -> str:
    properties = {"durable": True, "exclusive": False, "auto_delete": False, **fields}
    try:
        check_queue_declare("/", "q", arguments={"x-queue-type": "stream", **arguments}, **properties)
    except PreconditionFailed as error:
        return error.text
    return "ok"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"x-max-age": "1h", "x-max-length-bytes": 0, "x-stream-max-segment-size-bytes": 10}, "ok"),
        ({"x-max-age": "0h"}, invalid("x-max-age", ": invalid_max_age")),
        ({"x-max-age": 5}, invalid("x-max-age", ": {unacceptable_type,signedint}")),
        ({"x-max-age": "1Y 7D 12h"}, invalid("x-max-age", ": invalid_max_age")),
        ({"x-stream-max-segment-size-bytes": 3_000_000_000}, "ok"),
        (
            {"x-stream-max-segment-size-bytes": 3_000_000_001},
            "Exceeded max value for x-stream-max-segment-size-bytes",
        ),
        ({"x-max-length": 5}, invalid("x-max-length", " of queue type rabbit_stream_queue")),
        ({"x-message-ttl": 5}, invalid("x-message-ttl", " of queue type rabbit_stream_queue")),
        ({"x-queue-leader-locator": "balanced", "x-initial-cluster-size": 3, "x-unknown": 1}, "ok"),
    ],
)
def test_what_a_stream_may_be_declared_with(arguments: dict[str, Any], expected: str) -> None:
    assert declared(arguments) == expected


def test_the_features_of_a_stream() -> None:
    features = features_of({"x-queue-type": "stream", "x-max-age": "7D", "x-max-length-bytes": 1000})
    assert (features.max_age_ms, features.max_length_bytes, features.keeps_all) == (604_800_000, 1000, True)
