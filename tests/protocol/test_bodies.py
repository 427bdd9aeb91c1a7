"""Contents of any size, cut anywhere, in TCP pieces of any size, interleaved over channels."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.conftest import Names
from tests.harness import wire
from tests.harness.channel import ChannelClient
from tests.harness.client import Client
from tests.harness.methods import Channel, Queue

OpenClient = Callable[..., Client]

FRAME_MAX_MIN = 4096
MESSAGE_BYTES_MAX = 128 * 1024 * 1024


def pattern(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.mark.parametrize("frame_max", [FRAME_MAX_MIN, 8192, 131072])
def test_sizes_around_the_cut_of_frames(open_client: OpenClient, frame_max: int) -> None:
    channel = open_client(frame_max=frame_max).channel()
    queue = channel.exclusive_queue()
    room = frame_max - wire.FRAME_OVERHEAD_BYTES
    sizes = [0, 1, 2, room - 1, room, room + 1, 2 * room - 1, 2 * room, 2 * room + 1, 5 * room + 7]
    bodies = [pattern(size, size) for size in sizes]
    for body in bodies:
        channel.publish("", queue, body)
    channel.consume(queue, no_ack=True)
    for body in bodies:
        message = channel.delivery()
        assert message.body == body
        assert max(message.frame_bytes) <= frame_max
    assert channel.client.reader.largest_frame_bytes <= frame_max


def test_large_properties_are_carried_in_one_frame(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    headers = {f"header-{n}": "v" * 500 for n in range(200)}
    channel.publish("", queue, b"x", wire.Properties(headers=headers))
    message = channel.get(queue)
    assert message is not None and message.properties.headers == headers


@pytest.mark.parametrize("seed", range(5))
def test_bodies_cut_into_frames_of_any_size(channel: ChannelClient, seed: int) -> None:
    source = random.Random(seed)
    queue = channel.exclusive_queue()
    body = pattern(50_000, seed)
    frames = [wire.raw_method(1, 60, 40, wire.publish_arguments("", queue)), wire.content_header(1, len(body))]
    at = 0
    while at < len(body):
        size = source.choice([0, 1, 2, 7, 100, 4000, 20_000])
        frames.append(wire.body(1, body[at : at + size]))
        at += size
    channel.client.send_bytes(b"".join(frames))
    assert channel.get_all(queue) == [body]


def test_every_byte_in_a_tcp_piece_of_its_own(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    session = b"".join(wire.publish(1, "", queue, body) for body in (b"", b"a", pattern(300)))
    session += wire.method(1, Queue.Declare(queue=queue, passive=True))
    channel.client.send_in_pieces(session, 1)
    channel.expect(Queue.DeclareOk)
    assert channel.get_all(queue) == [b"", b"a", pattern(300)]


@pytest.mark.parametrize("piece_bytes", [2, 3, 7, 13, 1000, 1447, 65536])
def test_tcp_pieces_of_any_size(channel: ChannelClient, piece_bytes: int) -> None:
    queue = channel.exclusive_queue()
    bodies = [pattern(size, size) for size in (0, 1, 100, 5000)]
    count = 1 if piece_bytes < 100 else 30
    session = b"".join(wire.publish(1, "", queue, body) for body in bodies * count)
    channel.client.send_in_pieces(session, piece_bytes)
    assert channel.get_all(queue) == bodies * count


@pytest.mark.parametrize("seed", range(3))
def test_contents_of_many_channels_interleaved(client: Client, seed: int) -> None:
    source = random.Random(seed)
    numbers = range(1, 21)
    channels = {number: client.channel(number) for number in numbers}
    queues = {number: channels[number].exclusive_queue() for number in numbers}
    pending: dict[int, list[bytes]] = {}
    bodies: dict[int, list[bytes]] = {number: [] for number in numbers}
    for number in numbers:
        frames: list[bytes] = []
        for turn in range(5):
            body = pattern(source.choice([0, 1, 50, 9000]), number * 100 + turn)
            bodies[number].append(body)
            frames += [
                wire.raw_method(number, 60, 40, wire.publish_arguments("", queues[number])),
                wire.content_header(number, len(body)),
            ]
            frames += [wire.body(number, body[at : at + 1000]) for at in range(0, len(body), 1000)]
        pending[number] = frames
    out = []
    while pending:
        number = source.choice(sorted(pending))
        out.append(pending[number].pop(0))
        if not pending[number]:
            del pending[number]
    client.send_bytes(b"".join(out))
    for number in numbers:
        assert channels[number].get_all(queues[number]) == bodies[number]


def test_a_method_of_another_channel_in_the_middle_of_a_content(client: Client) -> None:
    first, second = client.channel(1), client.channel(2)
    queue = first.exclusive_queue()
    client.send_bytes(
        wire.raw_method(1, 60, 40, wire.publish_arguments("", queue))
        + wire.content_header(1, 4)
        + wire.body(1, b"ab")
        + wire.method(2, Queue.Declare(queue=queue, passive=True))
        + wire.HEARTBEAT
    )
    assert second.expect(Queue.DeclareOk).message_count == 0
    client.send_bytes(wire.body(1, b"cd"))
    assert first.get_all(queue) == [b"abcd"]


def test_a_content_is_given_up_by_the_close_of_its_channel_or_its_end(open_client: OpenClient, names: Names) -> None:
    client, reader = open_client(), open_client().channel()
    channel = client.channel()
    reader.declare(names())
    client.send_bytes(
        wire.raw_method(1, 60, 40, wire.publish_arguments("", names()))
        + wire.content_header(1, 100)
        + wire.body(1, b"half")
    )
    client.reset()
    assert reader.count(names()) == 0
    del channel


@pytest.mark.parametrize("size", [1 << 20, 16 << 20])
def test_big_bodies(open_client: OpenClient, size: int) -> None:
    channel = open_client().channel()
    queue = channel.exclusive_queue()
    body = pattern(1 << 20) * (size >> 20)
    channel.confirm()
    channel.publish("", queue, body)
    channel.publish("", queue, b"small")
    channel.wait_confirms(2, timeout_s=30)
    channel.consume(queue, no_ack=True)
    assert channel.delivery(30).body == body
    assert channel.delivery().body == b"small"


def test_the_biggest_body(open_client: OpenClient, bystander: ChannelClient) -> None:
    channel = open_client().channel()
    queue = channel.exclusive_queue()
    body = pattern(1 << 20) * (MESSAGE_BYTES_MAX >> 20)
    channel.publish("", queue, body)
    channel.consume(queue, no_ack=True)
    assert channel.delivery(60).body == body


def test_a_body_over_the_biggest_closes_the_channel(channel: ChannelClient, bystander: ChannelClient) -> None:
    channel.client.send_bytes(
        wire.raw_method(1, 60, 40, wire.publish_arguments("", "x")) + wire.content_header(1, MESSAGE_BYTES_MAX + 1)
    )
    piece = wire.body(1, bytes(131072 - wire.FRAME_OVERHEAD_BYTES))
    if channel.client.endpoint.broker == "rabbitmq":  # it judges when the whole body has come
        sent, room = 0, 131072 - wire.FRAME_OVERHEAD_BYTES
        while sent < MESSAGE_BYTES_MAX + 1:
            size = min(room, MESSAGE_BYTES_MAX + 1 - sent)
            channel.client.send_bytes(wire.body(1, bytes(size)))
            sent += size
    else:
        channel.client.send_bytes(piece * 10)
    channel.expect_error(
        406, f"message size {MESSAGE_BYTES_MAX + 1} is larger than configured max size {MESSAGE_BYTES_MAX}"
    )
    channel.client.channel(1).exclusive_queue()


@pytest.mark.parametrize("size", [512 * 1024 * 1024 + 1, 2**63, 2**64 - 1])
def test_a_claim_beyond_all_measure_is_refused_at_once(
    channel: ChannelClient, bystander: ChannelClient, size: int
) -> None:
    if channel.client.endpoint.broker == "rabbitmq":
        pytest.skip("RabbitMQ 3.10 waits for the body")
    channel.client.send_bytes(
        wire.raw_method(1, 60, 40, wire.publish_arguments("", "x")) + wire.content_header(1, size)
    )
    close = channel.client.next().method
    assert close.reply_code == 501 or (isinstance(close, Channel.Close) and close.reply_code == 406), close


def test_many_sizes_through_one_queue_at_once(open_client: OpenClient, names: Names) -> None:
    publisher, consumer = open_client().channel(), open_client(frame_max=FRAME_MAX_MIN).channel()
    publisher.declare(names())
    consumer.qos(50)
    consumer.consume(names())
    source = random.Random(7)
    bodies = [pattern(int(2 ** source.uniform(0, 17)), n) for n in range(300)]
    for body in bodies:
        publisher.publish("", names(), body)
    for body in bodies:
        message = consumer.delivery()
        assert message.body == body
        consumer.ack(message.delivery_tag)
