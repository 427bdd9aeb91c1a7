"""Declarations of what exists and of what does not; the texts were compared with RabbitMQ 3.10.8's."""
from typing import Any

import pytest

from amqp091.errors import AMQPError, PreconditionFailed, ResourceLocked
from topology.arguments import check_name_argument, check_server_named
from topology.equivalence import (
    check_exchange_declare,
    check_exchange_equivalent,
    check_exclusive_access,
    check_queue_declare,
    check_queue_equivalent,
)
from topology.model import Exchange, Queue


def refusal_of(arguments: dict[str, Any], **fields: bool) -> str:
    properties = {"durable": True, "exclusive": False, "auto_delete": False, **fields}
    try:
        check_queue_declare("/", "q", arguments=arguments, **properties)
    except PreconditionFailed as refusal:
        return refusal.text
    return "ok"


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("x-expires", 0, "{value_zero,0}"),
        ("x-expires", -1, "{value_negative,-1}"),
        ("x-expires", 315_360_000_001, "{value_too_large,315360000001}"),
        ("x-expires", 315_360_000_000, ""),
        ("x-expires", "x", '"expected integer, got longstr"'),
        ("x-expires", True, '"expected integer, got bool"'),
        ("x-message-ttl", 0, ""),
        ("x-message-ttl", -1, "{value_negative,-1}"),
        ("x-message-ttl", 1.5, '"expected integer, got double"'),
        ("x-max-length", 0, ""),
        ("x-max-length", -1, "{value_negative,-1}"),
        ("x-max-length-bytes", None, '"expected integer, got void"'),
        ("x-max-priority", 255, ""),
        ("x-max-priority", 256, "{max_value_exceeded,256}"),
        ("x-overflow", "reject-publish", ""),
        ("x-overflow", "foo", "invalid_overflow"),
        ("x-overflow", 3, "{unacceptable_type,signedint}"),
        ("x-queue-mode", "lazy", ""),
        ("x-queue-mode", "foo", "\"unsupported queue mode 'foo'\""),
        ("x-queue-version", 2, ""),
        ("x-queue-version", 3, "\"unsupported queue version '3'\""),
        ("x-single-active-consumer", True, ""),
        ("x-single-active-consumer", "yes", "{unacceptable_type,longstr}"),
        ("x-queue-type", "classic", ""),
        ("x-queue-type", "foo", "\"unsupported queue type 'foo'\""),
        ("x-queue-type", 3, "{unacceptable_type,signedint}"),
        ("x-queue-type", b"\xff", "\"unsupported queue type '<<255>>'\""),
        ("x-dead-letter-exchange", "", ""),
        ("x-dead-letter-routing-key", "k", "routing_key_but_no_dlx_defined"),
        ("x-queue-master-locator", "min-masters", ""),
        ("x-unknown", {"anything": 1}, ""),
        ("foo", -1, ""),
    ],
)
def test_argument_of_a_classic_queue(key: str, value: Any, reason: str) -> None:
    expected = f"invalid arg '{key}' for queue 'q' in vhost '/': {reason}" if reason else "ok"
    assert refusal_of({key: value}) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "ok"),
        ({"x-delivery-limit": 5}, "ok"),
        ({"x-delivery-limit": -1}, "ok"),
        ({"x-max-priority": 5}, "invalid arg 'x-max-priority' for queue 'q' in vhost '/' of queue type "
                                "rabbit_quorum_queue"),
        ({"x-max-age": "5D"}, "invalid arg 'x-max-age' for queue 'q' in vhost '/' of queue type rabbit_quorum_queue"),
        ({"x-quorum-initial-group-size": 0}, "invalid arg 'x-quorum-initial-group-size' for queue 'q' in vhost '/': "
                                             "{value_zero,0}"),
        ({"x-dead-letter-strategy": "foo"}, "invalid arg 'x-dead-letter-strategy' for queue 'q' in vhost '/': "
                                            "invalid_dlx_strategy"),
        ({"x-unknown": 1}, "ok"),
    ],
)
def test_argument_of_a_quorum_queue(arguments: dict[str, Any], expected: str) -> None:
    assert refusal_of({"x-queue-type": "quorum", **arguments}) == expected


def test_an_argument_of_another_type_is_refused() -> None:
    assert refusal_of({"x-delivery-limit": 5}).endswith("of queue type rabbit_classic_queue")


@pytest.mark.parametrize(
    ("fields", "named"),
    [({"durable": False}, "non-durable"), ({"exclusive": True}, "exclusive-owner"), ({"auto_delete": True}, "auto-d")],
)
def test_a_quorum_queue_has_to_be_lasting(fields: dict[str, bool], named: str) -> None:
    assert refusal_of({"x-queue-type": "quorum"}, **fields).startswith(f"invalid property '{named}")


def test_a_quorum_queue_has_to_have_a_name() -> None:
    with pytest.raises(PreconditionFailed, match="Cannot declare a server-named queue for type rabbit_quorum_queue"):
        check_server_named({"x-queue-type": "quorum"})
    check_server_named({})


def test_an_exchange_name_as_argument_has_to_be_a_string() -> None:
    with pytest.raises(PreconditionFailed) as refusal:
        check_name_argument({"x-dead-letter-exchange": 3}, "x-dead-letter-exchange", "queue", "q", "/")
    assert refusal.value.text == "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'"


SAME = "ok"


def redeclared(arguments: dict[str, Any], again: dict[str, Any], queue: dict[str, Any], **fields: Any) -> str:
    try:
        check_queue_equivalent(
            Queue(1, "q", "/", arguments=arguments, **queue),
            **{"durable": False, "exclusive": False, "auto_delete": False, "owner": "me", **fields},
            arguments=again,
        )
    except AMQPError as refusal:
        return f"{refusal.reply_code} {refusal.text}"
    return SAME


@pytest.mark.parametrize(
    ("arguments", "again", "difference"),
    [
        ({"x-message-ttl": 1000}, {"x-message-ttl": 2000}, "x-message-ttl: '2000' '1000'"),
        ({"x-message-ttl": 1000}, {}, "x-message-ttl: none the value '1000' of type 'signedint'"),
        ({}, {"x-max-length": 1 << 40}, "x-max-length: the value '1099511627776' of type 'long' none"),
        ({"x-dead-letter-exchange": "a"}, {"x-dead-letter-exchange": "b"}, "x-dead-letter-exchange: 'b' 'a'"),
        ({"x-single-active-consumer": True}, {"x-single-active-consumer": False},
         "x-single-active-consumer: 'false' 'true'"),
        ({}, {"x-queue-type": "classic"}, ""),
        ({"x-queue-type": "classic"}, {}, ""),
        ({}, {"x-queue-type": "quorum"}, "x-queue-type: the value 'quorum' of type 'longstr' none"),
        ({}, {"foo": 1}, ""),
        ({"foo": 1}, {"foo": 2}, ""),
        ({"x-message-ttl": 5}, {"x-message-ttl": 5}, ""),
    ],
)
def test_arguments_of_a_queue_declared_again(
    arguments: dict[str, Any], again: dict[str, Any], difference: str
) -> None:
    found = redeclared(arguments, again, {})
    if not difference:
        assert found == SAME
        return
    key, values = difference.split(": ", 1)
    assert found.startswith(f"406 inequivalent arg '{key}' for queue 'q' in vhost '/': received ")
    received, current = found.split("received ")[1].split(" but current is ")
    assert f"{received} {current}" == values


@pytest.mark.parametrize(
    ("queue", "fields", "expected"),
    [
        ({"durable": True}, {"durable": True}, SAME),
        ({"durable": True}, {}, "406 inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false' but "
                                "current is 'true'"),
        ({}, {"auto_delete": True}, "406 inequivalent arg 'auto_delete' for queue 'q' in vhost '/': received 'true' "
                                    "but current is 'false'"),
        ({"exclusive": True, "owner": "me"}, {"exclusive": True}, SAME),
        ({"exclusive": True, "owner": "me"}, {"exclusive": True, "durable": True}, SAME),
    ],
)
def test_properties_of_a_queue_declared_again(queue: dict[str, Any], fields: dict[str, Any], expected: str) -> None:
    assert redeclared({}, {}, queue, **fields) == expected


@pytest.mark.parametrize(
    ("queue", "fields"),
    [
        ({"exclusive": True, "owner": "me"}, {}),
        ({"exclusive": True, "owner": "other"}, {"exclusive": True}),
        ({}, {"exclusive": True}),
    ],
)
def test_a_difference_in_exclusive_is_locked(queue: dict[str, Any], fields: dict[str, Any]) -> None:
    assert redeclared({}, {}, queue, **fields).startswith(
        "405 cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on"
    )


def test_exclusive_access() -> None:
    mine = Queue(1, "q", "/", exclusive=True, owner="me")
    check_exclusive_access(mine, "me")
    check_exclusive_access(Queue(1, "q", "/"), "me")
    with pytest.raises(ResourceLocked):
        check_exclusive_access(mine, "other")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, SAME),
        ({"exchange_type": "fanout"}, "406 inequivalent arg 'type' for exchange 'x' in vhost '/': received 'fanout' "
                                      "but current is 'direct'"),
        ({"exchange_type": "foo"}, "406 unknown exchange type 'foo'"),
        ({"internal": True}, "406 inequivalent arg 'internal' for exchange 'x' in vhost '/': received 'true' but "
                             "current is 'false'"),
        ({"arguments": {}}, "406 inequivalent arg 'alternate-exchange' for exchange 'x' in vhost '/': received none "
                            "but current is the value 'a' of type 'longstr'"),
        ({"arguments": {"alternate-exchange": "b"}}, "406 inequivalent arg 'alternate-exchange' for exchange 'x' in "
                                                     "vhost '/': received 'b' but current is 'a'"),
        ({"arguments": {"alternate-exchange": "a", "foo": 1}}, SAME),
    ],
)
def test_an_exchange_declared_again(fields: dict[str, Any], expected: str) -> None:
    existing = Exchange("/", "x", "direct", arguments={"alternate-exchange": "a"})
    received: dict[str, Any] = {
        "exchange_type": "direct", "durable": False, "auto_delete": False, "internal": False,
        "arguments": {"alternate-exchange": "a"}, **fields,
    }
    try:
        check_exchange_equivalent(existing, **received)
        found = SAME
    except AMQPError as refusal:
        found = f"{refusal.reply_code} {refusal.text}"
    assert found == expected


@pytest.mark.parametrize(
    ("name", "exchange_type", "arguments", "expected"),
    [
        ("x", "headers", {}, SAME),
        ("x", "magic", {}, "406 unknown exchange type 'magic'"),
        ("amq.x", "direct", {}, "403 exchange name 'amq.x' contains reserved prefix 'amq.*'"),
        ("", "direct", {}, "403 operation not permitted on the default exchange"),
        ("x", "direct", {"alternate-exchange": 3}, "406 invalid type 'signedint' for arg 'alternate-exchange' in "
                                                   "exchange 'x' in vhost '/'"),
    ],
)
def test_a_new_exchange(name: str, exchange_type: str, arguments: dict[str, Any], expected: str) -> None:
    try:
        check_exchange_declare("/", name, exchange_type, arguments)
        found = SAME
    except AMQPError as refusal:
        found = f"{refusal.reply_code} {refusal.text}"
    assert found == expected
