"""basic.consume, basic.cancel and dispatch: tags, exclusive consumers, round-robin, order, cancel notification."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import pytest

from tests.conftest import Names
from tests.harness.channel import ChannelClient
from tests.harness.client import Client
from tests.harness.methods import Basic, Channel, Queue

OpenClient = Callable[..., Client]


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [str(n).encode() for n in range(start, start + count)]


def test_deliveries_carry_tags_names_and_order(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.bind(queue, "amq.direct", queue + ".key")
    assert channel.consume(queue, "my-tag") == "my-tag"
    channel.publish_many("amq.direct", queue + ".key", numbered(100))
    messages = channel.deliveries(100)
    assert [m.body for m in messages] == numbered(100)
    assert [m.delivery_tag for m in messages] == list(range(1, 101))
    assert {(m.method.consumer_tag, m.method.exchange, m.method.routing_key, m.redelivered) for m in messages} == {
        ("my-tag", "amq.direct", queue + ".key", False)
    }


def test_a_server_named_consumer(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    first, second = channel.consume(queue), channel.consume(queue)
    assert re.fullmatch(r"amq\.ctag-[A-Za-z0-9_-]{22}", first)
    assert first != second


@pytest.mark.oracle
def test_a_tag_in_use_is_not_allowed(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.consume(queue, "tag")
    channel.send(Basic.Consume(queue=queue, consumer_tag="tag"))
    channel.client.expect_connection_error(530, "NOT_ALLOWED - attempt to reuse consumer tag 'tag'")


def test_a_tag_may_be_used_again_after_cancel_and_on_another_channel(client: Client) -> None:
    first, second = client.channel(1), client.channel(2)
    queue = first.exclusive_queue()
    first.consume(queue, "tag")
    second.consume(queue, "tag")
    first.cancel("tag")
    first.consume(queue, "tag")


def test_consume_ok_comes_before_the_first_delivery(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.publish_many("", queue, numbered(10))
    channel.send(Basic.Consume(queue=queue, consumer_tag="tag"))
    channel.expect(Basic.ConsumeOk)
    assert channel.bodies(10) == numbered(10)


def test_nowait_consumes_without_an_answer(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.send(Basic.Consume(queue=queue, consumer_tag="tag", nowait=True))
    channel.publish("", queue, b"x")
    assert channel.delivery().body == b"x"
    channel.send(Basic.Cancel(consumer_tag="tag", nowait=True))
    assert channel.consumers(queue) == 0


@pytest.mark.oracle
def test_cancelling_an_unknown_tag_is_fine(channel: ChannelClient) -> None:
    assert channel.call(Basic.Cancel(consumer_tag="nobody"), Basic.CancelOk).consumer_tag == "nobody"


def test_nothing_is_delivered_after_cancel_ok(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.consume(queue, "tag", no_ack=True)
    channel.publish_many("", queue, numbered(2000))
    taken = channel.cancel("tag")
    channel.publish("", queue, b"late")
    channel.expect_nothing(queue)
    assert [m.body for m in taken] + channel.get_all(queue) == numbered(2000) + [b"late"]


def test_unacked_messages_stay_with_the_channel_after_cancel(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.publish_many("", queue, numbered(3))
    channel.consume(queue, "tag")
    messages = channel.deliveries(3)
    channel.cancel("tag")
    assert channel.count(queue) == 0
    channel.ack(messages[0].delivery_tag)
    channel.nack(messages[2].delivery_tag, multiple=True)
    assert channel.get_all(queue) == [b"1", b"2"]


@pytest.mark.oracle
def test_an_exclusive_consumer_is_alone(client: Client) -> None:
    first, second = client.channel(1), client.channel(2)
    queue = first.exclusive_queue()
    first.consume(queue, "tag", exclusive=True)
    second.send(Basic.Consume(queue=queue))
    second.expect_error(403, f"ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use")
    first.cancel("tag")
    client.channel(2).consume(queue)


@pytest.mark.oracle
def test_an_exclusive_consumer_is_refused_where_others_are(client: Client) -> None:
    first, second = client.channel(1), client.channel(2)
    queue = first.exclusive_queue()
    first.consume(queue)
    second.send(Basic.Consume(queue=queue, exclusive=True))
    second.expect_error(403, f"ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use")


def test_round_robin_over_consumers(open_client: OpenClient, names: Names) -> None:
    publisher = open_client().channel()
    publisher.declare(names())
    consumers = [open_client().channel() for _ in range(4)]
    for consumer in consumers:
        consumer.consume(names(), no_ack=True)
    publisher.publish_many("", names(), numbered(400))
    counts = Counter()
    for number, consumer in enumerate(consumers):
        bodies = [int(m.body) for m in consumer.deliveries(100)]
        assert bodies == sorted(bodies)
        counts[number] = len(bodies)
    assert set(counts.values()) == {100}


def test_round_robin_over_consumers_of_one_channel(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    for tag in "abc":
        channel.consume(queue, tag, no_ack=True)
    channel.publish_many("", queue, numbered(30))
    assert Counter(m.method.consumer_tag for m in channel.deliveries(30)) == {"a": 10, "b": 10, "c": 10}


def test_consumers_of_several_queues_on_one_channel(channel: ChannelClient) -> None:
    queues = [channel.exclusive_queue() for _ in range(10)]
    for queue in queues:
        channel.consume(queue, queue, no_ack=True)
    for number in range(200):
        channel.publish("", queues[number % 10], str(number).encode())
    by_queue: dict[str, list[int]] = {}
    messages = channel.deliveries(200)
    for message in messages:
        by_queue.setdefault(message.method.consumer_tag, []).append(int(message.body))
    assert [by_queue[queue] for queue in queues] == [list(range(n, 200, 10)) for n in range(10)]
    assert [m.delivery_tag for m in messages] == list(range(1, 201))


def test_a_consumer_gets_what_was_there_and_what_comes(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.publish_many("", queue, numbered(50))
    channel.consume(queue, no_ack=True)
    channel.publish_many("", queue, numbered(50, 50))
    assert channel.bodies(100) == numbered(100)


def test_deleting_a_queue_cancels_its_consumers(open_client: OpenClient, names: Names) -> None:
    consumer, other = open_client().channel(), open_client().channel()
    consumer.declare(names())
    consumer.consume(names(), "tag")
    other.delete(names())
    cancel = consumer.expect(Basic.Cancel)
    assert cancel.consumer_tag == "tag"
    consumer.exclusive_queue()  # the channel lives on


def test_clients_that_cannot_take_it_are_not_told_of_a_cancelled_consumer(
    open_client: OpenClient, names: Names
) -> None:
    consumer, other = open_client(capabilities={}).channel(), open_client().channel()
    consumer.declare(names())
    consumer.consume(names(), "tag")
    other.delete(names())
    consumer.expect_nothing()


def test_deleting_ones_own_queue_cancels_ones_consumer(channel: ChannelClient, names: Names) -> None:
    channel.declare(names())
    channel.consume(names(), "tag")
    channel.send(Queue.Delete(queue=names()))
    kinds = {type(channel.client.next_on(1).method).__name__ for _ in range(2)}
    assert kinds == {"Cancel", "DeleteOk"}


def test_no_local_is_accepted(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.consume(queue, no_local=True, no_ack=True)
    channel.publish("", queue, b"own")
    assert channel.delivery().body == b"own"


def test_consumer_arguments_are_accepted(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.consume(queue, arguments={"x-priority": 10, "own": "value"})
    channel.publish("", queue, b"x")
    assert channel.delivery().body == b"x"


def test_a_consumer_that_dies_gives_its_messages_to_another(open_client: OpenClient, names: Names) -> None:
    dying, heir = open_client(), open_client().channel()
    channel = dying.channel()
    channel.declare(names())
    channel.publish_many("", names(), numbered(10))
    channel.consume(names())
    assert channel.bodies(10) == numbered(10)
    heir.consume(names())
    dying.reset()
    messages = heir.deliveries(10)
    assert [m.body for m in messages] == numbered(10)
    assert all(m.redelivered for m in messages)


@pytest.mark.parametrize("count", [5000])
def test_many_messages_through_one_queue_in_order(open_client: OpenClient, names: Names, count: int) -> None:
    publisher, consumer = open_client().channel(), open_client().channel()
    publisher.declare(names())
    consumer.qos(200)
    consumer.consume(names())
    publisher.confirm()
    publisher.publish_many("", names(), numbered(count))
    got = []
    while len(got) < count:
        message = consumer.delivery()
        got.append(message.body)
        if len(got) % 50 == 0:
            consumer.ack(message.delivery_tag, multiple=True)
    assert got == numbered(count)
    publisher.wait_confirms(count)


def test_closing_the_channel_in_the_middle_of_a_flood(open_client: OpenClient, names: Names) -> None:
    client = open_client()
    channel = client.channel()
    channel.declare(names())
    channel.publish_many("", names(), numbered(3000))
    channel.consume(names())
    channel.delivery()
    channel.send(Channel.Close(200, "", 0, 0))
    while not isinstance(client.next_on(1).method, Channel.CloseOk):
        pass
    assert client.channel(1).count(names()) == 3000
