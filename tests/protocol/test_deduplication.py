"""Queues with x-message-deduplication: each message once, over any connection, confirmed all the same."""
from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Names
from tests.harness.channel import ChannelClient
from tests.harness.client import Client
from tests.harness.methods import Properties, Queue

pytestmark = pytest.mark.warren_only("RabbitMQ needs a plugin for it")

OpenClient = Callable[..., Client]
ON = {"x-message-deduplication": True}
CONNECTIONS = 6
PATIENCE_S = 10.0


def identified(message_id: str, **fields: Any) -> Properties:
    return Properties(message_id=message_id, **fields)


def test_a_message_is_taken_once_over_any_connection(open_client: OpenClient, names: Names) -> None:
    channels = [open_client().channel() for _ in range(CONNECTIONS)]
    channels[0].declare(names(), durable=True, arguments=ON)
    for channel in channels:
        channel.confirm()
        for number in range(10):
            channel.publish("", names(), b"%d" % number, identified(str(number), delivery_mode=2), mandatory=True)
    for channel in channels:
        assert channel.wait_confirms(10) == set()           # none of them nacked, none returned
    assert channels[0].count(names()) == 10
    assert channels[0].get_all(names()) == [b"%d" % number for number in range(10)]
    channels[1].publish("", names(), b"again", identified("7"))
    channels[1].wait_confirms(11, 11)
    assert channels[0].count(names()) == 0                  # consumed, and known
    channels[0].delete(names())


def test_values_of_headers_are_told_apart_by_type(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue(**ON, **{"x-deduplication-header": "order"})
    for value in (1, "1", True, 1.0, bytearray(b"\xff"), [1], {"a": 1}, None, 1, "1", True, 1.0, [1], {"a": 1}, None):
        channel.publish("", queue, b"x", identified("the same", headers={"order": value}))
    channel.wait_count(queue, 9)                            # None is no id
    channel.publish("", queue, b"x", identified("the same"))
    channel.wait_count(queue, 10)


def test_each_queue_of_an_exchange_decides_for_itself(channel: ChannelClient, names: Names) -> None:
    once, always = channel.exclusive_queue(**ON), channel.exclusive_queue()
    channel.declare_exchange(names(), "fanout", auto_delete=True)
    for queue in (once, always):
        channel.bind(queue, names())
    for _ in range(3):
        channel.publish(names(), "", b"x", identified("a"))
    channel.wait_count(always, 3)
    assert channel.count(once) == 1


def test_a_transaction(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue(**ON)
    channel.tx_select()
    for message_id in ("a", "b", "a"):
        channel.publish("", queue, message_id.encode(), identified(message_id))
    channel.tx_rollback()
    for message_id in ("a", "b", "a"):
        channel.publish("", queue, message_id.encode(), identified(message_id))
    channel.tx_commit()
    assert channel.get_all(queue) == [b"a", b"b"]


@pytest.mark.parametrize("no_ack", [True, False])
def test_a_consumer_gets_each_once(channel: ChannelClient, no_ack: bool) -> None:
    queue = channel.exclusive_queue(**ON)
    channel.consume(queue, no_ack=no_ack)
    for message_id in ("a", "a", "b", "a", "b", "c"):
        channel.publish("", queue, message_id.encode(), identified(message_id))
    assert channel.bodies(3) == [b"a", b"b", b"c"]
    channel.expect_nothing(queue)


def test_the_number_of_ids_has_a_limit(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue(**ON, **{"x-cache-size": 2})
    for message_id in ("a", "b", "c", "b", "c", "a"):
        channel.publish("", queue, message_id.encode(), identified(message_id))
    channel.wait_count(queue, 4)
    assert channel.get_all(queue) == [b"a", b"b", b"c", b"a"]


def test_an_id_is_forgotten_in_time(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue(**ON, **{"x-cache-ttl": 300})
    began = time.monotonic()
    channel.publish("", queue, b"x", identified("a"))
    channel.publish("", queue, b"x", identified("a"))
    assert channel.count(queue) == 1
    while channel.count(queue) == 1:
        assert time.monotonic() - began < PATIENCE_S
        channel.publish("", queue, b"x", identified("a"))
        time.sleep(0.02)
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("key, value, text", [
    ("x-cache-size", 0, "{value_zero,0}"), ("x-message-deduplication", "yes", "{unacceptable_type,longstr}")])
def test_arguments_are_checked(channel: ChannelClient, names: Names, key: str, value: Any, text: str) -> None:
    channel.send(Queue.Declare(queue=names(), arguments={**ON, key: value}))
    channel.expect_error(406, f"PRECONDITION_FAILED - invalid arg '{key}' for queue '{names()}' in vhost '/': {text}")


def test_a_queue_keeps_its_arguments(channel: ChannelClient, names: Names) -> None:
    channel.declare(names(), exclusive=True, arguments={**ON, "x-cache-size": 5})
    channel.send(Queue.Declare(queue=names(), exclusive=True, arguments={**ON, "x-cache-size": 6}))
    channel.expect_error(406, f"PRECONDITION_FAILED - inequivalent arg 'x-cache-size' for queue '{names()}' in vhost "
                              "'/': received '6' but current is '5'")


def test_a_message_comes_back_from_a_retry_queue(channel: ChannelClient, names: Names) -> None:
    """It is no duplicate of itself; what a publisher sends again meanwhile is."""
    work, retry = names("work"), names("retry")
    back = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": work, "x-message-ttl": 50}
    channel.declare(work, exclusive=True, arguments={
        **ON, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": retry})
    channel.declare(retry, exclusive=True, arguments=back)
    channel.consume(work)
    channel.publish("", work, b"once", identified("a"))
    for _ in range(3):
        message = channel.delivery()
        assert message.body == b"once"
        channel.publish("", work, b"again", identified("a"))
        channel.reject(message.method.delivery_tag, requeue=False)
    channel.ack(channel.delivery().method.delivery_tag)
    channel.expect_nothing(work, retry)
