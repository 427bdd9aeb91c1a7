"""x-consumer-timeout: a delivery that is not settled in time."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Names
from tests.harness.channel import ChannelClient
from tests.harness.client import Client
from tests.harness.methods import Basic

OpenClient = Callable[..., Client]

TIMEOUT_MS = 150
PATIENT_TIMEOUT_MS = 800
"""Where the client is to do something before: a machine under load may take a good part of it for that."""
WITHIN_S = 2.0
pytestmark = pytest.mark.warren_only("3.10 has one timeout for the whole node and looks once a minute")


def refusal(channel: int, timeout_ms: int = TIMEOUT_MS) -> str:
    return (
        f"PRECONDITION_FAILED - delivery acknowledgement on channel {channel} timed out. Timeout value used: "
        f"{timeout_ms} ms. This timeout value can be configured, see consumers doc guide to learn more"
    )


def declare(channel: ChannelClient, queue: str, **arguments: Any) -> None:
    channel.declare(queue, durable=True, arguments={"x-consumer-timeout": TIMEOUT_MS, **arguments})
    channel.confirm()
    channel.publish("", queue, b"m")
    channel.wait_confirms(1)


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_the_consumer_is_cancelled_and_the_message_comes_back(
    open_client: OpenClient, names: Names, queue_type: str
) -> None:
    slow, other = open_client().channel(), open_client().channel()
    declare(other, names(), **{"x-queue-type": queue_type})
    slow.consume(names(), "slow")
    held = slow.delivery()
    other.consume(names(), "other")
    cancelled = slow.expect(Basic.Cancel, WITHIN_S)
    assert (cancelled.consumer_tag, cancelled.nowait) == ("slow", True)
    again = other.delivery(WITHIN_S)
    assert (again.body, again.redelivered, (again.properties.headers or {})["x-delivery-count"]) == (b"m", True, 1)
    other.ack(again.delivery_tag)
    slow.ack(held.delivery_tag)         # late: taken, and of no effect
    slow.expect_nothing(names())
    assert slow.declare(names(), passive=True).consumer_count == 1
    slow.consume(names(), "slow")


def test_a_client_that_knows_no_cancellation_loses_the_channel(open_client: OpenClient, names: Names) -> None:
    channel = open_client(capabilities={}).channel(7)
    declare(channel, names())
    channel.consume(names())
    channel.delivery()
    channel.expect_error(406, refusal(7))
    message = open_client().channel().get(names())
    assert message is not None and message.redelivered


def test_what_was_got_costs_the_channel(client: Client, names: Names) -> None:
    channel = client.channel(3)
    declare(channel, names())
    assert channel.get(names()) is not None
    channel.expect_error(406, refusal(3))
    assert client.channel(4).count(names()) == 1


def test_what_a_cancelled_consumer_holds_costs_the_channel(client: Client, names: Names) -> None:
    channel = client.channel(3)
    declare(channel, names(), **{"x-consumer-timeout": PATIENT_TIMEOUT_MS})
    channel.consume(names(), "t")
    channel.delivery()
    channel.cancel("t")
    channel.expect_error(406, refusal(3, PATIENT_TIMEOUT_MS))


def test_settling_in_time_and_queues_without_a_timeout(channel: ChannelClient, names: Names) -> None:
    channel.declare(names("slow"))
    channel.declare(names("limited"), arguments={"x-consumer-timeout": PATIENT_TIMEOUT_MS})
    for queue in ("slow", "limited"):
        channel.consume(names(queue), queue)
        channel.publish("", names(queue), b"held")
        channel.delivery()
    channel.ack(2)
    with pytest.raises(TimeoutError):
        channel.delivery(1.5 * PATIENT_TIMEOUT_MS / 1000)
    channel.ack(1)
    channel.expect_nothing(names("slow"))


def test_no_timeout_at_0(channel: ChannelClient, names: Names) -> None:
    channel.declare(names(), arguments={"x-consumer-timeout": 0})
    channel.publish("", names(), b"held")
    channel.consume(names())
    channel.delivery()
    with pytest.raises(TimeoutError):
        channel.delivery(0.3)
