"""basic.get, ack, nack, reject, recover: tags, multiple, requeue to the old position, the redelivered flag."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Names
from tests.harness.channel import ChannelClient
from tests.harness.client import Client
from tests.harness.methods import Basic

OpenClient = Callable[..., Client]


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [str(n).encode() for n in range(start, start + count)]


@pytest.fixture
def queue(channel: ChannelClient) -> str:
    """A queue with ten messages, 0 to 9."""
    name = channel.exclusive_queue()
    channel.publish_many("", name, numbered(10))
    return name


def get_tags(channel: ChannelClient, queue: str, count: int) -> list[int]:
    tags = []
    for _ in range(count):
        message = channel.get(queue)
        assert message is not None
        tags.append(message.delivery_tag)
    return tags


def test_get_takes_one_and_says_how_many_are_left(channel: ChannelClient, queue: str) -> None:
    for number in range(10):
        message = channel.get(queue)
        assert message is not None
        assert message.body == str(number).encode()
        assert (message.delivery_tag, message.redelivered, message.method.message_count) == (
            number + 1,
            False,
            9 - number,
        )
    assert channel.get(queue) is None


def test_get_without_ack_takes_for_good(channel: ChannelClient, queue: str) -> None:
    assert channel.get_all(queue) == numbered(10)
    channel.recover()
    assert channel.get(queue) is None


def test_what_was_got_and_not_acked_comes_back_with_the_channel(
    client: Client, channel: ChannelClient, queue: str
) -> None:
    get_tags(channel, queue, 3)
    channel.close()
    other = client.channel(2)
    messages = [other.get(queue, no_ack=True) for _ in range(10)]
    assert [(m.body, m.redelivered) for m in messages if m] == [(str(n).encode(), n < 3) for n in range(10)]


def test_delivery_tags_count_gets_and_deliveries_together(channel: ChannelClient, queue: str) -> None:
    assert get_tags(channel, queue, 2) == [1, 2]
    other = channel.exclusive_queue()
    channel.consume(other)
    channel.publish("", other, b"x")
    assert channel.delivery().delivery_tag == 3
    assert get_tags(channel, queue, 1) == [4]


@pytest.mark.oracle
@pytest.mark.parametrize(
    "method",
    [
        Basic.Ack(1),
        Basic.Ack(1, True),
        Basic.Ack(0),
        Basic.Nack(1),
        Basic.Nack(1, True),
        Basic.Reject(1),
        Basic.Reject(0),
        Basic.Ack(2**62),
    ],
    ids=["ack", "ack-multiple", "ack-0", "nack", "nack-multiple", "reject", "reject-0", "ack-huge"],
)
def test_an_unknown_tag_fails(channel: ChannelClient, method: Any) -> None:
    channel.exclusive_queue()
    channel.send(method)
    close = channel.expect_error(406, f"PRECONDITION_FAILED - unknown delivery tag {method.delivery_tag}")
    assert close.class_id << 16 | close.method_id == method.index


@pytest.mark.oracle
@pytest.mark.parametrize("method", [Basic.Ack(0, True), Basic.Nack(0, True)], ids=lambda m: m.name)
def test_all_of_nothing_is_fine(channel: ChannelClient, method: Any) -> None:
    channel.send(method)
    channel.exclusive_queue()


@pytest.mark.oracle
def test_a_tag_is_settled_once(channel: ChannelClient, queue: str) -> None:
    get_tags(channel, queue, 2)
    channel.ack(1)
    channel.ack(1)
    channel.expect_error(406, "unknown delivery tag 1")


def test_tags_belong_to_their_channel(client: Client, channel: ChannelClient, queue: str) -> None:
    get_tags(channel, queue, 1)
    other = client.channel(2)
    other.ack(1)
    other.expect_error(406, "unknown delivery tag 1")
    channel.ack(1)
    channel.exclusive_queue()


def test_deliveries_without_ack_have_tags_that_cannot_be_settled(channel: ChannelClient, queue: str) -> None:
    channel.consume(queue, no_ack=True)
    assert channel.deliveries(10)[-1].delivery_tag == 10
    channel.ack(10)
    channel.expect_error(406, "unknown delivery tag 10")


def test_multiple_settles_up_to_its_tag_over_queues_and_shards(channel: ChannelClient) -> None:
    queues = [channel.exclusive_queue() for _ in range(8)]
    for number in range(80):
        channel.publish("", queues[number % 8], str(number).encode())
    for queue in queues:
        channel.consume_quietly(queue, queue)
    messages = channel.deliveries(80)
    half = messages[:40]
    channel.ack(40, multiple=True)
    channel.nack(0, multiple=True, requeue=True)
    again = {m.body for m in channel.deliveries(40)}
    assert again == {m.body for m in messages[40:]} and not again & {m.body for m in half}


def test_holes_in_the_tags_are_passed_over_by_multiple(channel: ChannelClient, queue: str) -> None:
    get_tags(channel, queue, 10)
    for tag in (2, 5, 9):
        channel.ack(tag)
    channel.ack(6, multiple=True)
    channel.nack(0, multiple=True)
    assert channel.get_all(queue) == [b"6", b"7", b"9"]


@pytest.mark.parametrize("settle", ["reject", "nack"])
def test_without_requeue_a_message_is_gone(channel: ChannelClient, queue: str, settle: str) -> None:
    get_tags(channel, queue, 1)
    getattr(channel, settle)(1, requeue=False)
    assert channel.get_all(queue) == numbered(9, 1)


@pytest.mark.parametrize("settle", ["reject", "nack"])
def test_a_requeued_message_has_its_old_place_and_the_flag(channel: ChannelClient, queue: str, settle: str) -> None:
    get_tags(channel, queue, 5)
    getattr(channel, settle)(3)
    getattr(channel, settle)(1)
    messages = [channel.get(queue, no_ack=True) for _ in range(7)]
    assert [(m.body, m.redelivered) for m in messages if m] == [
        (b"0", True),
        (b"2", True),
        *((str(n).encode(), False) for n in range(5, 10)),
    ]


@pytest.mark.oracle
def test_requeueing_many_restores_the_order(channel: ChannelClient, queue: str) -> None:
    get_tags(channel, queue, 10)
    channel.ack(4)
    channel.nack(0, multiple=True, requeue=True)
    assert channel.get_all(queue) == [str(n).encode() for n in range(10) if n != 3]


def test_a_requeued_message_goes_to_a_waiting_consumer(open_client: OpenClient, names: Names) -> None:
    first, second = open_client().channel(), open_client().channel()
    first.declare(names())
    first.publish("", names(), b"x")
    message = first.get(names())
    assert message is not None
    second.consume(names())
    first.nack(message.delivery_tag)
    again = second.delivery()
    assert again.body == b"x" and again.redelivered
    second.ack(again.delivery_tag)


def test_a_message_may_come_back_many_times(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.publish("", queue, b"x")
    channel.consume(queue)
    for turn in range(50):
        message = channel.delivery()
        assert message.redelivered == (turn > 0)
        channel.nack(message.delivery_tag)
    channel.ack(channel.delivery().delivery_tag)
    assert channel.count(queue) == 0


@pytest.mark.oracle
def test_recover_requeues_all_that_the_channel_holds(channel: ChannelClient, queue: str) -> None:
    get_tags(channel, queue, 4)
    channel.ack(2)
    channel.recover(requeue=True)
    messages = [channel.get(queue, no_ack=True) for _ in range(9)]
    assert [(m.body, m.redelivered) for m in messages if m] == [
        (b"0", True),
        (b"2", True),
        (b"3", True),
        *((str(n).encode(), False) for n in range(4, 10)),
    ]


def test_recover_redelivers_to_ones_own_consumer(channel: ChannelClient, queue: str) -> None:
    channel.consume(queue)
    channel.deliveries(10)
    channel.send(Basic.Recover(requeue=True))
    kinds: list[bytes] = []
    answered = False
    while len(kinds) < 10 or not answered:
        arrival = channel.client.next_on(1)
        if isinstance(arrival.method, Basic.RecoverOk):
            answered = True
        else:
            assert arrival.message is not None and arrival.message.redelivered
            kinds.append(arrival.message.body)
    assert kinds == numbered(10)


def test_recover_async_has_no_answer(channel: ChannelClient, queue: str) -> None:
    get_tags(channel, queue, 3)
    channel.send(Basic.RecoverAsync(requeue=True))
    assert channel.get_all(queue) == numbered(10)


@pytest.mark.oracle
def test_recover_without_requeue_is_not_implemented(channel: ChannelClient, queue: str) -> None:
    get_tags(channel, queue, 1)
    channel.send(Basic.Recover(requeue=False))
    channel.client.expect_connection_error(540, "NOT_IMPLEMENTED")


def test_acks_and_publishes_of_one_channel_are_handled_in_order(channel: ChannelClient, queue: str) -> None:
    for tag in get_tags(channel, queue, 10):
        channel.ack(tag)
    assert channel.count(queue) == 0
    channel.publish("", queue, b"next")
    message = channel.get(queue)
    assert message is not None and message.method.message_count == 0


def test_gets_of_many_clients_share_a_queue(open_client: OpenClient, names: Names) -> None:
    channels = [open_client().channel() for _ in range(4)]
    channels[0].declare(names())
    channels[0].publish_many("", names(), numbered(200))
    taken = []
    while True:
        messages = [m for m in (channel.get(names()) for channel in channels) if m is not None]
        if not messages:
            break
        taken += [m.body for m in messages]
    assert sorted(taken) == sorted(numbered(200))
