"""Confirm class: publish sequence numbers, coalesced acks, returns before their ack."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Names
from tests.harness import wire
from tests.harness.channel import PERSISTENT, ChannelClient
from tests.harness.client import Client
from tests.harness.methods import Basic, Confirm, Properties, Tx

OpenClient = Callable[..., Client]


def numbered(count: int) -> list[bytes]:
    return [str(n).encode() for n in range(count)]


def test_every_publish_is_confirmed_once(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.confirm()
    channel.publish_many("", queue, numbered(500))
    assert channel.wait_confirms(500) == set()
    channel.expect_nothing(queue)
    assert channel.get_all(queue) == numbered(500)


@pytest.mark.oracle
def test_select_again_is_fine_and_does_not_count_anew(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.confirm()
    channel.publish("", queue, b"1")
    channel.wait_confirms(1)
    channel.confirm()
    channel.publish("", queue, b"2")
    assert channel.expect(Basic.Ack).delivery_tag == 2


def test_numbers_start_with_the_publish_after_select(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.publish_many("", queue, numbered(5))
    channel.confirm()
    channel.publish("", queue, b"x")
    assert channel.expect(Basic.Ack).delivery_tag == 1


def test_select_without_an_answer(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.send(Confirm.Select(nowait=True))
    channel.publish("", queue, b"x")
    assert channel.expect(Basic.Ack).delivery_tag == 1


def test_each_channel_counts_for_itself(client: Client) -> None:
    first, second = client.channel(1), client.channel(2)
    queue = first.exclusive_queue()
    for channel in (first, second):
        channel.confirm()
    client.send_bytes(b"".join(wire.publish(1 + n % 2, "", queue, b"x") for n in range(100)))
    first.wait_confirms(50)
    second.wait_confirms(50)


def test_a_stream_of_publishes_is_confirmed_with_multiple(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.confirm()
    channel.publish_many("", queue, numbered(2000))
    acks, last = 0, 0
    while last < 2000:
        ack = channel.expect(Basic.Ack)
        acks += 1
        last = ack.delivery_tag
    assert acks < 1000


@pytest.mark.oracle
@pytest.mark.parametrize("exchange", ["", "amq.direct", "amq.topic", "amq.fanout"])
def test_an_unroutable_publish_is_acked(channel: ChannelClient, exchange: str) -> None:
    channel.confirm()
    channel.publish(exchange, "t-nobody", b"x")
    assert channel.wait_confirms(1) == set()


@pytest.mark.oracle
def test_a_return_comes_before_its_ack(channel: ChannelClient) -> None:
    channel.confirm()
    for number in range(1, 21):
        channel.publish("", "t-nobody", str(number).encode(), mandatory=True)
        assert channel.returned().body == str(number).encode()
        channel.wait_confirms(number, number)


def test_returns_among_routed_publishes_come_before_their_acks(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.confirm()
    count = 300
    channel.client.send_bytes(
        b"".join(
            wire.publish(1, "", queue if n % 3 else "t-nobody", str(n).encode(), mandatory=True)
            for n in range(1, count + 1)
        )
    )
    returned, confirmed = set(), set()
    while len(confirmed) < count:
        arrival = channel.client.next_on(1)
        if arrival.message is not None:
            number = int(arrival.message.body)
            assert number not in confirmed
            returned.add(number)
        else:
            tag = arrival.method.delivery_tag
            new = {n for n in range(1, tag + 1) if n not in confirmed} if arrival.method.multiple else {tag}
            assert isinstance(arrival.method, Basic.Ack) and new
            confirmed |= new
            assert {n for n in new if n % 3 == 0} <= returned
    assert returned == set(range(3, count + 1, 3))


def test_persistent_messages_on_durable_queues(channel: ChannelClient, names: Names) -> None:
    for number in range(4):
        channel.declare(names(str(number)), durable=True)
    channel.confirm()
    channel.client.send_bytes(
        b"".join(
            wire.publish(1, "", names(str(n % 4)), str(n).encode(), Properties(delivery_mode=PERSISTENT))
            for n in range(400)
        )
    )
    assert channel.wait_confirms(400) == set()
    for number in range(4):
        assert channel.get_all(names(str(number))) == [str(n).encode() for n in range(number, 400, 4)]


def test_persistent_and_transient_messages_mixed(channel: ChannelClient, names: Names) -> None:
    channel.declare(names("durable"), durable=True)
    channel.declare(names("transient"))
    channel.confirm()
    channel.client.send_bytes(
        b"".join(
            wire.publish(
                1, "", names(("durable", "transient", "missing")[n % 3]), b"x", Properties(delivery_mode=1 + n % 2)
            )
            for n in range(600)
        )
    )
    assert channel.wait_confirms(600) == set()


def test_one_publish_to_queues_of_several_shards_is_confirmed_once(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names("all"), "fanout")
    for number in range(12):
        channel.declare(names(str(number)), durable=number % 2 == 0)
        channel.bind(names(str(number)), names("all"))
    channel.confirm()
    for _ in range(50):
        channel.publish(names("all"), "", b"x", Properties(delivery_mode=PERSISTENT))
    channel.wait_confirms(50)
    channel.expect_nothing()
    assert [channel.count(names(str(number))) for number in range(12)] == [50] * 12


def test_publishes_to_a_queue_that_is_deleted_meanwhile_are_confirmed(open_client: OpenClient, names: Names) -> None:
    publisher, owner = open_client().channel(), open_client().channel()
    owner.declare(names(), durable=True)
    publisher.confirm()
    publisher.persistent(names(), numbered(500))
    owner.delete(names())
    publisher.persistent(names(), numbered(500))
    publisher.wait_confirms(1000)


@pytest.mark.oracle
def test_confirms_on_a_channel_with_transactions_fail(channel: ChannelClient) -> None:
    channel.tx_select()
    channel.send(Confirm.Select())
    channel.expect_error(406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode")


@pytest.mark.oracle
def test_transactions_on_a_channel_with_confirms_fail(channel: ChannelClient) -> None:
    channel.confirm()
    channel.send(Tx.Select())
    channel.expect_error(406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode")


def test_a_confirmed_message_is_there_for_every_other_connection(open_client: OpenClient, names: Names) -> None:
    publisher, readers = open_client().channel(), [open_client().channel() for _ in range(3)]
    publisher.declare(names())
    publisher.confirm()
    for number in range(30):
        publisher.publish("", names(), str(number).encode())
        publisher.wait_confirms(number + 1, number + 1)
        message = readers[number % 3].get(names(), no_ack=True)
        assert message is not None and message.body == str(number).encode()
