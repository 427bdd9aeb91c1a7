"""Frames that no correct client sends: each gets the right code and costs no other client anything."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

import pytest

from tests.harness import wire
from tests.harness.channel import ChannelClient
from tests.harness.client import Client, Closed
from tests.harness.methods import Basic, Channel, Connection, Queue

OpenClient = Callable[..., Client]

pytestmark = pytest.mark.usefixtures("bystander")
crashes_in_rabbitmq = pytest.mark.warren_only("RabbitMQ 3.10 resets the connection without a word")


@pytest.mark.parametrize("end", [0x00, 0xCD, 0xFF])
def test_a_wrong_end_octet_is_a_frame_error(client: Client, end: int) -> None:
    client.send_bytes(wire.frame(wire.FRAME_METHOD, 1, wire.method_payload(Channel.Open()), end=end))
    client.expect_connection_error(501, "FRAME_ERROR", await_end=False)


@pytest.mark.parametrize("over_bytes", [1, 9])
def test_a_frame_longer_than_frame_max_is_a_frame_error(open_client: OpenClient, over_bytes: int) -> None:
    client = open_client(frame_max=4096)
    if client.endpoint.broker == "rabbitmq" and over_bytes <= wire.FRAME_OVERHEAD_BYTES:
        pytest.skip("RabbitMQ overlooks the overhead of the frame")
    client.send_bytes(wire.frame(wire.FRAME_BODY, 1, bytes(4096 - wire.FRAME_OVERHEAD_BYTES + over_bytes)))
    client.expect_connection_error(501, "FRAME_ERROR", await_end=False)


def test_a_connection_whose_frames_are_lost_is_ended_soon(client: Client) -> None:
    client.send_bytes(wire.frame(wire.FRAME_METHOD, 1, wire.method_payload(Channel.Open()), end=0))
    client.expect_connection_error(501)


def test_a_frame_of_exactly_frame_max_is_taken(open_client: OpenClient) -> None:
    channel = open_client(frame_max=4096).channel()
    queue = channel.exclusive_queue()
    body = bytes(4096 - 8)
    channel.client.send_bytes(
        wire.raw_method(1, 60, 40, wire.publish_arguments("", queue))
        + wire.content_header(1, len(body))
        + wire.body(1, body)
    )
    message = channel.get(queue)
    assert message is not None and message.body == body


def test_a_frame_that_claims_four_gigabytes_is_refused_before_it_comes(client: Client) -> None:
    client.send_bytes(wire.frame(wire.FRAME_METHOD, 1, b"", size=0xFFFFFFFF)[:7] + bytes(64))
    client.expect_connection_error(501, "FRAME_ERROR", await_end=False)


@pytest.mark.parametrize("kind", [0, 4, 5, 7, 9, 255])
def test_an_unknown_frame_type_is_a_frame_error(client: Client, kind: int) -> None:
    client.channel()
    client.send_bytes(wire.frame(kind, 1, b"abc"))
    client.expect_connection_error(501, "FRAME_ERROR", await_end=False)


def test_a_body_without_a_publish_is_unexpected(channel: ChannelClient) -> None:
    channel.client.send_bytes(wire.body(1, b"abc"))
    channel.client.expect_connection_error(505, "UNEXPECTED_FRAME")


def test_a_header_without_a_publish_is_unexpected(channel: ChannelClient) -> None:
    channel.client.send_bytes(wire.content_header(1, 3))
    channel.client.expect_connection_error(505, "UNEXPECTED_FRAME")


PUBLISH = wire.raw_method(1, 60, 40, wire.publish_arguments("", "nowhere"))


@pytest.mark.parametrize(
    "second",
    [wire.method(1, Basic.Qos()), wire.method(1, Queue.Declare(exclusive=True)), PUBLISH, wire.body(1, b"x")],
    ids=["qos", "declare", "publish", "body"],
)
def test_anything_but_a_header_after_a_publish_is_unexpected(channel: ChannelClient, second: bytes) -> None:
    channel.client.send_bytes(PUBLISH + second)
    channel.client.expect_connection_error(505, "UNEXPECTED_FRAME")


@pytest.mark.parametrize(
    "third", [wire.method(1, Basic.Qos()), PUBLISH, wire.content_header(1, 3)], ids=["qos", "publish", "header"]
)
def test_anything_but_a_body_after_a_header_is_unexpected(channel: ChannelClient, third: bytes) -> None:
    channel.client.send_bytes(PUBLISH + wire.content_header(1, 3) + third)
    channel.client.expect_connection_error(505, "UNEXPECTED_FRAME")


def test_a_header_of_another_class_is_unexpected(channel: ChannelClient) -> None:
    channel.client.send_bytes(PUBLISH + wire.content_header(1, 3, class_id=50))
    channel.client.expect_connection_error(505, "UNEXPECTED_FRAME")


@pytest.mark.warren_only("RabbitMQ 3.10 takes such a body in silence")
def test_a_body_longer_than_its_header_said_is_a_frame_error(channel: ChannelClient) -> None:
    channel.client.send_bytes(PUBLISH + wire.content_header(1, 3) + wire.body(1, b"abcd"))
    channel.client.expect_connection_error(501, "FRAME_ERROR", await_end=False)


@pytest.mark.warren_only("RabbitMQ 3.10 takes such a body in silence")
def test_bodies_together_longer_than_their_header_said_are_a_frame_error(channel: ChannelClient) -> None:
    channel.client.send_bytes(PUBLISH + wire.content_header(1, 3) + wire.body(1, b"ab") + wire.body(1, b"cd"))
    channel.client.expect_connection_error(501, "FRAME_ERROR", await_end=False)


@crashes_in_rabbitmq
@pytest.mark.parametrize("class_id, method_id", [(10, 99), (60, 99), (99, 10), (0, 1), (65535, 65535), (50, 60)])
def test_an_unknown_method_is_refused(channel: ChannelClient, class_id: int, method_id: int) -> None:
    channel.client.send_bytes(wire.raw_method(1, class_id, method_id, b"\0\0\0\0"))
    close = channel.client.next().method
    assert isinstance(close, Connection.Close)
    assert close.reply_code == 503, close


@pytest.mark.parametrize(
    "arguments", [b"", b"\0", b"\0\0\xff", b"\0\0\x05abc", b"\0\0\x01q\0\xff\xff\xff\xff", b"\0\0\x01q\0\0\0\0\x05abc"]
)
def test_arguments_that_end_too_early_are_a_syntax_error(channel: ChannelClient, arguments: bytes) -> None:
    channel.client.send_bytes(wire.raw_method(1, 50, 10, arguments))
    channel.client.expect_connection_error(501 if channel.client.endpoint.broker == "rabbitmq" else 502)


def declare_with(table: bytes) -> bytes:
    """queue.declare of an exclusive queue with an arguments table as given."""
    return wire.raw_method(1, 50, 10, b"\0\0" + wire.short_string("") + b"\x04" + table)


@crashes_in_rabbitmq
@pytest.mark.parametrize(
    "entries",
    [
        wire.field_entry("k", b"S", b"\0\0\0\x09abc"),
        wire.field_entry("k", b"F", b"\xff\xff\xff\xff"),
        wire.field_entry("k", b"A", b"\0\0\0\x10"),
        wire.field_entry("k", b"?", b"\0\0\0\x01"),
        b"\x05k",
        b"\x01k",
        wire.field_entry("k", b"I", b"\0\0"),
        wire.field_entry("k", b"D", b"\x01"),
        wire.field_entry("k", b"T", b"\0\0\0\0"),
    ],
    ids=["string", "table", "array", "letter", "name", "no-value", "int", "decimal", "timestamp"],
)
def test_a_table_that_lies_about_its_lengths_is_a_syntax_error(channel: ChannelClient, entries: bytes) -> None:
    channel.client.send_bytes(declare_with(wire.table(entries)))
    channel.client.expect_connection_error(502, "SYNTAX_ERROR")


def nested(depth: int) -> bytes:
    """Tables in tables."""
    table = wire.table(b"")
    for _ in range(depth):
        table = wire.table(wire.field_entry("n", b"F", table))
    return table


def test_a_table_nested_as_deep_as_sense_goes_is_taken(channel: ChannelClient) -> None:
    channel.client.send_bytes(declare_with(nested(20)))
    channel.expect(Queue.DeclareOk)


@pytest.mark.warren_only("RabbitMQ has no limit of depth but that of the frame")
def test_a_table_nested_without_end_is_a_syntax_error(channel: ChannelClient) -> None:
    channel.client.send_bytes(declare_with(nested(10_000)))
    channel.client.expect_connection_error(502, "SYNTAX_ERROR")


@pytest.mark.warren_only("RabbitMQ has no limit of depth but that of the frame")
def test_message_headers_nested_without_end_do_no_harm(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.bind(queue, "amq.headers", "", {"x-match": "any", "n": 1})
    properties = struct.pack(">H", 1 << 13) + nested(10_000)
    channel.client.send_bytes(
        wire.raw_method(1, 60, 40, wire.publish_arguments("amq.headers", ""))
        + wire.frame(wire.FRAME_HEADER, 1, struct.pack(">HHQ", 60, 0, 0) + properties)
    )
    try:
        while not isinstance(channel.client.next(2).method, (Connection.Close, Channel.Close)):
            pass
    except TimeoutError:
        channel.get(queue)


@crashes_in_rabbitmq
@pytest.mark.parametrize(
    "properties",
    [b"", b"\x80", b"\x80\x00", b"\x80\x00\x05abc", b"\x20\x00\xff\xff\xff\xff", b"\x00\x01", b"\x00\x40\0\0"],
    ids=["none", "half-flags", "missing", "short", "table", "more-flags", "timestamp"],
)
def test_properties_that_end_too_early_end_the_connection(channel: ChannelClient, properties: bytes) -> None:
    queue = channel.exclusive_queue()
    channel.client.send_bytes(
        wire.raw_method(1, 60, 40, wire.publish_arguments("", queue))
        + wire.frame(wire.FRAME_HEADER, 1, struct.pack(">HHQ", 60, 0, 1) + properties)
        + wire.body(1, b"x")
    )
    close = channel.client.next().method
    assert isinstance(close, Connection.Close), close


def test_a_short_string_that_is_not_utf8_is_kept_or_refused_but_harms_nobody(channel: ChannelClient) -> None:
    channel.client.send_bytes(
        wire.raw_method(1, 50, 10, b"\0\0" + wire.short_string(b"\xff\xfe\x80") + b"\x04\0\0\0\0")
    )
    answer = channel.client.next().method
    assert isinstance(answer, (Connection.Close, Channel.Close, Queue.DeclareOk)), answer


def test_a_routing_key_that_is_not_utf8_is_carried_unchanged(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.bind(queue, "amq.fanout")
    key = b"\xff\xfe\x80key"
    channel.client.send_bytes(
        wire.raw_method(1, 60, 40, b"\0\0" + wire.short_string("amq.fanout") + wire.short_string(key) + b"\0")
        + wire.content(1, b"body")
    )
    message = channel.get(queue)
    assert message is not None
    assert wire.short_string(key) in message.method.arguments


def test_a_heartbeat_on_a_channel_is_unexpected(channel: ChannelClient) -> None:
    channel.client.send_bytes(wire.frame(wire.FRAME_HEARTBEAT, 1, b""))
    channel.client.expect_connection_error(505)


@pytest.mark.parametrize("frame", [wire.body(0, b"abc"), wire.content_header(0, 3)], ids=["body", "header"])
def test_content_on_channel_zero_ends_the_connection(client: Client, frame: bytes) -> None:
    client.send_bytes(frame)
    close = client.next().method
    assert isinstance(close, Connection.Close) and close.reply_code in (503, 504, 505), close


@pytest.mark.parametrize("method", [Channel.Open(), Basic.Qos(), Queue.Declare(queue="x")], ids=lambda m: m.name)
def test_a_method_of_a_channel_on_channel_zero_ends_the_connection(client: Client, method: object) -> None:
    client.send(0, method)
    close = client.next().method
    assert isinstance(close, Connection.Close) and close.reply_code in (503, 504), close


@pytest.mark.parametrize(
    "method",
    [Connection.Close(200, "", 0, 0), Connection.Open("/"), Connection.TuneOk(1, 4096, 0)],
    ids=lambda m: m.name,
)
def test_a_connection_method_on_a_channel_ends_the_connection(channel: ChannelClient, method: object) -> None:
    channel.send(method)
    close = channel.client.next().method
    assert isinstance(close, Connection.Close) and close.reply_code in (503, 504), close


@pytest.mark.parametrize(
    "method", [Queue.DeclareOk("q", 0, 0), Basic.GetEmpty(), Channel.OpenOk()], ids=lambda m: m.name
)
def test_a_method_that_only_brokers_send_ends_the_connection(channel: ChannelClient, method: object) -> None:
    channel.send(method)
    close = channel.client.next().method
    assert isinstance(close, Connection.Close) and close.reply_code in (503, 505, 540), close


@pytest.mark.parametrize(
    "method", [Connection.StartOk({}, "PLAIN", "\0guest\0guest", "en_US"), Connection.Open("/")], ids=lambda m: m.name
)
def test_a_second_handshake_ends_the_connection(client: Client, method: object) -> None:
    client.send(0, method)
    close = client.next().method
    assert isinstance(close, Connection.Close) and close.reply_code in (503, 504), close


@pytest.mark.parametrize("seed", range(8))
def test_garbage_after_the_handshake_ends_the_connection(client: Client, seed: int) -> None:
    client.channel()
    client.send_bytes(random.Random(seed).randbytes(4096))
    client.expect_connection_error(501, "FRAME_ERROR", await_end=False)


@pytest.mark.parametrize("seed", range(12))
def test_a_session_with_a_few_flipped_bytes_harms_nobody(open_client: OpenClient, seed: int) -> None:
    source = random.Random(seed)
    client = open_client()
    session = bytearray(
        wire.method(1, Channel.Open())
        + wire.method(1, Queue.Declare(queue="", exclusive=True))
        + wire.publish(1, "amq.topic", "a.b", b"body" * 20, wire.Properties(headers={"a": 1, "b": ["c"]}))
        + wire.method(1, Basic.Get(queue=""))
        + wire.method(1, Basic.Ack(1))
        + wire.method(1, Queue.Bind(queue="", exchange="amq.topic", routing_key="#"))
    )
    for _ in range(source.randrange(1, 6)):
        session[source.randrange(len(session))] = source.randrange(256)
    client.send_bytes(bytes(session))
    client.send(0, Connection.Close(200, "", 0, 0))
    try:
        while not isinstance(client.next(3).method, (Connection.Close, Connection.CloseOk)):
            pass
    except (Closed, TimeoutError):
        pass  # a lying length: the broker waits for the rest


@pytest.mark.parametrize("cut", [1, 6, 7, 8, 20, -1])
def test_half_a_frame_and_then_the_end_harms_nobody(channel: ChannelClient, cut: int) -> None:
    frames = wire.publish(1, "", "nowhere", b"body" * 100)
    channel.client.send_bytes(frames[:cut])
    channel.client.reset()
