"""Builds and reads the records of a link (bus/records.pxd), independently of the compiled code."""
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

PUBLISH, SETTLE, CREDIT, REQUEST, RESPONSE, EVENT, GET = 1, 2, 3, 4, 5, 6, 7
STREAM = 2
DELIVER, GET_OK, WATERMARK, REFUSED, GET_EMPTY = 16, 17, 18, 19, 20
ACK, REQUEUE, REJECT, REQUEUE_FAILED = 0, 1, 2, 3
PERSISTENT, CONFIRM, DELAYED, APART, ROOMLESS = 1, 2, 4, 16, 32
FLAGS = 5
NO_TTL = 0xFFFF_FFFF_FFFF_FFFF
NO_PROPERTIES = b"\x00\x00"


def padded(record: bytes) -> bytes:
    return record + bytes(-len(record) % 8)


def finished(record: bytes) -> bytes:
    """Pads, and writes the length into the first word."""
    whole = padded(record)
    return struct.pack("<I", len(whole)) + whole[4:]


def deliver(
    consumer: int, body: bytes = b"", *, exchange: bytes = b"", routing_key: bytes = b"",
    properties: bytes = NO_PROPERTIES, redelivered: bool = False, kind: int = DELIVER, message_count: int = 0,
    queue_id: int = 1, offset: int | None = None,
) -> bytes:
    flags = int(redelivered) | (0 if offset is None else STREAM)
    high, low = divmod(offset, 1 << 32) if offset is not None else (0, message_count)
    head = struct.pack(
        "<IBBHIIIBBHII", 0, kind, flags, int(redelivered), consumer, len(properties), len(body),
        len(exchange), len(routing_key), high, low, queue_id)
    return finished(head + exchange + routing_key + properties + body)


def get_ok(request_id: int, body: bytes = b"", *, message_count: int = 0, **fields: Any) -> bytes:
    return deliver(request_id, body, kind=GET_OK, message_count=message_count, **fields)


def get_empty(request_id: int, *, gone: bool = False) -> bytes:
    return struct.pack("<IBBHII", 16, GET_EMPTY, int(gone), 0, request_id, 0)


def watermark(processed: int, durable: int = 0) -> bytes:
    return struct.pack("<IBBHQQ", 24, WATERMARK, 0, 0, processed, durable)


def refused(channel: int, publish_sequence: int) -> bytes:
    return struct.pack("<IBBHIIQ", 24, REFUSED, 0, 0, channel, 0, publish_sequence)


def json_record(kind: int, request_id: int, document: Any) -> bytes:
    text = orjson.dumps(document)
    return finished(struct.pack("<IBBHII", 0, kind, 0, 0, request_id, len(text)) + text)


def response(request_id: int, document: Any) -> bytes:
    return json_record(RESPONSE, request_id, document)


def event(document: Any) -> bytes:
    return json_record(EVENT, 0, document)


@dataclass(frozen=True)
class Published:
    channel: int
    flags: int
    publish_sequence: int
    queues: tuple[int, ...]
    exchange: bytes
    routing_key: bytes
    properties: bytes
    body: bytes
    priority: int
    ttl_ms: int
    not_before_ms: int | None = None


@dataclass(frozen=True)
class Settled:
    channel: int
    outcome: int
    delivery_sequence: int
    multiple: bool


@dataclass(frozen=True)
class Credited:
    connection: int
    delivered_bytes: int


@dataclass(frozen=True)
class Document:
    kind: int
    request_id: int
    document: Any


@dataclass(frozen=True)
class Get:
    request_id: int
    queue_id: int
    channel: int
    connection: int
    no_ack: bool


def with_bodies(batch: bytes, body_at: Callable[[int, int, int], bytes]) -> bytes:
    """The batch as it would be without rooms: `body_at` is asked for bodies that lie apart, by file, place and size."""
    plain, position = b"", 0
    while position < len(batch):
        size, kind, flags = struct.unpack_from("<IBB", batch, position)
        record = batch[position:position + size]
        position += size
        if kind == PUBLISH and flags & APART:
            at = 40 + (8 if flags & DELAYED else 0)
            file, place = struct.unpack_from("<QQ", record, at)
            (body_bytes,) = struct.unpack_from("<I", record, 24)
            queues = (struct.unpack_from("<H", record, 6)[0] * 4 + 7) // 8 * 8
            names = struct.unpack_from("<BB", record, 28)
            end = at + 16 + queues + sum(names) + struct.unpack_from("<I", record, 12)[0]
            whole = bytearray(record[:at] + record[at + 16:end] + body_at(file, place, body_bytes))
            whole[FLAGS] &= ~APART
            record = finished(bytes(whole))
        plain += record
    return plain


def read(batch: bytes) -> list[Any]:
    """The records that the core wrote for a shard: Published, Settled, Credited, Get, Document."""
    records: list[Published | Settled | Credited | Get | Document] = []
    while batch:
        size, kind, flags, extra = struct.unpack_from("<IBBH", batch)
        assert size % 8 == 0 and 8 <= size <= len(batch)
        record, batch = batch[:size], batch[size:]
        if kind == PUBLISH:
            (channel, properties_bytes, sequence, body_bytes, exchange_bytes, key_bytes, priority, _, ttl_ms) = (
                struct.unpack_from("<IIQIBBBBQ", record, 8))
            at, not_before_ms = 40, None
            if flags & DELAYED:
                (not_before_ms,) = struct.unpack_from("<Q", record, at)
                at += 8
            queues = struct.unpack_from(f"<{extra}I", record, at)
            at += (extra * 4 + 7) // 8 * 8
            names = []
            for length in (exchange_bytes, key_bytes, properties_bytes, body_bytes):
                names.append(record[at : at + length])
                at += length
            exchange, routing_key, properties, body = names
            assert len(record) - at < 8 and not any(record[at:]), "padding is zero and shorter than 8"
            records.append(Published(
                channel, flags, sequence, queues, exchange, routing_key, properties, body, priority, ttl_ms,
                not_before_ms))
        elif kind == SETTLE:
            assert size == 24
            channel, _, sequence = struct.unpack_from("<IIQ", record, 8)
            records.append(Settled(channel, extra, sequence, bool(flags & 1)))
        elif kind == CREDIT:
            assert size == 24
            connection, _, delivered = struct.unpack_from("<IIQ", record, 8)
            records.append(Credited(connection, delivered))
        elif kind == GET:
            assert size == 24
            records.append(Get(*struct.unpack_from("<IIII", record, 8), bool(flags)))
        else:
            request_id, json_bytes = struct.unpack_from("<II", record, 8)
            records.append(Document(kind, request_id, orjson.loads(record[16 : 16 + json_bytes])))
    return records
