"""x-single-active-consumer: who gets the messages, who follows, what is refused."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Names
from tests.harness.channel import ChannelClient
from tests.harness.client import Client
from tests.harness.methods import Basic

OpenClient = Callable[..., Client]

SINGLE = {"x-single-active-consumer": True}
CLASSIC = {**SINGLE, "x-queue-type": "classic"}
QUORUM = {**SINGLE, "x-queue-type": "quorum"}
both_types = pytest.mark.parametrize("arguments", [CLASSIC, QUORUM], ids=["classic", "quorum"])


def declare(channel: ChannelClient, queue: str, arguments: dict[str, Any]) -> None:
    channel.declare(queue, durable=True, arguments=arguments)
    channel.confirm()


class Publisher:
    """Publishes and waits for the confirm, so that what came of it is on its way."""

    def __init__(self, channel: ChannelClient, queue: str) -> None:
        self.channel = channel
        self.queue = queue
        self.count = 0

    def __call__(self, *bodies: bytes) -> None:
        self.channel.publish_many("", self.queue, list(bodies))
        self.channel.wait_confirms(self.count + len(bodies), self.count + 1)
        self.count += len(bodies)


@pytest.mark.oracle
@both_types
def test_the_first_consumer_gets_everything(client: Client, names: Names, arguments: dict[str, Any]) -> None:
    channel, first, second = (client.channel(number) for number in (1, 2, 3))
    declare(channel, names(), arguments)
    first.consume(names(), "first")
    second.consume(names(), "second")
    Publisher(channel, names())(b"1", b"2", b"3")
    assert first.bodies(3) == [b"1", b"2", b"3"]
    second.expect_nothing()


@pytest.mark.oracle
@both_types
@pytest.mark.parametrize("how", ["channel", "connection", "lost"])
def test_the_next_one_follows_and_gets_what_was_unsettled(
    open_client: OpenClient, names: Names, arguments: dict[str, Any], how: str
) -> None:
    clients = [open_client() for _ in range(3)]
    channel, first, second = (client.channel(1) for client in clients)
    declare(channel, names(), arguments)
    first.consume(names())
    second.consume(names())
    Publisher(channel, names())(b"1", b"2")
    assert first.bodies(2) == [b"1", b"2"]
    if how == "channel":
        first.close()
    elif how == "connection":
        clients[1].close()
    else:
        clients[1].drop()
    again = second.deliveries(2)
    assert [(message.body, message.redelivered) for message in again] == [(b"1", True), (b"2", True)]


@both_types
def test_one_that_cancels_gives_way_at_once_and_keeps_what_it_holds(
    client: Client, names: Names, arguments: dict[str, Any]
) -> None:
    if arguments is CLASSIC and client.endpoint.broker == "rabbitmq":
        pytest.skip("3.10's queue delivers nothing then until something else happens, and crashes at that")
    channel, first, second = (client.channel(number) for number in (1, 2, 3))
    declare(channel, names(), arguments)
    first.qos(1)
    first.consume(names(), "first")
    second.qos(1)
    second.consume(names(), "second")
    Publisher(channel, names())(b"1", b"2")
    held = first.delivery()
    assert first.cancel("first") == []
    assert second.delivery().body == b"2"
    first.nack(held.delivery_tag)
    first.expect_nothing(names())
    second.ack(1)
    assert second.delivery().body == b"1"


@pytest.mark.oracle
def test_the_highest_priority_follows_in_a_classic_queue(client: Client, names: Names) -> None:
    channel = client.channel(1)
    declare(channel, names(), CLASSIC)
    channels = {}
    for number, priority in [(2, 1), (3, 5), (4, 10), (5, 5)]:
        channels[number] = client.channel(number)
        channels[number].consume(names(), arguments={"x-priority": priority})
    Publisher(channel, names())(b"m")
    for number in (2, 4, 3, 5):
        assert channels[number].delivery().body == b"m"
        channels[number].close()


@pytest.mark.warren_only("quorum queues know priorities of single active consumers since 4.0")
def test_a_higher_priority_takes_over_in_a_quorum_queue(client: Client, names: Names) -> None:
    channel, low, high = (client.channel(number) for number in (1, 2, 3))
    declare(channel, names(), QUORUM)
    publish = Publisher(channel, names())
    low.consume(names())
    publish(b"1")
    held = low.delivery()
    high.consume(names(), arguments={"x-priority": 1})
    publish(b"2")
    low.expect_nothing(names())         # it gets nothing more, and keeps the place as long as it holds something
    high.expect_nothing(names())
    low.ack(held.delivery_tag)
    assert high.delivery().body == b"2"
    high.close()
    assert low.delivery().body == b"2"


@pytest.mark.oracle
def test_an_exclusive_consumer_of_a_classic_queue_is_refused(channel: ChannelClient, names: Names) -> None:
    declare(channel, names(), CLASSIC)
    channel.send(Basic.Consume(queue=names(), exclusive=True))
    channel.expect_error(403, f"ACCESS_REFUSED - queue '{names()}' in vhost '/' in exclusive use")


@pytest.mark.warren_only("RabbitMQ's quorum queues know no exclusive consumers and ignore the flag")
def test_an_exclusive_consumer_of_a_quorum_queue_is_refused(channel: ChannelClient, names: Names) -> None:
    declare(channel, names(), QUORUM)
    channel.send(Basic.Consume(queue=names(), exclusive=True))
    channel.expect_error(403, f"ACCESS_REFUSED - queue '{names()}' in vhost '/' in exclusive use")


@pytest.mark.oracle
def test_nothing_is_got_past_the_active_consumer_of_a_quorum_queue(channel: ChannelClient, names: Names) -> None:
    declare(channel, names(), QUORUM)
    channel.send(Basic.Get(queue=names()))
    channel.expect_error(
        405,
        f"RESOURCE_LOCKED - cannot obtain access to locked queue '{names()}' in vhost '/'. basic.get operations are "
        "not supported by quorum queues with single active consumer",
    )


@pytest.mark.oracle
def test_a_classic_queue_may_be_got_from(channel: ChannelClient, names: Names) -> None:
    declare(channel, names(), CLASSIC)
    Publisher(channel, names())(b"1")
    message = channel.get(names())
    assert message is not None and message.body == b"1"


@pytest.mark.warren_only("3.10's quorum queues count the active one alone")
@both_types
def test_all_consumers_count(client: Client, names: Names, arguments: dict[str, Any]) -> None:
    channel, first, second = (client.channel(number) for number in (1, 2, 3))
    declare(channel, names(), arguments)
    first.consume(names())
    second.consume(names())
    assert channel.consumers(names()) == 2
