"""Message TTL, of the queue and of the message, and x-expires."""
from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import pytest

from tests.conftest import Names
from tests.harness.channel import ChannelClient
from tests.harness.client import Client
from tests.harness.methods import Basic, Properties

OpenClient = Callable[..., Client]
SHORT_MS = 150
LONG_MS = 60_000
EXPIRES_MS = 800
"""Of a queue that is to be used in time: a machine under load may take a good part of it for that."""
PATIENCE_S = 10.0
POLL_S = 0.02


def await_expiry(channel: ChannelClient, queue: str) -> None:
    """Publishes until there is no such queue: a declaration would be a use of it, a publish is none."""
    deadline_s = time.monotonic() + PATIENCE_S
    channel.confirm()
    for number in itertools.count(1):
        channel.publish("", queue, b"x", mandatory=True)
        answer = channel.expect((Basic.Return, Basic.Ack))
        if isinstance(answer, Basic.Return):
            assert answer.reply_code == 312
            return
        assert answer.delivery_tag == number and time.monotonic() < deadline_s
        time.sleep(POLL_S)


def expiring(ms: int | str) -> Properties:
    return Properties(expiration=str(ms))


@pytest.mark.oracle
@pytest.mark.parametrize("of_queue, of_message", [
    (SHORT_MS, None), (None, SHORT_MS), (LONG_MS, SHORT_MS), (SHORT_MS, LONG_MS)])
def test_the_lesser_ttl_ends_a_message(channel: ChannelClient, of_queue: int | None, of_message: int | None) -> None:
    queue = channel.exclusive_queue(**({"x-message-ttl": of_queue} if of_queue is not None else {}))
    channel.confirm()
    began_s = time.monotonic()
    channel.publish("", queue, b"a", expiring(of_message) if of_message is not None else None)
    channel.wait_confirms(1)            # it is there, however late this is read
    channel.wait_count(queue, 0)
    assert time.monotonic() - began_s > 0.9 * SHORT_MS / 1000
    assert channel.get(queue) is None


@pytest.mark.oracle
def test_only_the_head_expires(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.publish("", queue, b"long", expiring(LONG_MS))
    channel.publish("", queue, b"short", expiring(1))
    channel.publish("", queue, b"none")
    time.sleep(0.1)
    assert channel.count(queue) == 3
    message = channel.get(queue, no_ack=True)
    assert message is not None and message.body == b"long"
    message = channel.get(queue, no_ack=True)
    assert message is not None and message.body == b"none"


@pytest.mark.oracle
@pytest.mark.parametrize("of_queue", [True, False])
def test_ttl_0_is_for_a_consumer_that_waits(channel: ChannelClient, of_queue: bool) -> None:
    queue = channel.exclusive_queue(**({"x-message-ttl": 0} if of_queue else {}))
    properties = None if of_queue else expiring(0)
    channel.publish("", queue, b"nobody", properties)
    channel.wait_count(queue, 0)
    channel.consume(queue, no_ack=True)
    channel.publish("", queue, b"somebody", properties)
    assert channel.delivery().body == b"somebody"


@pytest.mark.oracle
def test_what_a_consumer_holds_does_not_expire_until_it_comes_back(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue(**{"x-message-ttl": SHORT_MS})
    channel.qos(1)
    channel.consume(queue, "c")         # it takes the message before that could expire
    channel.publish("", queue, b"held")
    message = channel.delivery()
    channel.publish("", queue, b"waits")
    channel.wait_count(queue, 0)
    assert channel.cancel("c") == []
    channel.nack(message.delivery_tag, requeue=True)
    channel.expect_nothing(queue)
    channel.wait_count(queue, 0)


@pytest.mark.oracle
@pytest.mark.parametrize("value", ["-1", "abc", "1.5", " 1", "10 ", "99999999999999999999"])
def test_an_expiration_that_is_no_number_of_milliseconds(channel: ChannelClient, value: str) -> None:
    queue = channel.exclusive_queue()
    channel.publish("", queue, b"x", Properties(expiration=value))
    channel.expect_error(406)


@pytest.mark.oracle
def test_expiration_is_delivered_as_it_came(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue(**{"x-message-ttl": LONG_MS})
    channel.publish("", queue, b"a", expiring("0060000"))
    message = channel.get(queue, no_ack=True)
    assert message is not None and message.properties.expiration == "0060000"


@pytest.mark.oracle
def test_an_expired_message_is_confirmed(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue(**{"x-message-ttl": 0})
    channel.confirm()
    channel.publish_many("", queue, [b"x"] * 10)
    assert channel.wait_confirms(10) == set()


@pytest.mark.oracle
def test_a_queue_that_nobody_uses_is_deleted(channel: ChannelClient, names: Names) -> None:
    channel.declare(names(), arguments={"x-expires": SHORT_MS})
    channel.publish("", names(), b"goes with it")
    time.sleep(2 * SHORT_MS / 1000)
    await_expiry(channel, names())


@pytest.mark.oracle
def test_a_consumer_keeps_a_queue_and_its_end_starts_the_time(client: Client, names: Names) -> None:
    first, second = client.channel(1), client.channel(2)
    first.declare(names(), arguments={"x-expires": EXPIRES_MS})
    first.consume(names(), "c")
    time.sleep(1.5 * EXPIRES_MS / 1000)
    second.publish("", names(), b"x", mandatory=True)
    assert first.delivery().body == b"x"
    first.cancel("c")
    await_expiry(second, names())


@pytest.mark.oracle
@pytest.mark.parametrize("use", ["get", "declare", "passive"])
def test_uses_that_keep_a_queue(channel: ChannelClient, names: Names, use: str) -> None:
    arguments = {"x-expires": EXPIRES_MS}
    channel.declare(names(), arguments=arguments)
    for _ in range(6):
        time.sleep(EXPIRES_MS / 5000)
        if use == "get":
            assert channel.get(names()) is None
        else:
            channel.declare(names(), arguments=arguments, passive=use == "passive")


@pytest.mark.oracle
def test_publishing_does_not_keep_a_queue(channel: ChannelClient, names: Names) -> None:
    channel.declare(names(), arguments={"x-expires": SHORT_MS})
    await_expiry(channel, names())
