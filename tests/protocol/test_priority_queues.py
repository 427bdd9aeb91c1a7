"""x-max-priority: higher priorities first, in order inside one."""
from __future__ import annotations

import pytest

from tests.harness.channel import ChannelClient
from tests.harness.methods import Properties

HIGHEST = 10


def publish(channel: ChannelClient, queue: str, body: bytes, priority: int | None) -> None:
    channel.publish("", queue, body, None if priority is None else Properties(priority=priority))


@pytest.mark.oracle
def test_higher_ones_first(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue(**{"x-max-priority": HIGHEST})
    for body, priority in [(b"a", 1), (b"b", 5), (b"c", None), (b"d", 5), (b"e", 10), (b"f", 0)]:
        publish(channel, queue, body, priority)
    channel.wait_count(queue, 6)
    assert channel.get_all(queue) == [b"e", b"b", b"d", b"a", b"c", b"f"]


@pytest.mark.oracle
def test_a_priority_above_the_highest_counts_as_that_and_is_delivered_as_it_came(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue(**{"x-max-priority": HIGHEST})
    for body, priority in [(b"a", 10), (b"b", 255), (b"c", 10)]:
        publish(channel, queue, body, priority)
    messages = [channel.get(queue, no_ack=True) for _ in range(3)]
    assert [message.body for message in messages if message] == [b"a", b"b", b"c"]
    assert messages[1] is not None and messages[1].properties.priority == 255


@pytest.mark.oracle
@pytest.mark.parametrize("highest", [1, 255])
def test_any_number_of_priorities(channel: ChannelClient, highest: int) -> None:
    queue = channel.exclusive_queue(**{"x-max-priority": highest})
    for priority in (0, highest, highest // 2, 1):
        publish(channel, queue, b"%d" % priority, priority)
    expected = sorted([0, highest, highest // 2, 1], reverse=True)
    assert channel.get_all(queue) == [b"%d" % priority for priority in expected]


@pytest.mark.oracle
def test_a_plain_queue_knows_no_priorities(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    for priority in (1, 9, 5):
        publish(channel, queue, b"%d" % priority, priority)
    assert channel.get_all(queue) == [b"1", b"9", b"5"]


@pytest.mark.oracle
def test_a_message_that_comes_back_keeps_its_priority_and_place(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue(**{"x-max-priority": HIGHEST})
    for body, priority in [(b"a", 5), (b"b", 5), (b"c", 1)]:
        publish(channel, queue, body, priority)
    message = channel.get(queue)
    assert message is not None and message.body == b"a"
    channel.nack(message.method.delivery_tag, requeue=True)
    assert channel.get_all(queue) == [b"a", b"b", b"c"]


@pytest.mark.oracle
def test_the_length_limit_drops_the_highest(channel: ChannelClient) -> None:
    """As RabbitMQ's documentation says: the head goes, whatever comes."""
    queue = channel.exclusive_queue(**{"x-max-priority": HIGHEST, "x-max-length": 2})
    for body, priority in [(b"low", 0), (b"high", 9), (b"low'", 0)]:
        publish(channel, queue, body, priority)
    assert channel.get_all(queue) == [b"low", b"low'"]


@pytest.mark.oracle
def test_purge_takes_all_priorities(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue(**{"x-max-priority": HIGHEST})
    for priority in range(HIGHEST + 1):
        publish(channel, queue, b"x", priority)
    assert channel.purge(queue) == HIGHEST + 1
    channel.wait_count(queue, 0)


@pytest.mark.oracle
def test_consumers_get_the_highest_first(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue(**{"x-max-priority": HIGHEST})
    for priority in (0, 3, 7):
        publish(channel, queue, b"%d" % priority, priority)
    channel.qos(1)
    channel.consume(queue, "c")
    message = channel.delivery()
    assert message.body == b"7"
    publish(channel, queue, b"9", 9)
    channel.count(queue)
    channel.ack(message.method.delivery_tag)
    message = channel.delivery()
    assert message.body == b"9"
