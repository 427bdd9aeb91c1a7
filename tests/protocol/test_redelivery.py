"""Messages that come back: their counts, how often they may, and when they are ready again."""
from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Names
from tests.harness.channel import ChannelClient
from tests.harness.client import Client
from tests.harness.methods import Properties
from tests.harness.wire import Message

OpenClient = Callable[..., Client]

QUORUM = {"x-queue-type": "quorum"}


def counted(message: Message) -> Any:
    """What the message says of its earlier deliveries, or None."""
    return (message.properties.headers or {}).get("x-delivery-count")


def declare(channel: ChannelClient, queue: str, arguments: dict[str, Any]) -> None:
    channel.declare(queue, durable=True, arguments=arguments)
    channel.confirm()


def publish(channel: ChannelClient, queue: str, *bodies: bytes, properties: Any = None, first: int = 1) -> None:
    channel.publish_many("", queue, list(bodies), properties)
    channel.wait_confirms(first + len(bodies) - 1, first)


# -- counts

@pytest.mark.oracle
def test_a_quorum_queue_counts_deliveries(channel: ChannelClient, names: Names) -> None:
    declare(channel, names(), QUORUM)
    publish(channel, names(), b"m")
    channel.consume(names())
    for count in range(3):
        message = channel.delivery()
        assert (message.redelivered, counted(message)) == (count > 0, count or None)
        channel.nack(message.delivery_tag)


@pytest.mark.warren_only("RabbitMQ counts in quorum queues alone; so its basic.get says 0 on a first delivery")
@pytest.mark.parametrize("arguments", [{}, {"x-max-priority": 3}, QUORUM], ids=["plain", "priority", "quorum"])
def test_every_queue_counts_deliveries(channel: ChannelClient, names: Names, arguments: dict[str, Any]) -> None:
    declare(channel, names(), arguments)
    publish(channel, names(), b"m")
    for count in range(4):
        message = channel.get(names())
        assert message is not None
        assert (message.redelivered, counted(message), message.body) == (count > 0, count or None, b"m")
        channel.nack(message.delivery_tag)


@pytest.mark.warren_only("RabbitMQ's classic queues leave the header alone")
def test_a_count_of_a_client_is_replaced(channel: ChannelClient, names: Names) -> None:
    declare(channel, names(), {})
    properties = Properties(
        content_type="text/plain", headers={"x-delivery-count": 7, "a": [1, {"b": "c"}]}, correlation_id="5", priority=3
    )
    publish(channel, names(), b"m", properties=properties)
    channel.consume(names())
    first = channel.delivery()
    assert first.properties == properties
    channel.nack(first.delivery_tag)
    again = channel.delivery().properties
    assert again.headers == {"a": [1, {"b": "c"}], "x-delivery-count": 1}
    assert (again.content_type, again.correlation_id, again.priority) == ("text/plain", "5", 3)


def test_a_large_body_is_delivered_again_whole(channel: ChannelClient, names: Names) -> None:
    declare(channel, names(), {})
    body = bytes(range(256)) * 2000
    publish(channel, names(), body)
    channel.consume(names())
    channel.nack(channel.delivery().delivery_tag)
    assert channel.delivery().body == body


# -- limits

@pytest.mark.oracle
@pytest.mark.parametrize("limit", [0, 2])
def test_a_message_that_fails_too_often_is_dropped(channel: ChannelClient, names: Names, limit: int) -> None:
    declare(channel, names(), {**QUORUM, "x-delivery-limit": limit})
    publish(channel, names(), b"poison", b"next")
    channel.qos(1)
    channel.consume(names())
    for _ in range(limit + 1):
        message = channel.delivery()
        assert message.body == b"poison"
        channel.reject(message.delivery_tag)
    assert channel.delivery().body == b"next"


@pytest.mark.oracle
def test_a_message_that_fails_too_often_is_dead_lettered(channel: ChannelClient, names: Names) -> None:
    channel.declare(names("dead"))
    declare(channel, names(), {
        **QUORUM, "x-delivery-limit": 1, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": names("dead"),
    })
    publish(channel, names(), b"poison")
    channel.consume(names())
    for _ in range(2):
        channel.reject(channel.delivery().delivery_tag)
    channel.consume(names("dead"), "dead")
    dead = channel.delivery()
    (death,) = (dead.properties.headers or {})["x-death"]
    assert (dead.body, dead.redelivered) == (b"poison", False)
    assert (death["reason"], death["count"], death["queue"]) == ("delivery_limit", 1, names())


@pytest.mark.warren_only("3.10 has no limit unless one is asked for; since 4.0 it is 20")
def test_the_default_limit_of_a_quorum_queue(channel: ChannelClient, names: Names) -> None:
    declare(channel, names(), QUORUM)
    publish(channel, names(), b"poison", b"next")
    channel.qos(1)
    channel.consume(names())
    counts = []
    while (message := channel.delivery()).body == b"poison":
        counts.append(counted(message))
        channel.reject(message.delivery_tag)
    assert counts == [None, *range(1, 21)]


@pytest.mark.warren_only("before 4.3 a nack counted, too")
def test_what_a_client_gives_back_does_not_count(channel: ChannelClient, names: Names) -> None:
    declare(channel, names(), {**QUORUM, "x-delivery-limit": 1})
    publish(channel, names(), b"m")
    channel.consume(names())
    for _ in range(5):
        channel.nack(channel.delivery().delivery_tag)
    channel.delivery()
    channel.recover()
    channel.reject(channel.delivery().delivery_tag)
    channel.reject(channel.delivery().delivery_tag)
    channel.expect_nothing(names())
    assert channel.count(names()) == 0


@pytest.mark.warren_only("3.10 puts a returned message behind the others where there is no limit")
def test_a_consumer_that_is_lost_counts(open_client: OpenClient, names: Names) -> None:
    channel = open_client().channel()
    declare(channel, names(), {**QUORUM, "x-delivery-limit": 2})
    publish(channel, names(), b"m")
    for count in (None, 1, 2):
        client = open_client()
        victim = client.channel()
        victim.consume(names())
        assert counted(victim.delivery()) == count
        if count == 1:
            victim.close()
        else:
            client.close()
    assert channel.get(names()) is None


# -- back-off

BACKOFF = {"x-redelivery-backoff-min": 60, "x-redelivery-backoff-factor": 2, "x-redelivery-backoff-max": 100}


def timed(channel: ChannelClient) -> tuple[Message, float]:
    started_s = time.monotonic()
    message = channel.delivery()
    return message, (time.monotonic() - started_s) * 1000


@pytest.mark.warren_only("Warren's own")
@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_a_returned_message_waits_and_others_do_not(channel: ChannelClient, names: Names, queue_type: str) -> None:
    declare(channel, names(), {"x-queue-type": queue_type, **BACKOFF})
    publish(channel, names(), b"a", b"b", b"c")
    channel.qos(1)
    channel.consume(names())
    channel.nack(channel.delivery().delivery_tag)
    for body in (b"b", b"c"):
        message = channel.delivery()
        assert message.body == body
        channel.ack(message.delivery_tag)
    message, _ = timed(channel)
    assert (message.body, counted(message)) == (b"a", 1)
    channel.reject(message.delivery_tag)
    message, waited_ms = timed(channel)
    assert counted(message) == 2
    assert 90 <= waited_ms < 5000


@pytest.mark.warren_only("RabbitMQ 4.3's; 3.10 ignores the arguments")
@pytest.mark.parametrize(("kind", "waits"), [("failed", True), ("returned", False), ("all", True), ("disabled", False)])
def test_delayed_retry(channel: ChannelClient, names: Names, kind: str, waits: bool) -> None:
    arguments = {"x-delayed-retry-type": kind, "x-delayed-retry-min": 50, "x-delayed-retry-max": 80}
    declare(channel, names(), {**QUORUM, **arguments})
    publish(channel, names(), b"a", b"b")
    channel.qos(1)
    channel.consume(names())
    channel.reject(channel.delivery().delivery_tag)
    assert channel.delivery().body == (b"b" if waits else b"a")


@pytest.mark.warren_only("Warren's own")
def test_a_backoff_without_a_minimum_is_refused(channel: ChannelClient, names: Names) -> None:
    with pytest.raises(AssertionError, match="redelivery_backoff_without_min"):
        channel.declare(names(), arguments={"x-redelivery-backoff-factor": 2})
