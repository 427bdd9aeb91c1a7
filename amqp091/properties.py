"""The properties of basic content, where Python looks at them: returns, the headers exchange, tools.

The compiled core never comes here: it carries properties as they came (amqp091/scanner.pyx).
"""
import struct
from typing import Any, Final, NamedTuple

from amqp091.constants import CLASS_BASIC, FRAME_END, FRAME_HEADER
from amqp091.errors import SyntaxError_
from amqp091.fields import read_fields, write_fields

NO_PROPERTIES: Final = b"\x00\x00"      # the flags of content that has none

# In the order of their flags, from the highest bit down; letters as in amqp091/fields.pyx.
PROPERTY_TYPES: Final = {
    "content_type": b"S",
    "content_encoding": b"S",
    "headers": b"T",
    "delivery_mode": b"o",
    "priority": b"o",
    "correlation_id": b"S",
    "reply_to": b"S",
    "expiration": b"S",
    "message_id": b"S",
    "timestamp": b"L",
    "type": b"S",
    "user_id": b"S",
    "app_id": b"S",
    "cluster_id": b"S",
}
FLAG_HIGHEST: Final = 1 << 15
FLAGS_UNKNOWN: Final = 0b11             # a further flags word (never used) and a 15th property

_FLAGS: Final = tuple(
    (FLAG_HIGHEST >> place, name, letter) for place, (name, letter) in enumerate(PROPERTY_TYPES.items())
)
_CONTENT_HEAD: Final = struct.Struct(">HHQ")


class Properties(NamedTuple):
    """None: the property is absent."""

    content_type: str | None = None
    content_encoding: str | None = None
    headers: dict[str, Any] | None = None
    delivery_mode: int | None = None
    priority: int | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    expiration: str | None = None
    message_id: str | None = None
    timestamp: int | None = None
    type: str | None = None
    user_id: str | None = None
    app_id: str | None = None
    cluster_id: str | None = None


def decode(properties: bytes) -> Properties:
    """Flags word and property list, to the last byte."""
    if len(properties) < 2:
        raise SyntaxError_("content without property flags", class_id=CLASS_BASIC)
    flags = int.from_bytes(properties[:2], "big")
    if flags & FLAGS_UNKNOWN:
        raise SyntaxError_("unknown property flags", class_id=CLASS_BASIC)
    present = [(name, letter) for flag, name, letter in _FLAGS if flags & flag]
    values = read_fields(b"".join(letter for _, letter in present), properties[2:])
    return Properties(**{name: value for (name, _), value in zip(present, values, strict=True)})


def encode(properties: Properties) -> bytes:
    """Flags word and property list."""
    flags = 0
    signature = b""
    values = []
    for (flag, _, letter), value in zip(_FLAGS, properties, strict=True):
        if value is not None:
            flags |= flag
            signature += letter
            values.append(value)
    return flags.to_bytes(2, "big") + write_fields(signature, tuple(values))


def content_header_frame(channel: int, body_size: int, properties: bytes) -> bytes:
    """A whole content header frame around properties as `encode` makes them."""
    payload = _CONTENT_HEAD.pack(CLASS_BASIC, 0, body_size) + properties
    return struct.pack(">BHI", FRAME_HEADER, channel, len(payload)) + payload + bytes((FRAME_END,))
