"""A message as an operator sees it: JSON, whatever its bytes are. Fields are named as RabbitMQ's management names them.

    position            its place in the order of the queue, the same as long as it is there
    state               "ready", "unacked" (a consumer holds it) or "delayed" (it waits for its time)
    redelivered, delivery_count, priority
    exchange, routing_key
    properties          those that it has; headers as amqp091/table_json.py writes them
    payload, payload_encoding ("string" where it is UTF-8, else "base64"), payload_bytes, payload_truncated
    received_at_ms, expires_at_ms, ready_at_ms      where there is such a time
"""
from __future__ import annotations

import base64
import codecs
from typing import Any, Final

from amqp091.errors import AMQPError
from amqp091.properties import decode
from amqp091.table_json import to_json
from shards.engine.browsing import DELAYED, READY, UNACKED, Browsed

STATE_NAMES: Final = {READY: "ready", UNACKED: "unacked", DELAYED: "delayed"}

Row = dict[str, Any]


def row(message: Browsed, *, payload: bool) -> Row:
    """The message as JSON; without its payload where that is not asked for."""
    shown: Row = {
        "position": message.position,
        "state": STATE_NAMES[message.state],
        "redelivered": message.delivery_count > 0,
        "delivery_count": message.delivery_count,
        "priority": message.priority,
        "exchange": _text(message.exchange),
        "routing_key": _text(message.routing_key),
        "properties": _properties(message.properties),
        "payload_bytes": message.payload_bytes,
    }
    if payload:
        shown |= _payload(message.payload, message.payload_bytes)
    for name in ("received_at_ms", "expires_at_ms", "ready_at_ms"):
        at_ms = getattr(message, name)
        if at_ms is not None:
            shown[name] = at_ms
    return shown


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _properties(raw: bytes) -> Row:
    try:
        properties = decode(raw)._asdict()
    except AMQPError:
        return {"undecoded": raw.hex()}
    shown: Row = {}
    for name, value in properties.items():
        if name == "headers" and value is not None:
            shown[name] = to_json(value)
        elif isinstance(value, str):
            shown[name] = _text(value.encode("utf-8", "surrogateescape"))
        elif value is not None:
            shown[name] = value
    return shown


def _payload(start: bytes, size_bytes: int) -> Row:
    truncated = len(start) < size_bytes
    try:
        # what was cut off may have been the rest of a character
        text = codecs.getincrementaldecoder("utf-8")().decode(start, final=not truncated)
        encoding = "string"
    except UnicodeDecodeError:
        text, encoding = base64.b64encode(start).decode(), "base64"
    return {"payload": text, "payload_encoding": encoding, "payload_truncated": truncated}
