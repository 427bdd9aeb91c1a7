"""Limits that an operator sets: connections, channels, consumers, sizes; on a broker of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import wire
from tests.harness.client import Client, Closed, connect
from tests.harness.methods import Basic
from tests.harness.warren import Warren, wait_until

MESSAGE_BYTES_MAX = 10_000


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warren]:
    """A broker with small limits, and one gateway, so that they hold exactly."""
    server = Warren(
        tmp_path_factory.mktemp("limited"),
        gateways=1,
        shards=1,
        connection_max=3,
        channel_max=5,
        frame_max=8192,
        heartbeat_s=7,
        consumer_max_per_channel=2,
        max_message_size=MESSAGE_BYTES_MAX,
        handshake_timeout_s=1,
    )
    with server:
        yield server


def test_tune_offers_what_is_set(limited: Warren) -> None:
    with connect(limited.endpoint) as client:
        assert (client.tune.channel_max, client.tune.frame_max, client.tune.heartbeat) == (5, 8192, 7)
        client.close()


def test_connections(limited: Warren) -> None:
    held = [connect(limited.endpoint) for _ in range(3)]
    with Client(limited.endpoint) as fourth:
        fourth.start()
        fourth.start_ok()
        tune = fourth.next().method
        if hasattr(tune, "channel_max"):
            fourth.tune_ok(tune.channel_max, tune.frame_max)
            fourth.open()
            fourth.expect_connection_error(530, "connection limit (3) is reached")
    for client in held:
        client.close()
    wait_until(lambda: accepted(limited), "room for another connection")


def accepted(server: Warren) -> bool:
    try:
        connect(server.endpoint).close()
    except (AssertionError, Closed):
        return False
    return True


def test_consumers_of_a_channel(limited: Warren) -> None:
    with connect(limited.endpoint) as client:
        channel = client.channel()
        queue = channel.exclusive_queue()
        channel.consume(queue)
        channel.consume(queue)
        channel.send(Basic.Consume(queue=queue))
        client.expect_connection_error(530)


def test_the_size_of_a_message(limited: Warren) -> None:
    with connect(limited.endpoint) as client:
        channel = client.channel()
        queue = channel.exclusive_queue()
        channel.publish("", queue, bytes(MESSAGE_BYTES_MAX))
        assert channel.get_all(queue) == [bytes(MESSAGE_BYTES_MAX)]
        channel.publish("", queue, bytes(MESSAGE_BYTES_MAX + 1))
        channel.expect_error(406, f"message size {MESSAGE_BYTES_MAX + 1} is larger than configured max size")
        assert client.channel().get_all(queue) == []


def test_the_time_of_the_handshake(limited: Warren) -> None:
    with Client(limited.endpoint) as client:
        client.send_bytes(wire.PROTOCOL_HEADER)
        client.expect_end(4)
