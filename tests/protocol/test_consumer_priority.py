"""basic.consume with x-priority: the highest consumers that can take a message get it, in turns among equals."""
from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.conftest import Names
from tests.harness.channel import ChannelClient
from tests.harness.client import Client
from tests.harness.methods import Basic

OpenClient = Callable[..., Client]
PRIORITY = "x-priority"


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [str(n).encode() for n in range(start, start + count)]


def consume(channel: ChannelClient, queue: str, tag: str, priority: int | None = None, **flags: bool) -> None:
    channel.consume(queue, tag, arguments=None if priority is None else {PRIORITY: priority}, **flags)


def tags(channel: ChannelClient, count: int) -> list[str]:
    return [message.method.consumer_tag for message in channel.deliveries(count)]


@pytest.mark.oracle
@pytest.mark.parametrize("value, kind", [
    ("high", "longstr"), (None, "void"), (True, "bool"), (Decimal("1"), "decimal"), ([1], "array"),
    ({"a": 1}, "table"), (datetime(2020, 1, 1, tzinfo=UTC), "timestamp")])
def test_a_priority_is_an_integer(channel: ChannelClient, names: Names, value: Any, kind: str) -> None:
    channel.declare(names(), exclusive=True)
    channel.send(Basic.Consume(queue=names(), arguments={PRIORITY: value}))
    channel.expect_error(406, f"PRECONDITION_FAILED - invalid arg 'x-priority' for queue '{names()}' in vhost '/': "
                              f'"expected integer, got {kind}"')


@pytest.mark.oracle
@pytest.mark.parametrize("priority", [0, 1, -1, 255, -(1 << 31), 1 << 40, (1 << 63) - 1, -(1 << 63)])
def test_any_integer_is_a_priority(channel: ChannelClient, priority: int) -> None:
    queue = channel.exclusive_queue()
    consume(channel, queue, "usual")
    consume(channel, queue, "other", priority)
    channel.publish_many("", queue, numbered(2))
    expected = {0: ["usual", "other"]}.get(priority, ["other"] * 2 if priority > 0 else ["usual"] * 2)
    assert sorted(tags(channel, 2)) == sorted(expected)


@pytest.mark.oracle
@pytest.mark.parametrize("no_ack", [False, True])
def test_the_highest_gets_all(channel: ChannelClient, no_ack: bool) -> None:
    queue = channel.exclusive_queue()
    for tag, priority in [("none", None), ("low", -5), ("high", 7), ("middle", 1)]:
        consume(channel, queue, tag, priority, no_ack=no_ack)
    channel.publish_many("", queue, numbered(50))
    assert tags(channel, 50) == ["high"] * 50


@pytest.mark.oracle
def test_turns_are_taken_among_equals(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    for tag, priority in [("a", 3), ("low", 2), ("b", 3), ("c", 3)]:
        consume(channel, queue, tag, priority)
    channel.publish_many("", queue, numbered(9))
    got = tags(channel, 9)
    assert sorted(got) == ["a"] * 3 + ["b"] * 3 + ["c"] * 3
    assert all(sorted(got[start : start + 3]) == ["a", "b", "c"] for start in (0, 3, 6))


@pytest.mark.oracle
def test_lower_ones_get_what_prefetch_keeps_from_higher_ones(client: Client) -> None:
    high, middle, low = client.channel(1), client.channel(2), client.channel(3)
    queue = low.exclusive_queue()
    high.qos(2)
    middle.qos(1)
    consume(low, queue, "low")
    consume(middle, queue, "middle", 1)
    consume(high, queue, "high", 2)
    low.publish_many("", queue, numbered(5))
    assert high.bodies(2) == [b"0", b"1"]
    assert middle.bodies(1) == [b"2"]
    assert low.bodies(2) == [b"3", b"4"]
    high.ack(1)
    high.expect_nothing(queue)
    low.publish_many("", queue, numbered(2, 5))
    assert high.bodies(1) == [b"5"]
    assert low.bodies(1) == [b"6"]


@pytest.mark.oracle
def test_a_backlog_waits_for_nobody_and_then_goes_to_the_highest(client: Client) -> None:
    high, low = client.channel(1), client.channel(2)
    queue = low.exclusive_queue()
    low.qos(1)
    consume(low, queue, "low")
    low.publish_many("", queue, numbered(4))
    assert low.bodies(1) == [b"0"]
    consume(high, queue, "high", 1)
    assert high.bodies(3) == [b"1", b"2", b"3"]
    low.ack(1)
    low.publish("", queue, b"4")
    assert high.bodies(1) == [b"4"]
    low.expect_nothing(queue)


@pytest.mark.oracle
def test_when_the_highest_leaves_the_next_takes_over(client: Client) -> None:
    high, low = client.channel(1), client.channel(2)
    queue = low.exclusive_queue()
    consume(low, queue, "low", -1)
    consume(high, queue, "high")
    low.publish("", queue, b"0")
    assert high.bodies(1) == [b"0"]
    high.cancel("high")
    low.publish("", queue, b"1")
    assert low.bodies(1) == [b"1"]
    high.close()
    (again,) = low.deliveries(1)
    assert (again.body, again.redelivered) == (b"0", True)


@pytest.mark.oracle
def test_what_the_highest_gives_back_comes_to_it_again(client: Client) -> None:
    high, low = client.channel(1), client.channel(2)
    queue = low.exclusive_queue()
    consume(low, queue, "low")
    consume(high, queue, "high", 1)
    low.publish("", queue, b"0")
    assert high.bodies(1) == [b"0"]
    high.nack(1, requeue=True)
    (again,) = high.deliveries(1)
    assert (again.body, again.redelivered) == (b"0", True)
    low.expect_nothing(queue)


@pytest.mark.oracle
def test_a_limit_of_the_channel_holds_the_highest_back_only_when_it_is_reached(client: Client) -> None:
    high, low = client.channel(1), client.channel(2)
    queue = low.exclusive_queue()
    high.qos(2, global_=True)
    consume(low, queue, "low")
    consume(high, queue, "high", 1)
    for round_ in range(5):
        for body in (b"0", b"1", b"2", b"3"):
            low.publish("", queue, body)
        assert high.bodies(2) == [b"0", b"1"]
        assert low.bodies(2) == [b"2", b"3"]
        high.ack(2 * round_ + 2, multiple=True)
        high.expect_nothing(queue)


@pytest.mark.oracle
def test_consumers_of_several_connections(open_client: OpenClient, names: Names) -> None:
    channels = {priority: open_client().channel() for priority in (0, 10, 5)}
    queue = names()
    channels[0].declare(queue)
    for priority, channel in channels.items():
        channel.qos(10)
        consume(channel, queue, f"p{priority}", priority)
    publisher = open_client().channel()
    publisher.publish_many("", queue, numbered(30))
    assert channels[10].bodies(10) == numbered(10)
    assert channels[5].bodies(10) == numbered(10, 10)
    assert channels[0].bodies(10) == numbered(10, 20)
