"""The compiled core of a gateway: publishes, confirms, deliveries and acknowledgements of one connection.

Frames come in as bytes and records go out to a shard that nobody reads, and the other way round. The Python side is
as little as there can be.
"""
from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

from amqp091.constants import PROTOCOL_HEADER
from amqp091.methods import BasicPublish, encode
from amqp091.properties import content_header_frame
from amqp091.renderer import render_ack
from bench.micro.case import Case, Timed, repeated
from gateway.core import KEEPS_ALL, ChannelCore, ConnectionCore, GatewayCore, Route, Way

MESSAGES: Final = 200
SHARD: Final = 0
QUEUE_ID: Final = 10
FRAME_MAX: Final = 131_072
SMALL: Final = 100
BIG: Final = 64 << 10
DELIVER: Final = struct.Struct("<IBBHIIIBBHII")
WATERMARK: Final = struct.Struct("<IBBHQQ")
KIND_DELIVER, KIND_WATERMARK = 16, 18
"""The records of bus/records.pxd."""
ROUTE: Final = Route([(SHARD, QUEUE_ID, KEEPS_ALL)])


class Gateway(GatewayCore):
    """With one shard, whose link takes everything."""

    def __init__(self) -> None:
        super().__init__(1)
        self.shard_up(SHARD)
        self.batch_number = 1

    def to_shard(self) -> int:
        """Sends the batch; its bytes."""
        size = len(self.outgoing(SHARD))
        if size:
            self.batch_number += 1
            self.sent(SHARD, self.batch_number)
        return size

    def wall_clock_ms(self) -> int:
        return 0


class Channel(ChannelCore):
    def route(
        self, exchange: bytes, routing_keys: tuple[bytes, ...], headers: bytes | None, has_delay: bool,
        path: tuple[int, ...],
    ) -> Way:
        return ROUTE

    def route_scope(self, exchange: bytes) -> int:
        return 0


class Connection(ConnectionCore):
    """Open, with one channel."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway)
        self.receive(PROTOCOL_HEADER)
        self.frame_max = FRAME_MAX
        self.opened = True
        self.channel = Channel(self, 1)

    def on_protocol_header(self, header: bytes) -> None:
        """Never minds."""


def publish_frames(body_bytes: int) -> bytes:
    """One message, in frames of the largest size."""
    most = FRAME_MAX - 8
    body = b"x" * body_bytes
    pieces = [body[at : at + most] for at in range(0, body_bytes, most)]
    frames = b"".join(struct.pack(">BHI", 3, 1, len(piece)) + piece + b"\xce" for piece in pieces)
    return encode(1, BasicPublish(routing_key="q")) + content_header_frame(1, body_bytes, b"\0\0") + frames


def deliver_record(consumer: int, body_bytes: int) -> bytes:
    """A DELIVER record with a routing key."""
    tail = b"q" + b"\0\0" + b"x" * body_bytes
    size = DELIVER.size + len(tail)
    padding = -size % 8
    head = DELIVER.pack(size + padding, KIND_DELIVER, 0, 0, consumer, 2, body_bytes, 0, 1, 0, 0, QUEUE_ID)
    return head + tail + bytes(padding)


def publish(body_bytes: int, confirmed: bool) -> Callable[[Path, int], Timed]:
    """From the socket's bytes to the shard's batch; confirmed: and from its watermark to the acks."""

    def prepare(_: Path, units: int) -> Timed:
        gateway = Gateway()
        connection = Connection(gateway)
        if confirmed:
            connection.channel.confirm_select()
        data = publish_frames(body_bytes) * units

        def once() -> None:
            connection.receive(data)
            if not gateway.to_shard():
                raise RuntimeError("nothing was published")
            if confirmed:
                number = gateway.batch_number - 1
                gateway.on_batch(SHARD, WATERMARK.pack(WATERMARK.size, KIND_WATERMARK, 0, 0, number, number))
                gateway.dirty()
                if connection.take_output() is None:
                    raise RuntimeError("nothing was confirmed")

        return repeated(once)

    return prepare


def deliver(body_bytes: int, acknowledged: bool) -> Callable[[Path, int], Timed]:
    """From the shard's batch to the socket's bytes; acknowledged: and from one ack to its SETTLE record."""

    def prepare(_: Path, units: int) -> Timed:
        gateway = Gateway()
        connection = Connection(gateway)
        consumer = connection.channel.add_consumer(b"tag", SHARD, not acknowledged)
        batch = deliver_record(consumer, body_bytes) * units
        delivered = 0

        def once() -> None:
            nonlocal delivered
            gateway.on_batch(SHARD, batch)
            gateway.dirty()
            if connection.take_output() is None:
                raise RuntimeError("nothing was delivered")
            if acknowledged:
                delivered += units
                connection.receive(render_ack(1, delivered, True))
            gateway.credits()
            gateway.to_shard()

        return repeated(once)

    return prepare


CASES: Final = (
    Case("publish, 100 bytes", publish(SMALL, False), MESSAGES),
    Case("publish, 100 bytes, confirmed", publish(SMALL, True), MESSAGES),
    Case("publish, 64 KiB", publish(BIG, False), 10),
    Case("publish, one at a time, confirmed", publish(SMALL, True), 1),
    Case("deliver, 100 bytes", deliver(SMALL, False), MESSAGES),
    Case("deliver, 100 bytes, one ack for all", deliver(SMALL, True), MESSAGES),
    Case("deliver, 64 KiB", deliver(BIG, False), 10),
    Case("deliver, one at a time, acknowledged", deliver(SMALL, True), 1),
)
