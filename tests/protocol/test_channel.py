"""Channel class: open, flow, close, and how errors are kept to their channel."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.harness import wire
from tests.harness.channel import ChannelClient
from tests.harness.client import Client
from tests.harness.methods import Basic, Channel, Exchange, Queue

OpenClient = Callable[..., Client]


def test_a_channel_number_is_free_again_after_close(client: Client) -> None:
    for _ in range(3):
        client.channel(7).close()


def test_the_highest_number_is_channel_max(open_client: OpenClient) -> None:
    open_client(channel_max=5).channel(5)


@pytest.mark.oracle
def test_more_channels_than_channel_max_are_not_allowed(open_client: OpenClient) -> None:
    client = open_client(channel_max=3)
    for number in (1, 2, 3):
        client.channel(number)
    client.send(4, Channel.Open())
    client.expect_connection_error(530, "number of channels opened (3) has reached the negotiated channel_max (3)")


def test_many_channels_of_one_connection(client: Client) -> None:
    numbers = range(1, 1001)
    client.send_bytes(b"".join(wire.method(number, Channel.Open()) for number in numbers))
    for number in numbers:
        client.expect(Channel.OpenOk, number)
    client.send_bytes(b"".join(wire.method(number, Channel.Close(200, "", 0, 0)) for number in numbers))
    for number in numbers:
        client.expect(Channel.CloseOk, number)


@pytest.mark.oracle
def test_a_second_open_is_a_channel_error(channel: ChannelClient) -> None:
    channel.send(Channel.Open())
    channel.client.expect_connection_error(504, "second 'channel.open' seen")


@pytest.mark.parametrize(
    "method",
    [Basic.Qos(), Queue.Declare(queue="x"), Exchange.Declare(exchange="x"), Channel.Flow(active=True)],
    ids=lambda m: m.name,
)
def test_a_method_on_a_channel_that_is_not_open_is_a_channel_error(client: Client, method: object) -> None:
    client.send(3, method)
    client.expect_connection_error(504, "expected 'channel.open'")


def test_content_on_a_channel_that_is_not_open_is_a_channel_error(client: Client) -> None:
    client.send_bytes(wire.publish(3, "", "x", b"body"))
    client.expect_connection_error(504)


def test_closing_a_channel_that_is_not_open_is_a_channel_error(client: Client) -> None:
    client.send(3, Channel.Close(200, "", 0, 0))
    client.expect_connection_error(504, "expected 'channel.open'")


@pytest.mark.oracle
def test_flow_on_is_answered(channel: ChannelClient) -> None:
    assert channel.call(Channel.Flow(active=True), Channel.FlowOk).active


@pytest.mark.rabbitmq_only("Warren honours channel.flow")
def test_flow_off_is_not_implemented(channel: ChannelClient) -> None:
    channel.send(Channel.Flow(active=False))
    channel.client.expect_connection_error(540)


@pytest.mark.warren_only("RabbitMQ answers 540")
def test_flow_off_stops_deliveries_until_flow_on(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.consume(queue, no_ack=True)
    assert not channel.call(Channel.Flow(active=False), Channel.FlowOk).active
    channel.publish("", queue, b"held")
    for _ in range(5):
        channel.declare(queue, passive=True)
    channel.send(Channel.Flow(active=True))
    kinds = [channel.client.next_on(1) for _ in range(2)]
    assert sorted(type(arrival.method).__name__ for arrival in kinds) == ["Deliver", "FlowOk"]


@pytest.mark.oracle
def test_an_error_closes_its_channel_and_no_other(client: Client) -> None:
    good, bad = client.channel(1), client.channel(2)
    bad.send(Queue.Declare(queue="t-no-such-queue", passive=True))
    close = bad.expect_error(404, "NOT_FOUND - no queue 't-no-such-queue' in vhost '/'")
    assert (close.class_id, close.method_id) == (50, 10)
    good.exclusive_queue()
    client.channel(2).exclusive_queue()


def test_what_follows_an_error_is_dropped_until_close_ok(client: Client) -> None:
    channel = client.channel(1)
    queue = channel.exclusive_queue()
    client.send_bytes(
        wire.method(1, Queue.Declare(queue="t-no-such-queue", passive=True))
        + wire.publish(1, "", queue, b"lost")
        + wire.method(1, Queue.Declare(queue="also-lost"))
        + wire.publish(1, "", queue, b"lost too")
    )
    channel.expect_error(404)
    channel = client.channel(1)
    assert channel.count(queue) == 0


def test_a_close_that_crosses_an_error_is_answered(client: Client) -> None:
    channel = client.channel(1)
    channel.send(Queue.Declare(queue="t-no-such-queue", passive=True), Channel.Close(200, "", 0, 0))
    assert isinstance(client.next().method, Channel.Close)
    assert isinstance(client.next().method, Channel.CloseOk)
    client.send(1, Channel.CloseOk())
    client.channel(1).exclusive_queue()


def test_closing_a_channel_requeues_what_it_held(client: Client) -> None:
    first, second = client.channel(1), client.channel(2)
    queue = first.exclusive_queue()
    first.publish_many("", queue, [b"1", b"2", b"3"])
    first.consume(queue)
    assert [m.redelivered for m in first.deliveries(3)] == [False] * 3
    first.close()
    second.consume(queue)
    assert [(m.body, m.redelivered) for m in second.deliveries(3)] == [(b"1", True), (b"2", True), (b"3", True)]


def test_closing_a_channel_ends_its_consumers(client: Client) -> None:
    first, second = client.channel(1), client.channel(2)
    queue = first.exclusive_queue()
    first.consume(queue)
    assert second.consumers(queue) == 1
    first.close()
    assert second.consumers(queue) == 0


def test_an_error_requeues_what_the_channel_held(client: Client) -> None:
    first, second = client.channel(1), client.channel(2)
    queue = first.exclusive_queue()
    first.publish("", queue, b"kept")
    assert first.get(queue) is not None
    first.send(Queue.Declare(queue="t-no-such-queue", passive=True))
    first.expect_error(404)
    message = second.get(queue)
    assert message is not None and message.redelivered


def test_access_request_is_answered_with_a_ticket(channel: ChannelClient) -> None:
    channel.client.send_bytes(wire.raw_method(1, 30, 10, wire.short_string("/data") + b"\x1f"))
    frame = channel.client.receive_raw(7 + 6 + 1)
    assert frame[:1] == b"\x01" and frame[7:11] == b"\0\x1e\0\x0b"
