"""Raw AMQP frames of a client, and a reader of what the core wrote for it."""
import struct
from dataclasses import dataclass
from typing import Any

HEADER = b"AMQP\x00\x00\x09\x01"
METHOD, CONTENT_HEADER, BODY, HEARTBEAT = 1, 2, 3, 8


def frame(kind: int, channel: int, payload: bytes, end: int = 0xCE) -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + bytes([end])


def method(channel: int, class_id: int, method_id: int, arguments: bytes = b"") -> bytes:
    return frame(METHOD, channel, struct.pack(">HH", class_id, method_id) + arguments)


def short(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def publish_method(
    channel: int, exchange: bytes = b"", routing_key: bytes = b"q", *, mandatory: bool = False, immediate: bool = False
) -> bytes:
    bits = bytes([mandatory | immediate << 1])
    return method(channel, 60, 40, b"\0\0" + short(exchange) + short(routing_key) + bits)


def table(pairs: dict[bytes, bytes]) -> bytes:
    inner = b"".join(short(key) + b"S" + struct.pack(">I", len(value)) + value for key, value in pairs.items())
    return struct.pack(">I", len(inner)) + inner


def properties(
    *, headers: bytes | None = None, delivery_mode: int | None = None, priority: int | None = None,
    reply_to: bytes | None = None, expiration: bytes | None = None, user_id: bytes | None = None,
) -> bytes:
    flags, values = 0, b""
    for bit, value in (
        (13, headers),
        (12, None if delivery_mode is None else bytes([delivery_mode])),
        (11, None if priority is None else bytes([priority])),
        (9, None if reply_to is None else short(reply_to)),
        (8, None if expiration is None else short(expiration)),
        (4, None if user_id is None else short(user_id)),
    ):
        if value is not None:
            flags |= 1 << bit
            values += value
    return struct.pack(">H", flags) + values


def content_header(
    channel: int, body_bytes: int, property_list: bytes = b"\0\0", *, class_id: int = 60, weight: int = 0
) -> bytes:
    return frame(CONTENT_HEADER, channel, struct.pack(">HHQ", class_id, weight, body_bytes) + property_list)


def body_frame(channel: int, body: bytes) -> bytes:
    return frame(BODY, channel, body)


def publish(
    channel: int, body: bytes = b"", property_list: bytes = b"\0\0", *,
    exchange: bytes = b"", routing_key: bytes = b"q", mandatory: bool = False, cut: int = 0,
) -> bytes:
    """A whole publish; `cut`: the largest body frame."""
    pieces = [body[at : at + cut] for at in range(0, len(body), cut)] if cut else [body] if body else []
    return (
        publish_method(channel, exchange, routing_key, mandatory=mandatory)
        + content_header(channel, len(body), property_list)
        + b"".join(body_frame(channel, piece) for piece in pieces)
    )


def ack(channel: int, tag: int, *, multiple: bool = False) -> bytes:
    return method(channel, 60, 80, struct.pack(">QB", tag, multiple))


def nack(channel: int, tag: int, *, multiple: bool = False, requeue: bool = True) -> bytes:
    return method(channel, 60, 120, struct.pack(">QB", tag, multiple | requeue << 1))


def reject(channel: int, tag: int, *, requeue: bool = True) -> bytes:
    return method(channel, 60, 90, struct.pack(">QB", tag, requeue))


@dataclass(frozen=True)
class Sent:
    """One method of the server with its content."""

    channel: int
    name: str
    fields: tuple[Any, ...]
    properties: bytes = b""
    body: bytes = b""


def read(output: bytes, frame_max: int = 131_072) -> list[Sent]:
    """What a client sees; content frames are put together and checked against frame_max."""
    sent: list[Sent] = []
    while output:
        kind, channel, size = struct.unpack_from(">BHI", output)
        assert size + 8 <= frame_max
        payload, end, output = output[7 : 7 + size], output[7 + size], output[8 + size :]
        assert end == 0xCE and kind == METHOD
        class_id, method_id = struct.unpack_from(">HH", payload)
        name, fields, has_content = METHODS[class_id, method_id](payload[4:])
        if not has_content:
            sent.append(Sent(channel, name, fields))
            continue
        kind, content_channel, size = struct.unpack_from(">BHI", output)
        assert (kind, content_channel) == (CONTENT_HEADER, channel)
        header, output = output[7 : 7 + size], output[8 + size :]
        class_id, weight, body_bytes = struct.unpack_from(">HHQ", header)
        assert (class_id, weight) == (60, 0)
        body = b""
        while len(body) < body_bytes:
            kind, content_channel, size = struct.unpack_from(">BHI", output)
            assert (kind, content_channel) == (BODY, channel) and 0 < size <= frame_max - 8
            body += output[7 : 7 + size]
            output = output[8 + size :]
        assert len(body) == body_bytes
        sent.append(Sent(channel, name, fields, header[12:], body))
    return sent


def _text(arguments: bytes) -> tuple[bytes, bytes]:
    return arguments[1 : 1 + arguments[0]], arguments[1 + arguments[0] :]


def _deliver(arguments: bytes) -> tuple[str, tuple[Any, ...], bool]:
    tag, rest = _text(arguments)
    delivery_tag, redelivered = struct.unpack_from(">QB", rest)
    exchange, rest = _text(rest[9:])
    return "deliver", (tag, delivery_tag, bool(redelivered), exchange, _text(rest)[0]), True


def _get_ok(arguments: bytes) -> tuple[str, tuple[Any, ...], bool]:
    delivery_tag, redelivered = struct.unpack_from(">QB", arguments)
    exchange, rest = _text(arguments[9:])
    routing_key, rest = _text(rest)
    return "get-ok", (delivery_tag, bool(redelivered), exchange, routing_key, *struct.unpack(">I", rest)), True


def _return(arguments: bytes) -> tuple[str, tuple[Any, ...], bool]:
    (code,) = struct.unpack_from(">H", arguments)
    text, rest = _text(arguments[2:])
    exchange, rest = _text(rest)
    return "return", (code, text, exchange, _text(rest)[0]), True


def _ack(arguments: bytes) -> tuple[str, tuple[Any, ...], bool]:
    tag, multiple = struct.unpack(">QB", arguments)
    return "ack", (tag, bool(multiple)), False


def _nack(arguments: bytes) -> tuple[str, tuple[Any, ...], bool]:
    tag, bits = struct.unpack(">QB", arguments)
    return "nack", (tag, bool(bits & 1)), False


def _get_empty(arguments: bytes) -> tuple[str, tuple[Any, ...], bool]:
    assert arguments == b"\0"
    return "get-empty", (), False


METHODS = {
    (60, 60): _deliver, (60, 71): _get_ok, (60, 72): _get_empty, (60, 50): _return, (60, 80): _ack, (60, 120): _nack,
}
