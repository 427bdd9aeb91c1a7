"""basic.publish: routing by the default exchange, mandatory, refusals in their order, properties, user-id."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Names
from tests.harness import wire
from tests.harness.accounts import PLAIN_USER
from tests.harness.channel import ChannelClient
from tests.harness.client import Client
from tests.harness.methods import Basic, Properties

OpenClient = Callable[..., Client]

ALL_PROPERTIES = {
    "content_type": "application/json",
    "content_encoding": "utf-8",
    "headers": {
        "text": "ü",
        "int": -5,
        "big": 2**40,
        "yes": True,
        "none": None,
        "list": [1, "two", {"three": 3}],
        "table": {"deep": {"deeper": [1.5]}},
        "bytes": bytearray(b"\xff\x00"),
    },
    "delivery_mode": 2,
    "priority": 7,
    "correlation_id": "correlation",
    "reply_to": "reply-queue",
    "expiration": "60000",
    "message_id": "message-1",
    "timestamp": datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
    "message_type": "kind",
    "user_id": "guest",
    "app_id": "app",
}


def test_all_properties_arrive_unchanged(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    sent = Properties(**ALL_PROPERTIES)
    channel.publish("", queue, b"body", sent)
    message = channel.get(queue)
    assert message is not None
    for name in ALL_PROPERTIES:
        assert getattr(message.properties, name) == getattr(sent, name), name


@pytest.mark.parametrize("name", list(ALL_PROPERTIES))
def test_each_property_alone_arrives_unchanged(channel: ChannelClient, name: str) -> None:
    queue = channel.exclusive_queue()
    channel.publish("", queue, b"body", Properties(**{name: ALL_PROPERTIES[name]}))
    message = channel.get(queue)
    assert message is not None
    for other in ALL_PROPERTIES:
        value = getattr(message.properties, other)
        assert value == (ALL_PROPERTIES[name] if other == name else None), other


def test_the_bytes_of_headers_arrive_unchanged(channel: ChannelClient) -> None:
    """Every type letter, also those that a broker would not choose itself, in the order sent."""
    queue = channel.exclusive_queue()
    entries = b"".join(
        wire.field_entry(letter.decode(), letter, value)
        for letter, value in [
            (b"t", b"\1"),
            (b"b", b"\xff"),
            (b"B", b"\xff"),
            (b"s", b"\xff\xfe"),
            (b"u", b"\xff\xfe"),
            (b"I", b"\xff" * 4),
            (b"i", b"\xff" * 4),
            (b"l", b"\xff" * 8),
            (b"f", b"\x3f\xc0\0\0"),
            (b"d", b"\x3f\xf8" + bytes(6)),
            (b"D", b"\x02\0\0\0\x05"),
            (b"S", b"\0\0\0\x02\xff\xfe"),
            (b"x", b"\0\0\0\x02\xff\xfe"),
            (b"A", b"\0\0\0\x02t\0"),
            (b"F", b"\0\0\0\0"),
            (b"T", bytes(7) + b"\x05"),
            (b"V", b""),
        ]
    )
    header = b"\0\x3c\0\0" + (1).to_bytes(8, "big") + b"\x20\0" + wire.table(entries)
    channel.client.send_bytes(
        wire.raw_method(1, 60, 40, wire.publish_arguments("", queue))
        + wire.frame(wire.FRAME_HEADER, 1, header)
        + wire.body(1, b"x")
    )
    channel.count(queue)
    channel.send(Basic.Get(queue=queue, no_ack=True))
    raw = b""
    while wire.body(1, b"x") not in raw:
        raw += channel.client.receive_raw(1)
    assert wire.frame(wire.FRAME_HEADER, 1, header) in raw


def test_the_default_exchange_routes_by_queue_name(channel: ChannelClient) -> None:
    first, second = channel.exclusive_queue(), channel.exclusive_queue()
    channel.publish("", first, b"1")
    channel.publish("", second, b"2")
    message = channel.get(second)
    assert message is not None
    assert (message.body, message.method.exchange, message.method.routing_key) == (b"2", "", second)
    assert channel.get_all(first) == [b"1"]


def test_what_is_not_routed_is_dropped(channel: ChannelClient) -> None:
    channel.publish("", "t-nobody", b"x")
    channel.publish("amq.direct", "t-nobody", b"x")
    channel.expect_nothing()


@pytest.mark.oracle
@pytest.mark.parametrize("exchange", ["", "amq.direct", "amq.topic", "amq.fanout", "amq.headers"])
def test_mandatory_returns_what_is_not_routed(channel: ChannelClient, exchange: str) -> None:
    properties = Properties(message_id="m", headers={"h": 1})
    channel.publish(exchange, "t-nobody", b"back", properties, mandatory=True)
    message = channel.returned()
    assert (message.method.reply_code, message.method.reply_text) == (312, "NO_ROUTE")
    assert (message.method.exchange, message.method.routing_key, message.body) == (exchange, "t-nobody", b"back")
    assert message.properties.message_id == "m" and message.properties.headers == {"h": 1}


def test_mandatory_delivers_what_is_routed(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.publish("", queue, b"x", mandatory=True)
    assert channel.get_all(queue) == [b"x"]


def test_mandatory_returns_big_bodies_whole(open_client: OpenClient) -> None:
    channel = open_client(frame_max=4096).channel()
    body = bytes(range(256)) * 100
    channel.publish("", "t-nobody", body, mandatory=True)
    message = channel.returned()
    assert message.body == body
    assert max(message.frame_bytes) <= 4096


@pytest.mark.oracle
def test_immediate_is_not_implemented(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.publish("", queue, b"x", immediate=True)
    channel.client.expect_connection_error(540, "NOT_IMPLEMENTED - immediate=true")


@pytest.mark.oracle
def test_a_missing_exchange_is_not_found(channel: ChannelClient) -> None:
    channel.publish("t-missing", "k", b"x")
    close = channel.expect_error(404, "NOT_FOUND - no exchange 't-missing' in vhost '/'")
    assert (close.class_id, close.method_id) == (60, 40)


def test_what_follows_a_refused_publish_is_lost(client: Client) -> None:
    channel = client.channel()
    queue = channel.exclusive_queue()
    client.send_bytes(
        wire.publish(1, "", queue, b"before")
        + wire.publish(1, "t-missing", "k", b"x")
        + wire.publish(1, "", queue, b"after")
    )
    channel.expect_error(404)
    channel = client.channel()
    assert channel.get_all(queue) == [b"before"]


@pytest.mark.oracle
@pytest.mark.parametrize("expiration", ["", "abc", "-1", "1.5", "99999999999999999999", " 1"])
def test_an_invalid_expiration_fails(channel: ChannelClient, expiration: str) -> None:
    queue = channel.exclusive_queue()
    header = b"\0\x3c\0\0" + (1).to_bytes(8, "big") + b"\x01\0" + wire.short_string(expiration)
    channel.client.send_bytes(
        wire.raw_method(1, 60, 40, wire.publish_arguments("", queue))
        + wire.frame(wire.FRAME_HEADER, 1, header)
        + wire.body(1, b"x")
    )
    channel.expect_error(406, "PRECONDITION_FAILED - invalid expiration")


@pytest.mark.oracle
def test_a_foreign_user_id_fails(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.publish("", queue, b"x", Properties(user_id="somebody"))
    channel.expect_error(
        406, "PRECONDITION_FAILED - user_id property set to 'somebody' but authenticated user was 'guest'"
    )


def test_ones_own_user_id_is_fine(open_client: OpenClient) -> None:
    channel = open_client(user=PLAIN_USER.name, password=PLAIN_USER.password).channel()
    queue = channel.exclusive_queue()
    channel.publish("", queue, b"x", Properties(user_id=PLAIN_USER.name))
    assert channel.get_all(queue) == [b"x"]


@pytest.mark.oracle
@pytest.mark.parametrize("headers", [{"CC": "k"}, {"BCC": 5}])
def test_copies_that_are_no_arrays_fail(channel: ChannelClient, headers: dict[str, Any]) -> None:
    queue = channel.exclusive_queue()
    channel.publish("", queue, b"x", Properties(headers=headers))
    channel.expect_error(406, "PRECONDITION_FAILED")


@pytest.mark.oracle
def test_one_publisher_is_kept_in_order_over_exchanges(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.bind(queue, "amq.fanout")
    channel.bind(queue, "amq.topic", "k.#")
    channel.client.send_bytes(
        b"".join(
            wire.publish(1, ("", "amq.fanout", "amq.topic")[n % 3], (queue, "", "k.x")[n % 3], str(n).encode())
            for n in range(300)
        )
    )
    channel.consume(queue, no_ack=True)
    assert channel.bodies(300) == [str(n).encode() for n in range(300)]


def test_a_route_that_changes_is_followed_at_once(channel: ChannelClient, names: Names) -> None:
    """What one connection has been told holds for the publishes of all others, however their routes are remembered."""
    queue = channel.exclusive_queue()
    channel.declare_exchange(names(), "direct")
    for _ in range(20):
        channel.bind(queue, names(), "k")
        channel.publish(names(), "k", b"in")
        channel.unbind(queue, names(), "k")
        channel.publish(names(), "k", b"out")
    assert channel.get_all(queue) == [b"in"] * 20


def test_a_binding_made_elsewhere_holds_for_a_warm_publisher(open_client: OpenClient, names: Names) -> None:
    publishers = [open_client().channel() for _ in range(4)]
    binder = open_client().channel()
    binder.declare_exchange(names(), "direct")
    queue = binder.exclusive_queue()
    for publisher in publishers:
        publisher.publish(names(), "k", b"out")
        publisher.expect_nothing()
    binder.bind(queue, names(), "k")
    for publisher in publishers:
        publisher.confirm()
        publisher.publish(names(), "k", b"in")
        publisher.wait_confirms(1)
    assert binder.get_all(queue) == [b"in"] * 4
    binder.unbind(queue, names(), "k")
    for publisher in publishers:
        publisher.publish(names(), "k", b"out")
        publisher.wait_confirms(2, 2)
    assert binder.get_all(queue) == []


def test_publishing_to_a_queue_deleted_elsewhere_is_unroutable(open_client: OpenClient, names: Names) -> None:
    publisher, owner = open_client().channel(), open_client().channel()
    owner.declare(names())
    publisher.confirm()
    publisher.publish("", names(), b"1", mandatory=True)
    publisher.wait_confirms(1)
    assert owner.delete(names()) == 1
    publisher.publish("", names(), b"2", mandatory=True)
    assert publisher.returned().body == b"2"
