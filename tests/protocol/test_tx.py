"""Tx class: publishes and acknowledgements wait for the commit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Names
from tests.harness.channel import ChannelClient
from tests.harness.client import Client
from tests.harness.methods import Properties, Tx

OpenClient = Callable[..., Client]


@pytest.mark.oracle
@pytest.mark.parametrize("method", [Tx.Commit(), Tx.Rollback()], ids=lambda m: m.name)
def test_a_channel_without_select_is_not_transactional(channel: ChannelClient, method: Any) -> None:
    channel.send(method)
    close = channel.expect_error(406, "PRECONDITION_FAILED - channel is not transactional")
    assert close.class_id << 16 | close.method_id == method.index


def test_select_again_is_fine(channel: ChannelClient) -> None:
    channel.tx_select()
    channel.tx_select()
    channel.tx_commit()


def test_publishes_are_seen_after_the_commit(open_client: OpenClient, names: Names) -> None:
    publisher, reader = open_client().channel(), open_client().channel()
    publisher.declare(names())
    publisher.tx_select()
    publisher.publish_many("", names(), [b"1", b"2", b"3"])
    publisher.expect_nothing(names())
    assert reader.count(names()) == 0
    publisher.tx_commit()
    assert reader.get_all(names()) == [b"1", b"2", b"3"]


def test_rollback_drops_publishes(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.tx_select()
    channel.publish("", queue, b"dropped")
    channel.tx_rollback()
    channel.publish("", queue, b"kept")
    channel.tx_commit()
    assert channel.get_all(queue) == [b"kept"]


@pytest.mark.parametrize("end", ["close", "drop", "reset"])
def test_the_end_of_a_connection_drops_what_was_not_committed(open_client: OpenClient, names: Names, end: str) -> None:
    client, reader = open_client(), open_client().channel()
    channel = client.channel()
    reader.declare(names())
    channel.tx_select()
    channel.publish("", names(), b"1")
    channel.tx_commit()
    channel.publish("", names(), b"2")
    channel.expect_nothing(names())
    getattr(client, end)()
    assert reader.get_all(names()) == [b"1"]


def test_acks_take_effect_at_the_commit(client: Client) -> None:
    channel, reader = client.channel(1), client.channel(2)
    queue = channel.exclusive_queue()
    channel.publish_many("", queue, [b"1", b"2", b"3"])
    channel.tx_select()
    channel.consume(queue)
    channel.deliveries(3)
    channel.ack(2, multiple=True)
    channel.tx_commit()
    channel.ack(3)
    channel.close()  # not committed: it comes back
    message = reader.get(queue)
    assert message is not None and message.body == b"3" and message.redelivered
    assert reader.get(queue) is None


@pytest.mark.oracle
def test_rollback_undoes_acks(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.publish_many("", queue, [b"1", b"2"])
    channel.tx_select()
    for _ in range(2):
        channel.get(queue)
    channel.ack(1)
    channel.tx_rollback()
    channel.ack(1)  # it may be acked once more
    channel.tx_commit()
    channel.recover()
    message = channel.get(queue)
    assert message is not None and message.body == b"2" and message.redelivered
    assert channel.get(queue) is None


def test_rejects_take_effect_at_the_commit(client: Client) -> None:
    channel, reader = client.channel(1), client.channel(2)
    queue = channel.exclusive_queue()
    channel.publish_many("", queue, [b"1", b"2"])
    channel.tx_select()
    assert channel.get(queue) is not None and channel.get(queue) is not None
    channel.reject(1, requeue=True)
    channel.nack(2, requeue=False)
    channel.expect_nothing(queue)
    assert reader.count(queue) == 0
    channel.tx_commit()
    assert reader.get_all(queue) == [b"1"]


def test_mandatory_returns_come_at_the_commit(channel: ChannelClient) -> None:
    channel.tx_select()
    channel.publish("", "t-nobody", b"back", mandatory=True)
    channel.send(Tx.Commit())
    kinds = [channel.client.next_on(1) for _ in range(2)]
    assert sorted(type(arrival.method).__name__ for arrival in kinds) == ["CommitOk", "Return"]


@pytest.mark.oracle
def test_an_error_drops_the_transaction(client: Client) -> None:
    channel = client.channel()
    queue = channel.exclusive_queue()
    channel.tx_select()
    channel.publish("", queue, b"dropped")
    channel.publish("t-missing", "k", b"x")
    channel.expect_error(404)
    assert client.channel(1).count(queue) == 0


def test_publishes_to_several_shards_are_committed(channel: ChannelClient, names: Names) -> None:
    queues = [names(str(number)) for number in range(6)]
    for queue in queues:
        channel.declare(queue, durable=True)
    channel.tx_select()
    for turn in range(5):
        for queue in queues:
            channel.publish("", queue, str(turn).encode(), Properties(delivery_mode=2))
        channel.tx_commit()
    for queue in queues:
        assert channel.get_all(queue) == [b"0", b"1", b"2", b"3", b"4"]


def test_an_empty_commit_and_an_empty_rollback(channel: ChannelClient) -> None:
    channel.tx_select()
    for _ in range(10):
        channel.tx_commit()
        channel.tx_rollback()


def test_moving_messages_in_a_transaction(client: Client) -> None:
    channel, reader = client.channel(1), client.channel(2)
    source, target = channel.exclusive_queue(), channel.exclusive_queue()
    channel.publish_many("", source, [str(n).encode() for n in range(20)])
    channel.tx_select()
    for turn in range(20):
        message = channel.get(source)
        assert message is not None
        channel.publish("", target, message.body)
        channel.ack(message.delivery_tag)
        if turn % 2:
            channel.tx_commit()
    assert reader.get_all(target) == [str(n).encode() for n in range(20)]
    assert reader.count(source) == 0
