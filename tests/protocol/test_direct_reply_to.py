"""Direct reply-to: replies without a declared queue, by the name that the broker writes into reply-to."""
from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.conftest import Names
from tests.harness.channel import ChannelClient
from tests.harness.client import Client
from tests.harness.methods import Basic, Channel, Properties, Queue

OpenClient = Callable[..., Client]

REPLIES = "amq.rabbitmq.reply-to"
ASKS = Properties(reply_to=REPLIES)
SERVERS = 8
"""Connections that reply; the broker's gateways share them."""


def consuming(channel: ChannelClient, tag: str = "replies") -> str:
    """The channel consumes replies; the name by which others reply to it."""
    channel.consume(REPLIES, tag, no_ack=True)
    return own_name(channel)


def own_name(channel: ChannelClient) -> str:
    channel.publish("", "t-nobody-has-this-queue", b"", ASKS, mandatory=True)
    return str(channel.returned().properties.reply_to)


def not_there(channel: ChannelClient, name: str) -> None:
    """Nobody consumes what is sent there."""
    channel.send(Queue.Declare(queue=name, passive=True))
    channel.expect_error(404, f"NOT_FOUND - no queue '{name}' in vhost '/'")


@pytest.mark.oracle
def test_request_and_reply(open_client: OpenClient, names: Names) -> None:
    client, server = open_client().channel(), open_client().channel()
    server.declare(names("rpc"))
    server.consume(names("rpc"), no_ack=True)
    client.consume(REPLIES, "replies", no_ack=True)
    client.publish("", names("rpc"), b"question",
                   Properties(content_type="text/plain", headers={"k": "v"}, delivery_mode=2, priority=3,
                              correlation_id="7", reply_to=REPLIES, message_id="m", app_id="a"))
    request = server.delivery()
    properties = request.properties
    assert re.fullmatch(r"amq\.rabbitmq\.reply-to\.[A-Za-z0-9_=./+-]+", properties.reply_to)
    assert (properties.content_type, properties.headers, properties.delivery_mode, properties.priority,
            properties.correlation_id, properties.message_id, properties.app_id) == (
        "text/plain", {"k": "v"}, 2, 3, "7", "m", "a")
    server.publish("", properties.reply_to, b"answer", Properties(correlation_id="7", reply_to="elsewhere"))
    reply = client.delivery()
    assert (reply.body, reply.properties.correlation_id, reply.properties.reply_to) == (b"answer", "7", "elsewhere")
    assert (reply.method.consumer_tag, reply.method.exchange, reply.method.routing_key, reply.redelivered) == (
        "replies", "", properties.reply_to, False)


@pytest.mark.oracle
def test_replies_come_from_any_connection_in_order(open_client: OpenClient) -> None:
    clients = [open_client().channel() for _ in range(4)]
    to = [consuming(channel) for channel in clients]
    servers = [open_client().channel() for _ in range(SERVERS)]
    assert len(set(to)) == len(to)
    for number, server in enumerate(servers):
        for name in to:
            server.publish_many("", name, [b"%d %d" % (number, n) for n in range(20)])
    for channel in clients:
        bodies = channel.bodies(20 * SERVERS)
        for number in range(SERVERS):
            mine = [body for body in bodies if body.startswith(b"%d " % number)]
            assert mine == [b"%d %d" % (number, n) for n in range(20)]


@pytest.mark.oracle
def test_the_name_stays_the_same_for_a_consumer(channel: ChannelClient) -> None:
    assert consuming(channel) == own_name(channel)


@pytest.mark.oracle
def test_each_channel_consumes_its_own_replies(client: Client) -> None:
    first, second = client.channel(1), client.channel(2)
    names_ = consuming(first), consuming(second)
    for name, body in zip(names_, (b"1", b"2"), strict=True):
        second.publish("", name, body)
    assert (first.delivery().body, second.delivery().body) == (b"1", b"2")


@pytest.mark.oracle
def test_a_request_right_behind_a_consume_without_an_answer(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.send(Basic.Consume(queue=REPLIES, consumer_tag="t", no_ack=True, nowait=True))
    channel.publish("", queue, b"question", ASKS)
    request = channel.get(queue, no_ack=True)
    assert request is not None
    channel.publish("", request.properties.reply_to, b"answer")
    assert channel.delivery().body == b"answer"


@pytest.mark.oracle
def test_a_consumer_of_replies_cannot_acknowledge(channel: ChannelClient) -> None:
    channel.send(Basic.Consume(queue=REPLIES, consumer_tag="t"))
    channel.expect_error(406, "PRECONDITION_FAILED - reply consumer cannot acknowledge")


@pytest.mark.oracle
@pytest.mark.parametrize("tag", ["t", "another"])
def test_a_channel_has_one_consumer_of_replies(channel: ChannelClient, tag: str) -> None:
    channel.consume(REPLIES, "t", no_ack=True)
    channel.send(Basic.Consume(queue=REPLIES, consumer_tag=tag, no_ack=True))
    channel.expect_error(406, "PRECONDITION_FAILED - reply consumer already set")


@pytest.mark.oracle
def test_its_tag_is_not_another_consumer_s(channel: ChannelClient) -> None:
    channel.consume(channel.exclusive_queue(), "t")
    channel.send(Basic.Consume(queue=REPLIES, consumer_tag="t", no_ack=True))
    channel.client.expect_connection_error(530, "NOT_ALLOWED - attempt to reuse consumer tag 't'")


@pytest.mark.oracle
def test_a_server_named_tag_and_an_exclusive_consumer(channel: ChannelClient) -> None:
    assert re.fullmatch(r"amq\.ctag-[A-Za-z0-9_-]{22}", channel.consume(REPLIES, no_ack=True, exclusive=True))


@pytest.mark.oracle
def test_a_request_needs_the_consumer_first(channel: ChannelClient) -> None:
    channel.publish("", channel.exclusive_queue(), b"", ASKS)
    channel.expect_error(406, "PRECONDITION_FAILED - fast reply consumer does not exist")


@pytest.mark.oracle
def test_a_missing_exchange_comes_before_a_missing_consumer(channel: ChannelClient) -> None:
    channel.publish("t-no-such-exchange", "", b"", ASKS)
    channel.expect_error(404, "NOT_FOUND - no exchange 't-no-such-exchange' in vhost '/'")


@pytest.mark.oracle
def test_a_missing_consumer_comes_before_wrong_properties(channel: ChannelClient) -> None:
    channel.publish("", "q", b"", Properties(reply_to=REPLIES, expiration="soon", user_id="somebody"))
    channel.expect_error(406, "PRECONDITION_FAILED - fast reply consumer does not exist")


@pytest.mark.oracle
def test_another_reply_to_is_left_alone(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    for reply_to in ("q", REPLIES + ".", REPLIES + "x"):
        channel.publish("", queue, b"", Properties(reply_to=reply_to))
        message = channel.get(queue, no_ack=True)
        assert message is not None and message.properties.reply_to == reply_to


@pytest.mark.warren_only("RabbitMQ 3.10 delivers by some names that it did not make")
def test_a_forged_name_leads_nowhere(open_client: OpenClient) -> None:
    client, forger = open_client().channel(), open_client().channel()
    name = consuming(client)
    middle = len(REPLIES) + 10
    other = name[:middle] + ("A" if name[middle] != "A" else "B") + name[middle + 1:]
    for forged in (other, name[:-4], REPLIES, REPLIES + ".", REPLIES + ".AAAA"):
        forger.publish("", forged, b"forged", mandatory=True)
        assert forger.returned().method.reply_code == 312
    forger.publish("", name, b"true")
    assert client.delivery().body == b"true"


@pytest.mark.oracle
def test_another_exchange_does_not_know_the_name(open_client: OpenClient) -> None:
    client, server = open_client().channel(), open_client().channel()
    name = consuming(client)
    server.publish("amq.direct", name, b"", mandatory=True)
    assert server.returned().method.reply_code == 312


@pytest.mark.oracle
def test_a_mandatory_reply_comes_back_although_it_arrives(open_client: OpenClient) -> None:
    client, server = open_client().channel(), open_client().channel()
    name = consuming(client)
    server.confirm()
    server.publish("", name, b"answer", Properties(delivery_mode=2), mandatory=True)
    assert server.returned().body == b"answer"
    assert server.wait_confirms(1) == set()
    assert client.delivery().body == b"answer"


@pytest.mark.oracle
def test_a_reply_may_ask_for_a_reply(open_client: OpenClient) -> None:
    client, server = open_client().channel(), open_client().channel()
    name, back = consuming(client), consuming(server)
    server.publish("", name, b"answer", ASKS)
    reply = client.delivery()
    assert reply.properties.reply_to == back
    client.publish("", back, b"thanks")
    assert server.delivery().body == b"thanks"


@pytest.mark.oracle
def test_prefetch_does_not_hold_replies_back(open_client: OpenClient) -> None:
    client, server = open_client().channel(), open_client().channel()
    client.qos(1)
    name = consuming(client)
    server.publish_many("", name, [b"1", b"2", b"3"])
    assert client.bodies(3) == [b"1", b"2", b"3"]


@pytest.mark.oracle
@pytest.mark.parametrize("flags", [{"passive": True}, {}, {"durable": True, "auto_delete": True}])
def test_a_declaration_finds_the_consumer(open_client: OpenClient, flags: dict[str, bool]) -> None:
    client = open_client().channel()
    name = consuming(client)
    for asker in (open_client().channel() for _ in range(SERVERS)):
        for queue in (name, REPLIES):
            found = asker.declare(queue, **flags)
            assert (found.queue, found.message_count, found.consumer_count) == (queue, 0, 1)


@pytest.mark.oracle
@pytest.mark.parametrize("name", [REPLIES + ".", REPLIES + ".forged", REPLIES + "x"])
def test_a_declaration_of_a_name_that_nobody_has(open_client: OpenClient, name: str) -> None:
    not_there(open_client().channel(), name)
    channel = open_client().channel()
    channel.send(Queue.Declare(queue=name))
    channel.expect_error(404, f"NOT_FOUND - no queue '{name}' in vhost '/'")


@pytest.mark.oracle
def test_the_current_queue_may_be_the_reply_queue(channel: ChannelClient) -> None:
    channel.declare(REPLIES)
    channel.consume("", "t", no_ack=True)
    channel.publish("", own_name(channel), b"answer")
    assert channel.delivery().body == b"answer"


@pytest.mark.oracle
@pytest.mark.parametrize("method", [
    Basic.Get(queue=REPLIES), Queue.Purge(queue=REPLIES),
    Queue.Bind(queue=REPLIES, exchange="amq.direct", routing_key="k")])
def test_it_is_no_queue_for_anything_else(channel: ChannelClient, method: object) -> None:
    channel.send(method)
    channel.expect_error(404, f"NOT_FOUND - no queue '{REPLIES}' in vhost '/'")


@pytest.mark.oracle
def test_only_the_channel_itself_consumes_its_replies(open_client: OpenClient) -> None:
    name = consuming(open_client().channel())
    other = open_client().channel()
    other.send(Basic.Consume(queue=name, no_ack=True))
    other.expect_error(404, f"NOT_FOUND - no queue '{name}' in vhost '/'")


@pytest.mark.oracle
def test_cancel_ends_it(open_client: OpenClient) -> None:
    client, server = open_client().channel(), open_client().channel()
    name = consuming(client, "t")
    client.cancel("t")
    server.confirm()
    server.publish("", name, b"late")
    assert server.wait_confirms(1) == set()
    not_there(server, name)
    again = consuming(client, "t")
    assert again != name
    client.publish("", again, b"new")
    assert client.delivery().body == b"new"
    client.cancel("t")
    client.publish("", "q", b"", ASKS)
    client.expect_error(406, "PRECONDITION_FAILED - fast reply consumer does not exist")


@pytest.mark.oracle
def test_the_end_of_the_channel_ends_it(open_client: OpenClient) -> None:
    client, server = open_client(), open_client().channel()
    channel = client.channel(1)
    name = consuming(channel)
    channel.close()
    not_there(server, name)
    assert consuming(client.channel(1)) != name


@pytest.mark.oracle
def test_a_refused_channel_ends_it(open_client: OpenClient) -> None:
    client, server = open_client().channel(), open_client().channel()
    name = consuming(client)
    client.send(Queue.Declare(queue="t-no-such-queue", passive=True))
    client.expect_error(404)
    not_there(server, name)


@pytest.mark.oracle
def test_the_end_of_the_connection_ends_it(open_client: OpenClient) -> None:
    client, server = open_client(), open_client().channel()
    name = consuming(client.channel())
    client.close()
    not_there(server, name)


@pytest.mark.oracle
def test_consuming_replies_takes_no_permission_but_replying_does(open_client: OpenClient) -> None:
    stranger = open_client(user="no-rights", password="no-rights").channel()
    stranger.consume(REPLIES, "t", no_ack=True)
    assert stranger.declare(REPLIES, passive=True).consumer_count == 1
    name = consuming(open_client().channel())
    stranger.publish("", name, b"")
    assert stranger.expect(Channel.Close).reply_code == 403


@pytest.mark.oracle
def test_a_transaction_sends_requests_and_replies_at_commit(open_client: OpenClient) -> None:
    client, server = open_client().channel(), open_client().channel()
    queue = server.exclusive_queue()
    client.consume(REPLIES, "t", no_ack=True)
    client.tx_select()
    client.publish("", queue, b"question", ASKS)
    client.tx_commit()
    request = server.get(queue, no_ack=True)
    assert request is not None
    server.tx_select()
    server.publish("", request.properties.reply_to, b"answer")
    server.tx_commit()
    assert client.delivery().body == b"answer"


def test_large_requests_and_replies(open_client: OpenClient, names: Names) -> None:
    client, server = open_client().channel(), open_client().channel()
    server.declare(names("rpc"))
    client.consume(REPLIES, "t", no_ack=True)
    server.consume(names("rpc"), no_ack=True)
    body = bytes(range(256)) * 4096
    for _ in range(3):
        client.publish("", names("rpc"), body, ASKS)
        request = server.delivery()
        assert request.body == body
        server.publish("", request.properties.reply_to, body[::-1])
        assert client.delivery().body == body[::-1]
