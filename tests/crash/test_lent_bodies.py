"""Large bodies are read out of the log by the gateways: what a client gets is whole, whoever dies meanwhile."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.channel import ChannelClient
from tests.harness.client import Client, connect
from tests.harness.methods import Properties
from tests.harness.warren import Warren, wait_until
from tests.pressure.memory import allocated_bytes

QUEUE = "large"
BODY_BYTES = 50_000
SEGMENT_BYTES = 1 << 20
MODES = pytest.mark.parametrize("delivery_mode", [1, 2], ids=["transient", "persistent"])
NOISE = random.Random(5).randbytes(2 * BODY_BYTES)


@pytest.fixture(scope="module")
def warren(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warren]:
    """Small segments: each holds few of these messages, so they come and go."""
    server = Warren(tmp_path_factory.mktemp("lent"), gateways=1, shards=1, segment_bytes=SEGMENT_BYTES)
    server.start()
    yield server
    server.kill_all()


@pytest.fixture
def client(warren: Warren) -> Iterator[Client]:
    with connect(warren.endpoint) as made:
        made.channel().declare(QUEUE, durable=True)
        yield made
    with connect(warren.endpoint) as last:
        last.channel().delete(QUEUE)


def body_of(number: int) -> bytes:
    """Different at every place, so that a body of another message, or half of one, is noticed."""
    return b"%08d" % number + NOISE[number % 1000 * 7 :][: BODY_BYTES - 8]


def publish(channel: ChannelClient, numbers: range, delivery_mode: int) -> None:
    for number in numbers:
        channel.publish("", QUEUE, body_of(number), Properties(delivery_mode=delivery_mode))


def check(bodies: list[bytes]) -> list[int]:
    numbers = [int(body[:8]) for body in bodies]
    for number, body in zip(numbers, bodies, strict=True):
        assert body == body_of(number), f"message {number} is damaged"
    return numbers


def fill(client: Client, count: int, delivery_mode: int) -> None:
    channel = client.channel(2)
    channel.confirm()
    publish(channel, range(count), delivery_mode)
    channel.wait_confirms(count)
    channel.close()


@MODES
@pytest.mark.parametrize("no_ack", [False, True], ids=["acknowledging", "no-ack"])
def test_a_consumer_that_does_not_read_gets_whole_messages_in_the_end(
    warren: Warren, client: Client, delivery_mode: int, no_ack: bool
) -> None:
    """What it was lent must be neither written over nor removed, though nothing of it is live without acks."""
    count = 150
    with connect(warren.endpoint) as reader:
        channel = reader.channel()
        channel.consume(QUEUE, no_ack=no_ack)
        fill(client, count, delivery_mode)
        messages = channel.deliveries(count)
        assert check([message.body for message in messages]) == list(range(count))
        assert not any(message.redelivered for message in messages)
        if not no_ack:
            channel.ack(0, multiple=True)
        channel.expect_nothing(QUEUE)


@MODES
def test_segments_go_when_their_bodies_have_been_read(warren: Warren, client: Client, delivery_mode: int) -> None:
    places = [Path(warren.status()["shared_directory"]), warren.data / "shards"]
    sender, reader = client.channel(2), client.channel(3)
    reader.consume(QUEUE, no_ack=True)
    for first in range(0, 400, 50):
        numbers = range(first, first + 50)
        publish(sender, numbers, delivery_mode)
        assert check([message.body for message in reader.deliveries(50)]) == list(numbers)
    # 20 MB went through; what may stay is the tail, a segment to be used again, and one that is prepared, of each kind,
    # and six rooms
    wait_until(lambda: sum(map(allocated_bytes, places)) < 17 * SEGMENT_BYTES, "segments that are removed")


@MODES
def test_the_gateway_dies_while_it_reads(warren: Warren, client: Client, delivery_mode: int) -> None:
    """Its loans end with it, and everybody gets everything from the next one."""
    count = 150
    fill(client, count, delivery_mode)
    reader = connect(warren.endpoint)
    channel = reader.channel()
    channel.consume(QUEUE)
    channel.delivery()
    old = warren.kill("gateway")
    warren.wait_back("gateway", 0, old)
    reader.drop()
    with connect(warren.endpoint) as heir:
        channel = heir.channel()
        channel.consume(QUEUE)
        messages = channel.deliveries(count)
        assert check([message.body for message in messages]) == list(range(count))
        assert messages[0].redelivered
        channel.ack(0, multiple=True)
        channel.expect_nothing(QUEUE)


@MODES
def test_the_shard_dies_while_a_consumer_reads(warren: Warren, client: Client, delivery_mode: int) -> None:
    """What it had lent is still read, and what was not acknowledged comes again out of the log of the next one."""
    count = 150
    fill(client, count, delivery_mode)
    with connect(warren.endpoint) as reader:
        channel = reader.channel()
        channel.qos(40)
        channel.consume(QUEUE)
        got = [channel.delivery() for _ in range(30)]
        channel.ack(got[-1].delivery_tag, multiple=True)
        old = warren.kill("shard")
        seen = set(check([message.body for message in got]))
        while len(seen) < count:
            message = channel.delivery()
            seen |= set(check([message.body]))
            channel.ack(message.delivery_tag)
        assert seen == set(range(count))
        warren.wait_back("shard", 0, old)
