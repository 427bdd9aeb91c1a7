"""basic.qos: prefetch per consumer and per channel."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Names
from tests.harness.channel import ChannelClient
from tests.harness.client import Client
from tests.harness.methods import Basic

OpenClient = Callable[..., Client]


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [str(n).encode() for n in range(start, start + count)]


def change_limit(channel: ChannelClient, prefetch_count: int, global_: bool = False) -> int:
    """qos while deliveries may be under way; how many came before its answer."""
    channel.send(Basic.Qos(prefetch_count=prefetch_count, global_=global_))
    count = 0
    while not isinstance(channel.client.next_on(1).method, Basic.QosOk):
        count += 1
    return count


def filled(channel: ChannelClient, count: int = 20) -> str:
    queue = channel.exclusive_queue()
    channel.confirm()
    channel.publish_many("", queue, numbered(count))
    channel.wait_confirms(count)
    return queue


@pytest.mark.oracle
def test_a_size_limit_is_not_implemented(channel: ChannelClient) -> None:
    channel.send(Basic.Qos(prefetch_size=1))
    channel.client.expect_connection_error(540, "NOT_IMPLEMENTED - prefetch_size!=0 (1)")


@pytest.mark.parametrize("global_", [False, True])
def test_no_more_than_the_limit_is_unacked(channel: ChannelClient, global_: bool) -> None:
    queue = filled(channel)
    channel.qos(3, global_)
    channel.consume(queue)
    assert channel.bodies(3) == numbered(3)
    channel.expect_nothing(queue)
    channel.ack(1)
    assert channel.bodies(1) == [b"3"]
    channel.expect_nothing(queue)
    channel.ack(3, multiple=True)
    assert channel.bodies(2) == [b"4", b"5"]
    channel.expect_nothing(queue)
    channel.nack(4, requeue=False)
    assert channel.bodies(1) == [b"6"]
    channel.expect_nothing(queue)


@pytest.mark.parametrize("global_", [False, True])
def test_no_ack_consumers_know_no_limit(channel: ChannelClient, global_: bool) -> None:
    queue = filled(channel)
    channel.qos(1, global_)
    channel.consume(queue, no_ack=True)
    assert channel.bodies(20) == numbered(20)


@pytest.mark.parametrize("global_", [False, True])
def test_zero_is_no_limit(channel: ChannelClient, global_: bool) -> None:
    queue = filled(channel, 1000)
    channel.qos(0, global_)
    channel.consume(queue)
    assert channel.bodies(1000) == numbered(1000)


def test_the_limit_is_per_consumer(channel: ChannelClient) -> None:
    queue = filled(channel)
    channel.qos(2)
    channel.consume_quietly(queue, "a")
    channel.consume_quietly(queue, "b")
    tags = [m.method.consumer_tag for m in channel.deliveries(4)]
    assert sorted(tags) == ["a", "a", "b", "b"]
    channel.expect_nothing(queue)


@pytest.mark.oracle
def test_a_global_limit_is_shared_by_the_consumers_of_a_channel(channel: ChannelClient) -> None:
    queue = filled(channel)
    channel.qos(3, True)
    channel.consume_quietly(queue, "a")
    channel.consume_quietly(queue, "b")
    channel.deliveries(3)
    channel.expect_nothing(queue)
    channel.ack(3, multiple=True)
    channel.deliveries(3)
    channel.expect_nothing(queue)


def test_a_global_limit_holds_over_queues_of_all_shards(channel: ChannelClient) -> None:
    queues = [channel.exclusive_queue() for _ in range(6)]
    channel.confirm()
    for queue in queues:
        channel.publish_many("", queue, numbered(10))
    channel.wait_confirms(60)
    channel.qos(7, True)
    for queue in queues:
        channel.consume_quietly(queue, queue)
    taken = channel.deliveries(7)
    channel.expect_nothing(*queues)
    while len(taken) < 60:
        channel.ack(taken[-1].delivery_tag, multiple=True)
        count = min(7, 60 - len(taken))
        taken += channel.deliveries(count)
        channel.expect_nothing(*queues)
    assert sorted(m.body for m in taken) == sorted(numbered(10) * 6)


def test_both_limits_hold(channel: ChannelClient) -> None:
    queue = filled(channel)
    channel.qos(2)
    channel.qos(3, True)
    channel.consume(queue, "a")
    tags = [m.method.consumer_tag for m in channel.deliveries(2)]
    channel.consume(queue, "b")
    tags += [channel.delivery().method.consumer_tag]
    assert tags == ["a", "a", "b"]
    channel.expect_nothing(queue)


def test_a_limit_set_later_does_not_take_back_what_was_delivered(channel: ChannelClient) -> None:
    queue = filled(channel)
    channel.qos(10)
    channel.consume(queue)
    channel.deliveries(10)
    channel.qos(2)
    channel.expect_nothing(queue)


@pytest.mark.warren_only("RabbitMQ changes consumers created later only; Celery counts on the change")
def test_a_limit_changes_live_consumers(channel: ChannelClient) -> None:
    queue = filled(channel)
    channel.qos(2)
    channel.consume(queue)
    channel.deliveries(2)
    channel.expect_nothing(queue)
    channel.deliveries(3 - change_limit(channel, 5))
    channel.expect_nothing(queue)
    channel.qos(1)
    channel.ack(4, multiple=True)
    channel.expect_nothing(queue)
    channel.ack(5)
    channel.deliveries(1)
    channel.expect_nothing(queue)


def test_a_global_limit_changes_live_consumers(channel: ChannelClient) -> None:
    queue = filled(channel)
    channel.qos(2, True)
    channel.consume(queue)
    channel.deliveries(2)
    channel.expect_nothing(queue)
    channel.deliveries(3 - change_limit(channel, 5, True))
    channel.expect_nothing(queue)
    channel.deliveries(15 - change_limit(channel, 0, True))


def test_get_knows_no_limit(channel: ChannelClient) -> None:
    queue = filled(channel)
    channel.qos(1, True)
    channel.qos(1)
    for number in range(20):
        message = channel.get(queue)
        assert message is not None and message.body == str(number).encode()


def test_fair_dispatch_goes_to_the_idle_consumer(open_client: OpenClient, names: Names) -> None:
    publisher, slow, quick = (open_client().channel() for _ in range(3))
    publisher.declare(names())
    for consumer in (slow, quick):
        consumer.qos(1)
        consumer.consume(names())
    publisher.publish_many("", names(), numbered(50))
    held = slow.delivery()
    taken = [held.body]
    for _ in range(49):
        message = quick.delivery()
        taken.append(message.body)
        quick.ack(message.delivery_tag)
    assert sorted(taken) == sorted(numbered(50))
    slow.expect_nothing(names())


def test_cancel_gives_the_limit_of_the_channel_back(channel: ChannelClient) -> None:
    queue = filled(channel)
    channel.qos(2, True)
    channel.consume(queue, "a")
    messages = channel.deliveries(2)
    channel.cancel("a")
    channel.consume(queue, "b")
    channel.expect_nothing(queue)
    channel.ack(messages[-1].delivery_tag, multiple=True)
    assert channel.bodies(2) == [b"2", b"3"]


def test_requeue_makes_room(channel: ChannelClient) -> None:
    queue = filled(channel, 5)
    channel.qos(1)
    channel.consume(queue)
    for _ in range(20):
        message = channel.delivery()
        assert message.body == b"0"
        channel.nack(message.delivery_tag)
