"""x-delayed-message exchanges with x-delay, and x-deliver-at on any exchange, from the publisher's side.

RabbitMQ's plugin is not in Debian's package; what it does was looked up in its sources, and seen with it on 3.10.
"""

from __future__ import annotations

import datetime
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Names
from tests.harness import wire
from tests.harness.channel import ChannelClient
from tests.harness.client import Client
from tests.harness.methods import Exchange, Properties

OpenClient = Callable[..., Client]
pytestmark = pytest.mark.warren_only("the plugin is not a part of RabbitMQ")

DELAYED = "x-delayed-message"
DELAY_MS = 150
LATER_MS = 60_000       # longer than any test


def delayed_exchange(channel: ChannelClient, name: str, routes_like: str = "direct", **arguments: Any) -> None:
    channel.declare_exchange(name, DELAYED, arguments={"x-delayed-type": routes_like, **arguments})


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def bound_queue(channel: ChannelClient, exchange: str, key: str = "k") -> str:
    queue = channel.exclusive_queue()
    channel.bind(queue, exchange, key)
    return queue


def test_a_delayed_message_comes_after_its_delay_and_tells_it(channel: ChannelClient, names: Names) -> None:
    delayed_exchange(channel, names())
    queue = bound_queue(channel, names())
    channel.consume(queue, no_ack=True)
    began_ms = now_ms()
    properties = Properties(headers={"a": 1, "x-delay": DELAY_MS}, message_id="m", delivery_mode=2)
    channel.publish(names(), "k", b"late", properties)
    channel.publish(names(), "k", b"at once", Properties(headers={"x-delay": -5}))
    assert channel.delivery().body == b"at once"
    message = channel.delivery()
    assert now_ms() - began_ms >= DELAY_MS
    assert message.body == b"late" and message.method.exchange == names() and message.method.routing_key == "k"
    assert message.properties.headers == {"a": 1, "x-delay": -DELAY_MS}
    assert message.properties.message_id == "m"


@pytest.mark.parametrize(
    "headers",
    [None, {}, {"x-delay": 0}, {"x-delay": -1}, {"x-delay": 2**32}, {"x-delay": True}, {"x-delay": None},
     {"x-delay": "soon"}, {"x-delay": 0.5}, {"x-delay": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)}],
    ids=str,
)
def test_what_is_no_delay_delays_nothing_and_is_kept(
    channel: ChannelClient, names: Names, headers: dict[str, Any] | None
) -> None:
    delayed_exchange(channel, names())
    queue = bound_queue(channel, names())
    channel.publish(names(), "k", b"x", Properties(headers=headers))
    message = channel.get(queue, no_ack=True)
    assert message is not None and message.properties.headers == headers


@pytest.mark.parametrize(
    ("letter", "value"),
    [(b"b", b"\x64"), (b"B", b"\x96"), (b"s", b"\0\x96"), (b"u", b"\0\x96"), (b"I", b"\0\0\0\x96"),
     (b"i", b"\0\0\0\x96"), (b"l", bytes(7) + b"\x96"), (b"f", struct.pack(">f", 150.5)),
     (b"d", struct.pack(">d", 150.5)), (b"S", b"\0\0\0\x03150")],
)
def test_numbers_of_any_type_delay(channel: ChannelClient, names: Names, letter: bytes, value: bytes) -> None:
    delayed_exchange(channel, names(), "fanout")
    queue = bound_queue(channel, names())
    header = b"\0\x3c\0\0" + (1).to_bytes(8, "big") + b"\x20\0" + wire.table(wire.field_entry("x-delay", letter, value))
    channel.client.send_bytes(
        wire.raw_method(1, 60, 40, wire.publish_arguments(names(), "k"))
        + wire.frame(wire.FRAME_HEADER, 1, header)
        + wire.body(1, b"x")
    )
    assert channel.get(queue) is None
    channel.consume(queue, no_ack=True)
    assert channel.delivery().properties.headers == {"x-delay": -100 if letter == b"b" else -150}


def test_a_later_message_with_a_shorter_delay_comes_first(channel: ChannelClient, names: Names) -> None:
    delayed_exchange(channel, names())
    queue = bound_queue(channel, names())
    channel.consume(queue, no_ack=True)
    for delay_ms in (300, 200, 100):
        channel.publish(names(), "k", b"%d" % delay_ms, Properties(headers={"x-delay": delay_ms}))
    assert channel.bodies(3) == [b"100", b"200", b"300"]


@pytest.mark.parametrize(("kind", "key", "other"), [
    ("direct", "k", "x"), ("topic", "*.k", "k"), ("fanout", "", None), ("x-consistent-hash", "1", None),
])
def test_it_routes_like_the_type_that_it_names(
    channel: ChannelClient, names: Names, kind: str, key: str, other: str | None
) -> None:
    delayed_exchange(channel, names(), kind)
    queue = bound_queue(channel, names(), key)
    channel.consume(queue, no_ack=True)
    if other is not None:
        channel.publish(names(), other, b"no", Properties(headers={"x-delay": 1}))
    channel.publish(names(), key.replace("*", "a"), b"yes", Properties(headers={"x-delay": 50}))
    assert channel.delivery().body == b"yes"


def test_a_delayed_headers_exchange(channel: ChannelClient, names: Names) -> None:
    delayed_exchange(channel, names(), "headers")
    queue = channel.exclusive_queue()
    channel.bind(queue, names(), "", {"x-match": "all", "kind": "a"})
    channel.consume(queue, no_ack=True)
    for kind in ("b", "a"):
        channel.publish(names(), "", kind.encode(), Properties(headers={"kind": kind, "x-delay": 50}))
    assert channel.delivery().body == b"a"


def test_the_way_over_a_delayed_exchange_is_late_and_any_other_is_not(channel: ChannelClient, names: Names) -> None:
    """A queue that is reached both ways gets two."""
    for name in ("start", "behind"):
        channel.declare_exchange(names(name), "fanout")
    delayed_exchange(channel, names("late"), "fanout")
    channel.bind_exchange(names("late"), names("start"))
    channel.bind_exchange(names("behind"), names("late"))
    channel.bind_exchange(names("start"), names("late"))
    both = bound_queue(channel, names("start"))
    late = bound_queue(channel, names("behind"))
    channel.publish(names("start"), "k", b"x", Properties(headers={"x-delay": DELAY_MS}))
    message = channel.get(both, no_ack=True)
    assert message is not None and message.properties.headers == {"x-delay": DELAY_MS}
    assert channel.get(both) is None and channel.get(late) is None
    channel.consume(both, "both", no_ack=True)
    channel.consume(late, "late", no_ack=True)
    second = channel.deliveries(2)
    assert {message.method.consumer_tag for message in second} == {"both", "late"}
    assert all(message.properties.headers == {"x-delay": -DELAY_MS} for message in second)


def test_a_message_that_was_delayed_is_not_delayed_again(channel: ChannelClient, names: Names) -> None:
    delayed_exchange(channel, names())
    queue = bound_queue(channel, names())
    channel.publish(names(), "k", b"x", Properties(headers={"x-delay": 20}))
    channel.consume(queue, "once", no_ack=True)
    message = channel.delivery()
    channel.cancel("once")
    channel.publish(names(), "k", message.body, message.properties)
    assert channel.get_all(queue) == [b"x"]


def test_mandatory_counts_what_is_not_delayed(channel: ChannelClient, names: Names) -> None:
    """As with the plugin: a delayed message comes back at once, and is delivered in time all the same."""
    delayed_exchange(channel, names(), "fanout")
    queue = bound_queue(channel, names())
    channel.confirm()
    channel.publish(names(), "k", b"1", Properties(headers={"x-delay": 20}), mandatory=True)
    returned = channel.returned()
    assert returned.body == b"1" and returned.properties.headers == {"x-delay": 20}
    channel.wait_confirms(1)
    channel.publish(names(), "k", b"2", Properties(headers={"x-delay": 0}), mandatory=True)
    channel.wait_confirms(2, 2)
    channel.consume(queue, no_ack=True)
    assert sorted(channel.bodies(2)) == [b"1", b"2"]


def test_a_delayed_persistent_message_is_confirmed_when_it_is_kept(channel: ChannelClient, names: Names) -> None:
    """Not when its time has come."""
    delayed_exchange(channel, names())
    queue = channel.declare(names("q"), durable=True).queue
    channel.bind(queue, names(), "k")
    channel.confirm()
    properties = Properties(headers={"x-delay": LATER_MS}, delivery_mode=2)
    channel.publish(names(), "k", b"x", properties)
    channel.wait_confirms(1)
    assert channel.count(queue) == 0 and channel.get(queue) is None


def test_copies_are_delayed_too(channel: ChannelClient, names: Names) -> None:
    delayed_exchange(channel, names())
    queues = [bound_queue(channel, names(), key) for key in "abc"]
    for number, queue in enumerate(queues):
        channel.consume(queue, str(number), no_ack=True)
    channel.publish(names(), "a", b"x", Properties(headers={"x-delay": 50, "CC": ["b"], "BCC": ["c"]}))
    messages = channel.deliveries(3)
    assert {message.method.consumer_tag for message in messages} == {"0", "1", "2"}
    assert all(message.properties.headers == {"CC": ["b"], "x-delay": -50} for message in messages)


def test_the_user_id_of_a_delayed_message_is_checked(channel: ChannelClient, names: Names) -> None:
    delayed_exchange(channel, names())
    channel.publish(names(), "k", b"x", Properties(headers={"x-delay": 5, "BCC": ["b"]}, user_id="somebody"))
    channel.expect_error(406, "PRECONDITION_FAILED - user_id property set to 'somebody'")


def test_a_transaction_keeps_delays(channel: ChannelClient, names: Names) -> None:
    delayed_exchange(channel, names())
    queue = bound_queue(channel, names())
    channel.tx_select()
    channel.publish(names(), "k", b"late", Properties(headers={"x-delay": 100}))
    channel.publish(names(), "k", b"at once")
    channel.tx_commit()
    channel.consume(queue, no_ack=True)
    assert channel.bodies(2) == [b"at once", b"late"]


# x-deliver-at


def test_a_message_waits_for_its_time_on_any_exchange(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names(), "topic")
    queue = bound_queue(channel, names(), "#")
    channel.consume(queue, no_ack=True)
    at_ms = now_ms() + DELAY_MS
    for exchange, key in (("", queue), (names(), "a.b")):
        channel.publish(exchange, key, b"late", Properties(headers={"x-deliver-at": at_ms}))
        channel.publish(exchange, key, b"at once", Properties(headers={"x-deliver-at": at_ms - LATER_MS}))
    assert channel.bodies(2) == [b"at once"] * 2
    messages = channel.deliveries(2)
    assert now_ms() >= at_ms
    assert all(message.properties.headers == {"x-deliver-at": at_ms} for message in messages)


def test_a_time_in_seconds(channel: ChannelClient) -> None:
    """Two of them, so that one lies in the future however the clock stands."""
    queue = channel.exclusive_queue()
    channel.consume(queue, no_ack=True)
    second = now_ms() // 1000 + 1
    at = datetime.datetime.fromtimestamp(second, datetime.UTC)
    channel.publish("", queue, b"late", Properties(headers={"x-deliver-at": at}))
    channel.publish("", queue, b"past", Properties(headers={"x-deliver-at": at - datetime.timedelta(seconds=9)}))
    assert channel.bodies(2) == [b"past", b"late"]
    assert now_ms() >= second * 1000


def test_of_two_times_the_later_counts(channel: ChannelClient, names: Names) -> None:
    delayed_exchange(channel, names())
    queue = bound_queue(channel, names())
    channel.consume(queue, no_ack=True)
    began_ms = now_ms()
    for body, delay_ms, at_ms in ((b"2", 1, began_ms + 200), (b"1", 100, began_ms + 1), (b"0", -1, began_ms)):
        channel.publish(names(), "k", body, Properties(headers={"x-delay": delay_ms, "x-deliver-at": at_ms}))
    assert channel.bodies(3) == [b"0", b"1", b"2"]
    assert now_ms() >= began_ms + 200


def test_mandatory_is_not_concerned_by_a_time(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    headers = {"x-deliver-at": now_ms() + LATER_MS}
    channel.publish("", queue, b"kept", Properties(headers=headers), mandatory=True)
    channel.publish("", "t-nobody", b"back", Properties(headers=headers), mandatory=True)
    assert channel.returned().body == b"back"


@pytest.mark.parametrize(
    ("value", "text"),
    [("tomorrow", "got longstr"), (1.5, "got double"), (2**62, "lies beyond the year 9999")],
)
def test_what_is_no_time_is_refused(channel: ChannelClient, value: Any, text: str) -> None:
    queue = channel.exclusive_queue()
    channel.publish("", queue, b"x", Properties(headers={"x-deliver-at": value}))
    close = channel.expect_error(406, "PRECONDITION_FAILED - invalid header 'x-deliver-at': ")
    assert text in close.reply_text and (close.class_id, close.method_id) == (60, 40)


# declaring


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "Invalid argument, 'x-delayed-type' must be an existing exchange type"),
        ({"x-delayed-type": 5}, "Invalid argument, 'x-delayed-type' must be an existing exchange type"),
        ({"x-delayed-type": "nope"}, "unknown exchange type 'nope'"),
        ({"x-delayed-type": DELAYED}, "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'"),
        (
            {"x-delayed-type": "x-consistent-hash", "hash-header": "a", "hash-property": "message_id"},
            "hash-header and hash-property are mutually exclusive",
        ),
    ],
)
def test_arguments_that_name_no_type(
    channel: ChannelClient, names: Names, arguments: dict[str, Any], text: str
) -> None:
    channel.send(Exchange.Declare(exchange=names(), exchange_type=DELAYED, arguments=arguments))
    channel.expect_error(406, f"PRECONDITION_FAILED - {text}")


def test_the_type_named_does_not_matter_for_equivalence(channel: ChannelClient, names: Names) -> None:
    """As with the plugin; the first declaration holds."""
    delayed_exchange(channel, names(), "direct")
    delayed_exchange(channel, names(), "fanout")
    channel.declare_exchange(names(), DELAYED)
    queue = bound_queue(channel, names())
    channel.publish(names(), "other", b"x")
    assert channel.get_all(queue) == []
    channel.send(Exchange.Declare(exchange=names(), exchange_type="direct"))
    channel.expect_error(406, "PRECONDITION_FAILED - inequivalent arg 'type'")


def test_a_delayed_message_goes_with_its_queue(channel: ChannelClient, names: Names) -> None:
    """It waits there, not in the exchange."""
    delayed_exchange(channel, names(), "fanout")
    queue = bound_queue(channel, names())
    channel.publish(names(), "k", b"x", Properties(headers={"x-delay": 100}))
    channel.delete_exchange(names())
    channel.consume(queue, no_ack=True)
    assert channel.delivery().body == b"x"
