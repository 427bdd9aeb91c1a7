"""The bytes of a load's publishes, for the template of the compiled core."""
from __future__ import annotations

import struct
from typing import Any, Final

from amqp091.constants import FRAME_BODY, FRAME_END, FRAME_HEAD_BYTES, FRAME_OVERHEAD_BYTES
from amqp091.errors import AMQPError
from amqp091.methods import BasicPublish, encode
from amqp091.properties import Properties, content_header_frame
from amqp091.properties import encode as encode_properties
from bench.perf.core.template import Template
from bench.perf.errors import LoadError
from bench.perf.load import Load
from bench.perf.plan import key_headers, routing_key

CHANNEL: Final = 1
PERSISTENT: Final = 2
FILLER: Final = b"x"
FRAME_HEAD: Final = struct.Struct(">BHI")
assert FRAME_HEAD.size == FRAME_HEAD_BYTES


def template(load: Load, frame_max: int, run: int) -> Template:
    """Heads of all keys and the body. LoadError for properties that AMQP cannot carry."""
    return Template([head(load, key) for key in range(load.keys)], body_frames(load.size, frame_max), run)


def head(load: Load, key: int) -> bytes:
    """basic.publish and the content header of a message with that key."""
    publish = encode(CHANNEL, BasicPublish(0, load.exchange, routing_key(load, key), load.mandatory, False))
    return publish + content_header_frame(CHANNEL, load.size, properties(load, key))


def properties(load: Load, key: int) -> bytes:
    """Flags and properties; only what the load asks for."""
    unknown = load.properties.keys() - Properties._fields
    if unknown:
        raise LoadError(f"a message has no property {min(unknown)!r}; there are {', '.join(Properties._fields)}")
    values: dict[str, Any] = dict(load.properties)
    if load.persistent:
        values["delivery_mode"] = PERSISTENT
    headers = {**load.headers, **key_headers(load, key)}
    if headers:
        values["headers"] = headers
    try:
        return encode_properties(Properties(**values))
    except (TypeError, ValueError, AMQPError) as error:
        raise LoadError(f"properties {values!r}: {error}") from None


def body_frames(size: int, frame_max: int) -> bytes:
    """A body of that size, cut to frames."""
    piece_max = frame_max - FRAME_OVERHEAD_BYTES
    pieces = []
    while size:
        piece = min(size, piece_max)
        pieces += [FRAME_HEAD.pack(FRAME_BODY, CHANNEL, piece), FILLER * piece, bytes((FRAME_END,))]
        size -= piece
    return b"".join(pieces)
