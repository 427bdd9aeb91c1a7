"""The gateway's side of a link in Python: records made and read with struct, by the tables of bus/records.pxd."""
from __future__ import annotations

import struct
from typing import Any, NamedTuple

import orjson

NO_TTL = 0xFFFF_FFFF_FFFF_FFFF
ACK, REQUEUE, REJECT, REQUEUE_FAILED = 0, 1, 2, 3
PERSISTENT, CONFIRM, DELAYED, DIED = 1, 2, 4, 8

PUBLISH = struct.Struct("<IBBHIIQIBBBBQ")
SETTLE = struct.Struct("<IBBHIIQ")
CREDIT = struct.Struct("<IBBHIIQ")
JSON = struct.Struct("<IBBHII")
GET = struct.Struct("<IBBHIIII")
DELIVER = struct.Struct("<IBBHIIIBBHII")
WATERMARK = struct.Struct("<IBBHQQ")
REFUSED = struct.Struct("<IBBHIIQ")


class Deliver(NamedTuple):
    """A DELIVER record."""

    consumer: int
    queue_id: int
    redelivered: bool
    delivery_count: int
    exchange: bytes
    routing_key: bytes
    properties: bytes
    body: bytes
    record_bytes: int
    offset: int | None = None


class GetOk(NamedTuple):
    """A GET_OK record."""

    request_id: int
    queue_id: int
    redelivered: bool
    message_count: int
    body: bytes


class GetEmpty(NamedTuple):
    """A GET_EMPTY record."""

    request_id: int
    gone: bool


class Json(NamedTuple):
    """A RESPONSE or an EVENT."""

    kind: str
    request_id: int
    document: dict[str, Any]


class Watermark(NamedTuple):
    """A WATERMARK record."""

    processed: int
    durable: int


class Refused(NamedTuple):
    """A REFUSED record."""

    channel: int
    publish_sequence: int


def padded(raw: bytes) -> bytes:
    return raw + bytes(-len(raw) % 8)


def publish(
    queue_ids: int | list[int],
    body: bytes = b"body",
    *,
    exchange: bytes = b"",
    routing_key: bytes = b"key",
    properties: bytes = b"\0\0",
    channel: int = 1,
    persistent: bool = False,
    sequence: int = 0,
    priority: int = 0,
    ttl_ms: int = NO_TTL,
    not_before_ms: int | None = None,
    died: bool = False,
) -> bytes:
    ids = [queue_ids] if isinstance(queue_ids, int) else queue_ids
    delay = b"" if not_before_ms is None else struct.pack("<Q", not_before_ms)
    rest = delay + padded(struct.pack(f"<{len(ids)}I", *ids)) + padded(exchange + routing_key + properties + body)
    flags = (PERSISTENT if persistent else 0) | (CONFIRM if sequence else 0) | (DELAYED if delay else 0)
    flags |= DIED if died else 0
    return PUBLISH.pack(
        PUBLISH.size + len(rest), 1, flags, len(ids), channel, len(properties), sequence, len(body), len(exchange),
        len(routing_key), priority, 0, ttl_ms,
    ) + rest


def settle(channel: int, sequence: int, outcome: int = ACK, *, multiple: bool = False) -> bytes:
    return SETTLE.pack(SETTLE.size, 2, int(multiple), outcome, channel, 0, sequence)


def credit(connection: int, delivered_bytes: int) -> bytes:
    return CREDIT.pack(CREDIT.size, 3, 0, 0, connection, 0, delivered_bytes)


def json_record(kind: int, request_id: int, document: dict[str, Any]) -> bytes:
    raw = orjson.dumps(document)
    rest = padded(raw)
    return JSON.pack(JSON.size + len(rest), kind, 0, 0, request_id, len(raw)) + rest


def request(request_id: int, **document: Any) -> bytes:
    return json_record(4, request_id, document)


def get(request_id: int, *, queue_id: int, channel: int = 1, connection: int = 1, no_ack: bool = True) -> bytes:
    return GET.pack(GET.size, 7, int(no_ack), 0, request_id, queue_id, channel, connection)


def event(**document: Any) -> bytes:
    return json_record(6, 0, document)


def split(batch: bytes) -> list[bytes]:
    """The records of a batch as they are."""
    records = []
    offset = 0
    while offset < len(batch):
        (record_bytes,) = struct.unpack_from("<I", batch, offset)
        assert record_bytes % 8 == 0 and 8 <= record_bytes <= len(batch) - offset
        records.append(batch[offset : offset + record_bytes])
        offset += record_bytes
    return records


def parse(batch: bytes) -> list[Any]:
    """The records of a batch to a gateway."""
    return [_parse(record[4], record) for record in split(batch)]


def _parse(kind: int, raw: bytes) -> Any:
    if kind in (16, 17):
        (_, _, flags, delivery_count, consumer, properties_bytes, body_bytes, exchange_bytes, key_bytes, offset_high,
         message_count, queue_id) = DELIVER.unpack_from(raw)
        fields = []
        start = DELIVER.size
        for size in (exchange_bytes, key_bytes, properties_bytes, body_bytes):
            fields.append(raw[start : start + size])
            start += size
        assert not any(raw[start:])
        if kind == 17:
            return GetOk(consumer, queue_id, bool(flags & 1), message_count, fields[3])
        offset = message_count | offset_high << 32 if flags & 2 else None
        return Deliver(consumer, queue_id, bool(flags & 1), delivery_count, *fields, len(raw), offset)
    if kind == 18:
        return Watermark(*WATERMARK.unpack(raw)[4:])
    if kind == 19:
        _, _, _, _, channel, _, sequence = REFUSED.unpack(raw)
        return Refused(channel, sequence)
    if kind == 20:
        assert len(raw) == 16
        return GetEmpty(struct.unpack_from("<I", raw, 8)[0], bool(raw[5]))
    assert kind in (5, 6)
    *_, request_id, json_bytes = JSON.unpack_from(raw)
    document = orjson.loads(raw[JSON.size : JSON.size + json_bytes])
    return Json("response" if kind == 5 else "event", request_id, document)
