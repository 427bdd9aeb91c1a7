"""AMQP 0-9-1 frames as bytes, right ones and wrong ones.

Right frames are encoded by pamqp, an implementation independent of the broker's own codecs; everything here may also be
given values that no correct client would send.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

from pamqp import header

from tests.harness.methods import BY_INDEX, Basic, Properties

Method = Any

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
FRAME_METHOD = 1
FRAME_HEADER = 2
FRAME_BODY = 3
FRAME_HEARTBEAT = 8
FRAME_END = 0xCE
FRAME_OVERHEAD_BYTES = 8
HEARTBEAT = bytes([FRAME_HEARTBEAT, 0, 0, 0, 0, 0, 0, FRAME_END])
BASIC_CLASS = 60


def frame(kind: int, channel: int, payload: bytes, *, size: int | None = None, end: int = FRAME_END) -> bytes:
    """One frame; `size` and `end` may lie."""
    return struct.pack(">BHI", kind, channel, len(payload) if size is None else size) + payload + bytes([end])


def method_payload(method: Method) -> bytes:
    """Class id, method id and arguments."""
    return struct.pack(">I", method.index) + method.marshal()


def method(channel: int, value: Method) -> bytes:
    """A method frame."""
    return frame(FRAME_METHOD, channel, method_payload(value))


def raw_method(channel: int, class_id: int, method_id: int, arguments: bytes = b"") -> bytes:
    """A method frame with arguments as given."""
    return frame(FRAME_METHOD, channel, struct.pack(">HH", class_id, method_id) + arguments)


def content_header(
    channel: int, body_size: int, properties: Properties | None = None, *, class_id: int = BASIC_CLASS, weight: int = 0
) -> bytes:
    """A content header frame."""
    marshalled = (properties or Properties()).marshal()
    return frame(FRAME_HEADER, channel, struct.pack(">HHQ", class_id, weight, body_size) + marshalled)


def body(channel: int, payload: bytes) -> bytes:
    """A body frame."""
    return frame(FRAME_BODY, channel, payload)


def content(channel: int, payload: bytes, properties: Properties | None = None, *, frame_max: int = 131072) -> bytes:
    """Header and body frames of one message, cut at frame_max."""
    room = frame_max - FRAME_OVERHEAD_BYTES
    frames = [content_header(channel, len(payload), properties)]
    frames += [body(channel, payload[at : at + room]) for at in range(0, len(payload), room)]
    return b"".join(frames)


def publish(
    channel: int,
    exchange: str,
    routing_key: str,
    payload: bytes = b"",
    properties: Properties | None = None,
    *,
    mandatory: bool = False,
    immediate: bool = False,
    frame_max: int = 131072,
) -> bytes:
    """A whole basic.publish with its content."""
    return raw_method(channel, 60, 40, publish_arguments(exchange, routing_key, mandatory, immediate)) + content(
        channel, payload, properties, frame_max=frame_max
    )


def publish_arguments(exchange: str, routing_key: str, mandatory: bool = False, immediate: bool = False) -> bytes:
    """Arguments of basic.publish, without pamqp's checks of names."""
    return (
        struct.pack(">H", 0) + short_string(exchange) + short_string(routing_key) + bytes([mandatory | immediate << 1])
    )


def short_string(text: str | bytes) -> bytes:
    """Length octet and bytes."""
    data = text.encode() if isinstance(text, str) else text
    return bytes([len(data)]) + data


def table(entries: bytes) -> bytes:
    """A field table from its encoded entries."""
    return struct.pack(">I", len(entries)) + entries


def field_entry(name: str, kind: bytes, value: bytes) -> bytes:
    """One entry of a field table, with any type letter."""
    return short_string(name) + kind + value


@dataclass
class Undecoded:
    """A method with a name that is not UTF-8: its arguments as bytes."""

    index: int
    arguments: bytes


@dataclass
class Message:
    """What arrives with a method that carries content."""

    method: Method
    properties: Properties
    body: bytes
    frame_bytes: list[int] = field(default_factory=list)

    @property
    def delivery_tag(self) -> int:
        return int(self.method.delivery_tag)

    @property
    def redelivered(self) -> bool:
        return bool(self.method.redelivered)


@dataclass
class ContentAssembly:
    """One message of which header or body frames are still to come."""

    method: Method
    body_size: int | None = None
    properties: Properties | None = None
    parts: list[bytes] = field(default_factory=list)
    received: int = 0
    frame_bytes: list[int] = field(default_factory=list)

    def add(self, kind: int, payload: bytes) -> Message | None:
        """Take the next frame; the message once it is whole."""
        self.frame_bytes.append(len(payload) + FRAME_OVERHEAD_BYTES)
        if self.body_size is None:
            if kind != FRAME_HEADER:
                raise AssertionError(f"frame of type {kind} where a content header is due")
            self.body_size = struct.unpack_from(">Q", payload, 4)[0]
            self.properties = _properties(payload)
        else:
            if kind != FRAME_BODY:
                raise AssertionError(f"frame of type {kind} where a body is due")
            self.parts.append(payload)
            self.received += len(payload)
        assert self.body_size is not None
        if self.received > self.body_size:
            raise AssertionError(f"body frames hold {self.received} bytes, the header promised {self.body_size}")
        if self.received < self.body_size:
            return None
        assert self.properties is not None
        return Message(self.method, self.properties, b"".join(self.parts), self.frame_bytes)


def _properties(payload: bytes) -> Properties:
    value = header.ContentHeader(properties=Properties())
    value.unmarshal(payload)
    return value.properties


def decode_method(payload: bytes) -> Method:
    """A method from the payload of its frame."""
    index = struct.unpack_from(">I", payload)[0]
    if index not in BY_INDEX:
        raise AssertionError(f"the broker sent an unknown method {index >> 16}.{index & 0xFFFF}")
    value = BY_INDEX[index]()
    try:
        value.unmarshal(payload[4:])
    except UnicodeDecodeError:
        return Undecoded(index, payload[4:])
    return value


CARRIES_CONTENT = {Basic.Deliver.index, Basic.GetOk.index, Basic.Return.index}
