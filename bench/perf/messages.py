"""The bytes of a load's publishes, for the template of the compiled core."""
from __future__ import annotations

import struct
import uuid
from collections.abc import Mapping
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
NO_REQUEST: Final[Mapping[str, str]] = {}
FRAME_HEAD: Final = struct.Struct(">BHI")
assert FRAME_HEAD.size == FRAME_HEAD_BYTES


def template(load: Load, frame_max: int, run: int, request: Mapping[str, str] = NO_REQUEST) -> Template:
    """Heads of all keys and the body. LoadError for properties that AMQP cannot carry.

    `request`: the properties that make it one, see `request_properties`.
    """
    return Template([head(load, key, request) for key in range(load.keys)], body_frames(load.size, frame_max), run)


def head(load: Load, key: int, request: Mapping[str, str] = NO_REQUEST) -> bytes:
    """basic.publish and the content header of a message with that key."""
    publish = encode(CHANNEL, BasicPublish(0, load.exchange, routing_key(load, key), load.mandatory, False))
    return publish + content_header_frame(CHANNEL, load.size, properties(load, key, request))


def properties(load: Load, key: int, request: Mapping[str, str] = NO_REQUEST) -> bytes:
    """Flags and properties; only what the load asks for."""
    unknown = load.properties.keys() - Properties._fields
    if unknown:
        raise LoadError(f"a message has no property {min(unknown)!r}; there are {', '.join(Properties._fields)}")
    values: dict[str, Any] = {**load.properties, **request}
    if load.persistent:
        values["delivery_mode"] = PERSISTENT
    headers = {**load.headers, **key_headers(load, key)}
    if headers:
        values["headers"] = headers
    try:
        return encode_properties(Properties(**values))
    except (TypeError, ValueError, AMQPError) as error:
        raise LoadError(f"properties {values!r}: {error}") from None


def request_properties(reply_to: str) -> dict[str, str]:
    """Of the requests of one client. Its correlation id is as long as those of other clients, but always the same."""
    return {"reply_to": reply_to, "correlation_id": str(uuid.uuid4())}


def body_frames(size: int, frame_max: int) -> bytes:
    """A body of that size, cut to frames."""
    piece_max = frame_max - FRAME_OVERHEAD_BYTES
    pieces = []
    while size:
        piece = min(size, piece_max)
        pieces += [FRAME_HEAD.pack(FRAME_BODY, CHANNEL, piece), FILLER * piece, bytes((FRAME_END,))]
        size -= piece
    return b"".join(pieces)
