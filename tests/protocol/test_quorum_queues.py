"""Quorum queues: what they refuse, in RabbitMQ's words, and how they order messages."""
from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Names
from tests.harness.channel import ChannelClient
from tests.harness.client import Client
from tests.harness.methods import Basic, Properties, Queue

QUORUM = {"x-queue-type": "quorum"}


def declare(channel: ChannelClient, queue: str, **arguments: Any) -> None:
    channel.declare(queue, durable=True, arguments={**QUORUM, **arguments})
    channel.confirm()


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"durable": False}, "non-durable"),
        ({"exclusive": True}, "exclusive-owner"),
        ({"auto_delete": True}, "auto-delete"),
        ({"durable": False, "exclusive": True, "auto_delete": True}, "auto-delete"),
    ],
)
def test_it_has_to_be_lasting(channel: ChannelClient, names: Names, flags: dict[str, bool], named: str) -> None:
    channel.send(Queue.Declare(queue=names(), arguments=QUORUM, **{"durable": True, **flags}))
    channel.expect_error(406, f"PRECONDITION_FAILED - invalid property '{named}' for queue '{names()}' in vhost '/'")


@pytest.mark.oracle
def test_it_has_to_have_a_name(channel: ChannelClient) -> None:
    channel.send(Queue.Declare(queue="", durable=True, arguments=QUORUM))
    channel.expect_error(
        406, "PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_quorum_queue"
    )


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        ({"x-max-priority": 5}, "invalid arg 'x-max-priority' for {} of queue type rabbit_quorum_queue"),
        ({"x-queue-mode": "lazy"}, "invalid arg 'x-queue-mode' for {} of queue type rabbit_quorum_queue"),
        ({"x-queue-version": 2}, "invalid arg 'x-queue-version' for {} of queue type rabbit_quorum_queue"),
        ({"x-max-age": "1D"}, "invalid arg 'x-max-age' for {} of queue type rabbit_quorum_queue"),
        ({"x-quorum-initial-group-size": 0}, "invalid arg 'x-quorum-initial-group-size' for {}: {{value_zero,0}}"),
        ({"x-dead-letter-strategy": "foo"}, "invalid arg 'x-dead-letter-strategy' for {}: invalid_dlx_strategy"),
        ({"x-queue-leader-locator": "foo"}, "invalid arg 'x-queue-leader-locator' for {}: invalid_queue_locator_arg"),
        ({"x-single-active-consumer": "yes"},
         "invalid arg 'x-single-active-consumer' for {}: {{unacceptable_type,longstr}}"),
        ({"x-queue-type": "Quorum"}, "invalid arg 'x-queue-type' for {}: \"unsupported queue type 'Quorum'\""),
        ({"x-queue-type": None}, "invalid arg 'x-queue-type' for {}: {{unacceptable_type,void}}"),
        ({"x-queue-type": "classic", "x-delivery-limit": 5},
         "invalid arg 'x-delivery-limit' for {} of queue type rabbit_classic_queue"),
        ({"x-queue-type": "classic", "x-quorum-initial-group-size": 1},
         "invalid arg 'x-quorum-initial-group-size' for {} of queue type rabbit_classic_queue"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_refused_arguments(channel: ChannelClient, names: Names, arguments: dict[str, Any], refusal: str) -> None:
    channel.send(Queue.Declare(queue=names(), durable=True, arguments={**QUORUM, **arguments}))
    channel.expect_error(406, "PRECONDITION_FAILED - " + refusal.format(f"queue '{names()}' in vhost '/'"))


@pytest.mark.oracle
@pytest.mark.parametrize(
    "arguments",
    [
        {"x-delivery-limit": -1}, {"x-delivery-limit": 0}, {"x-overflow": "reject-publish"}, {"x-message-ttl": 1000},
        {"x-consumer-timeout": 5000}, {"x-max-in-memory-length": 3}, {"x-queue-leader-locator": "balanced"},
        {"x-quorum-initial-group-size": 3}, {"x-dead-letter-strategy": "at-least-once"}, {"x-nobody-knows": 1},
    ],
    ids=lambda value: next(iter(value)),
)
def test_accepted_arguments(channel: ChannelClient, names: Names, arguments: dict[str, Any]) -> None:
    declare(channel, names(), **arguments)


@pytest.mark.oracle
@pytest.mark.parametrize("no_ack", [False, True])
def test_no_channel_wide_prefetch(client: Client, names: Names, no_ack: bool) -> None:
    channel = client.channel()
    declare(channel, names())
    channel.qos(5, global_=True)
    channel.send(Basic.Consume(queue=names(), no_ack=no_ack))
    client.expect_connection_error(
        540, f"NOT_IMPLEMENTED - queue '{names()}' in vhost '/' does not support global qos"
    )


@pytest.mark.oracle
@pytest.mark.parametrize("lifted", [(0, True), (5, False)], ids=["no limit", "per consumer"])
def test_a_channel_wide_prefetch_that_was_lifted(
    channel: ChannelClient, names: Names, lifted: tuple[int, bool]
) -> None:
    declare(channel, names())
    channel.qos(5, global_=True)
    channel.get(names())
    channel.qos(lifted[0], global_=lifted[1])
    channel.consume(names())


@pytest.mark.oracle
def test_priorities_of_messages_do_not_count(channel: ChannelClient, names: Names) -> None:
    declare(channel, names())
    for number in range(4):
        channel.publish("", names(), b"%d" % number, Properties(priority=number))
    channel.wait_confirms(4)
    channel.consume(names())
    assert channel.bodies(4) == [b"0", b"1", b"2", b"3"]


@pytest.mark.oracle
def test_consumer_priorities_do(client: Client, names: Names) -> None:
    channel, low, high = (client.channel(number) for number in (1, 2, 3))
    declare(channel, names())
    for consumer, priority in ((low, 1), (high, 5)):
        consumer.qos(1)
        consumer.consume(names(), arguments={"x-priority": priority})
    channel.publish_many("", names(), [b"0", b"1"])
    assert (high.delivery().body, low.delivery().body) == (b"0", b"1")


@pytest.mark.warren_only("3.10 puts them behind the others where there is no limit")
def test_what_comes_back_has_its_old_place(channel: ChannelClient, names: Names) -> None:
    declare(channel, names())
    channel.publish_many("", names(), [b"0", b"1", b"2", b"3"])
    channel.wait_confirms(4)
    tags = [message.delivery_tag for message in (channel.get(names()) for _ in range(3)) if message is not None]
    for tag in (tags[2], tags[0], tags[1]):
        channel.nack(tag)
    assert channel.get_all(names()) == [b"0", b"1", b"2", b"3"]


@pytest.mark.warren_only("RabbitMQ closes the connection with 540: its quorum queues cannot tell")
@pytest.mark.parametrize("condition", ["if_unused", "if_empty"])
def test_a_deletion_on_a_condition(channel: ChannelClient, names: Names, condition: str) -> None:
    declare(channel, names())
    channel.publish("", names(), b"1")
    channel.wait_confirms(1)
    assert channel.delete(names(), if_unused=True) == 1
    declare(channel, names())
    assert channel.delete(names(), **{condition: True}) == 0
