"""Large bodies are read into the shard's memory by gateways: whoever dies meanwhile, what was confirmed is whole.

Every body is checked byte by byte.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.channel import ChannelClient
from tests.harness.client import connect
from tests.harness.methods import Properties
from tests.harness.warren import Warren, wait_until
from tests.harness.wire import Message
from tests.pressure.memory import allocated_bytes
from tests.unit.gateway_core import frames

QUEUE = "large"
LETTERS = "letters"
SEGMENT_BYTES = 1 << 20
SIZES = (40_000, 65_536, 20_000, 131_064, 16_384, 262_144, 700_000)     # the last ones in several frames
RETURNED_POSITION_OFFSET = 4096 + 256 + 64      # bus/ring.pyx: what the gateway has consumed of the ring to it
NOISE = random.Random(7).randbytes(1 << 20)
MODES = pytest.mark.parametrize("delivery_mode", [1, 2], ids=["transient", "persistent"])


@pytest.fixture(scope="module")
def warren(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warren]:
    """Small rooms, so that they come and go."""
    server = Warren(tmp_path_factory.mktemp("rooms"), gateways=1, shards=1, segment_bytes=SEGMENT_BYTES)
    server.start()
    yield server
    server.kill_all()


@pytest.fixture
def channel(warren: Warren) -> Iterator[ChannelClient]:
    """With the queue, which goes with the test."""
    with connect(warren.endpoint) as client:
        client.channel().declare(QUEUE, durable=True)
        yield client.channel(2)
    with connect(warren.endpoint) as last:
        last.channel().delete(QUEUE)


def body_of(number: int) -> bytes:
    return b"%08d" % number + NOISE[number % 1000 * 7 :][: SIZES[number % len(SIZES)] - 8]


def number_of(message: Message) -> int:
    number = int(message.body[:8])
    assert message.body == body_of(number), f"message {number} is damaged"
    return number


def send(channel: ChannelClient, number: int, delivery_mode: int = 1, exchange: str = "") -> None:
    channel.publish(exchange, QUEUE, body_of(number), Properties(delivery_mode=delivery_mode))


def fill(channel: ChannelClient, numbers: range, delivery_mode: int = 1, exchange: str = "") -> None:
    """On a new channel of the same connection, confirmed."""
    own = channel.client.channel(9)
    own.confirm()
    for number in numbers:
        send(own, number, delivery_mode, exchange)
    assert own.wait_confirms(len(numbers)) == set()
    own.close()


def take(channel: ChannelClient, wanted: set[int]) -> None:
    """Until all of them were delivered, whole; others may come, too."""
    left = set(wanted)
    while left:
        message = channel.delivery()
        left.discard(number_of(message))
        channel.ack(message.delivery_tag)


@MODES
@pytest.mark.parametrize("victim", ["gateway", "shard"])
def test_what_was_confirmed_is_whole_whoever_dies_while_bodies_come(
    warren: Warren, victim: str, delivery_mode: int
) -> None:
    with connect(warren.endpoint) as client:
        client.channel().declare(QUEUE, durable=True)
        sender = client.channel(2)
        sender.confirm()
        for number in range(1, 61):
            send(sender, number, delivery_mode)
        assert sender.wait_confirms(60) == set()
        wanted = set(range(1, 61))
        for number in range(61, 71):
            send(sender, number, delivery_mode)
        old = warren.kill(victim)
        if victim == "shard":
            for number in range(71, 111):
                send(sender, number, delivery_mode)
            wanted |= set(range(61, 111)) - sender.wait_confirms(110, first=61)
        warren.wait_back(victim, 0, old)
    with connect(warren.endpoint) as client:
        reader = client.channel()
        reader.qos(20)
        reader.consume(QUEUE)
        take(reader, wanted)
    with connect(warren.endpoint) as client:
        client.channel().delete(QUEUE)


def test_a_body_that_stops_in_the_middle_is_nobodys(warren: Warren, channel: ChannelClient) -> None:
    """Of clients that go, while others go on."""
    halves = [connect(warren.endpoint) for _ in range(3)]
    for n, half in enumerate(halves):
        fill(half.channel(), range(n, n + 1))
        half.send_bytes(frames.publish(1, body_of(50), routing_key=QUEUE.encode())[: 30_000 + n])
    fill(channel, range(20, 40))
    for half in halves:
        half.drop()
    channel.consume(QUEUE)
    take(channel, {*range(3), *range(20, 40)})
    channel.expect_nothing(QUEUE)


def test_consumers_that_vanish_leave_their_messages_whole(warren: Warren, channel: ChannelClient) -> None:
    fill(channel, range(60))
    for _ in range(3):
        with connect(warren.endpoint) as passing:
            reader = passing.channel()
            reader.consume(QUEUE)
            for _ in range(5):
                number_of(reader.delivery())
    channel.consume(QUEUE)
    assert sorted(number_of(message) for message in channel.deliveries(60)) == list(range(60))
    channel.nack(0, multiple=True)
    messages = channel.deliveries(60)
    assert sorted(number_of(message) for message in messages) == list(range(60))
    assert all(message.redelivered for message in messages)
    channel.ack(0, multiple=True)
    channel.expect_nothing(QUEUE)


def test_a_fanout_to_quick_and_slow_consumers_survives_the_shard(warren: Warren, channel: ChannelClient) -> None:
    channel.declare_exchange("fan", "fanout", durable=True)
    queues = [QUEUE, "fan-1", "fan-2"]
    for queue in queues:
        channel.declare(queue, durable=True)
        channel.bind(queue, "fan")
    readers = []
    for n, (queue, prefetch) in enumerate(zip(queues, (0, 1, 10), strict=True)):
        reader = channel.client.channel(10 + n)
        reader.qos(prefetch)
        reader.consume(queue)
        readers.append(reader)
    fill(channel, range(80), exchange="fan")
    take(readers[0], set(range(80)))
    old = warren.kill("shard")
    warren.wait_back("shard", 0, old)
    for reader in readers[1:]:
        take(reader, set(range(80)))
    for queue in queues[1:]:
        channel.delete(queue)
    channel.delete_exchange("fan")


def test_bodies_that_were_got_given_back_and_dead_lettered_are_whole(warren: Warren, channel: ChannelClient) -> None:
    channel.declare(LETTERS, durable=True)
    channel.declare("dying", durable=True, arguments={
        "x-dead-letter-exchange": "", "x-dead-letter-routing-key": LETTERS})
    channel.confirm()
    for number in range(10):
        channel.publish("", "dying", body_of(number))
    assert channel.wait_confirms(10) == set()
    held = [channel.get("dying") for _ in range(10)]
    for number, message in enumerate(held):
        assert message is not None and number_of(message) == number
        channel.reject(message.delivery_tag, requeue=number % 2 == 0)
    channel.wait_count(LETTERS, 5)
    old = warren.kill("shard")
    warren.wait_back("shard", 0, old)
    assert [number_of(message) for message in all_of(channel, LETTERS)] == [1, 3, 5, 7, 9]
    assert [number_of(message) for message in all_of(channel, "dying")] == [0, 2, 4, 6, 8]
    channel.delete(LETTERS)
    channel.delete("dying")


def all_of(channel: ChannelClient, queue: str) -> list[Message]:
    messages = []
    while (message := channel.get(queue, no_ack=True)) is not None:
        messages.append(message)
    return messages


def damage_link(places: Path, use_it: Callable[[], None]) -> None:
    """The shard finds a position in it that cannot be, until another one has taken its place."""
    (old,) = places.glob("link-gateway*")

    def replaced() -> bool:
        with contextlib.suppress(FileNotFoundError), old.open("r+b", buffering=0) as link:
            link.seek(RETURNED_POSITION_OFFSET)
            link.write((1 << 40).to_bytes(8, "little"))
        use_it()
        return [path for path in places.glob("link-gateway*") if path != old] != []

    wait_until(replaced, "another link")


@MODES
def test_a_link_that_is_damaged_costs_no_body(warren: Warren, channel: ChannelClient, delivery_mode: int) -> None:
    """Its gateway lives: it is reading bodies into rooms of before, and writing out what it was lent."""
    places = Path(warren.status()["shared_directory"])
    pids = warren.pid("gateway"), warren.pid("shard")
    reader, sender = channel.client.channel(3), channel.client.channel(4)
    reader.qos(20)
    reader.consume(QUEUE)
    sender.confirm()
    count, wanted = 0, set[int]()

    def send_more() -> None:
        nonlocal count
        for number in range(count + 1, count + 9):
            send(sender, number, delivery_mode)
        count += 8

    for _ in range(4):
        first = count + 1
        send_more()
        damage_link(places, send_more)
        send_more()
        wanted |= set(range(first, count + 1)) - sender.wait_confirms(count, first=first)
        for message in reader.deliveries(8):
            wanted.discard(number_of(message))
            reader.ack(message.delivery_tag)
    take(reader, wanted)
    assert (warren.pid("gateway"), warren.pid("shard")) == pids


def test_rooms_of_gateways_that_died_go_with_their_last_message(warren: Warren) -> None:
    places = Path(warren.status()["shared_directory"])
    with connect(warren.endpoint) as client:
        client.channel().declare(QUEUE, durable=True)
    for first in range(0, 80, 10):
        with connect(warren.endpoint) as client:
            fill(client.channel(), range(first, first + 10))
            old = warren.kill("gateway")
            warren.wait_back("gateway", 0, old)
    most = allocated_bytes(places)
    with connect(warren.endpoint) as client:
        reader = client.channel()
        reader.consume(QUEUE)
        take(reader, set(range(80)))
        reader.expect_nothing(QUEUE)
        wait_until(lambda: allocated_bytes(places) < most - 4 * SEGMENT_BYTES, "rooms that are removed")
        reader.delete(QUEUE)
