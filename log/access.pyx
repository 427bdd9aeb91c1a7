# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The store for callers in Python: tests and tools. The engine uses log/store.pxd directly.

Entries are numpy arrays of ENTRY_DTYPE, one element per entry.
"""
from typing import NamedTuple

import numpy as np

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

cimport log.formats as formats
from log.formats cimport NO_TTL as C_NO_TTL
from log.formats cimport FileHeader, IndexEntry, RecordQueue, Seal, StoredRecord
from log.segment cimport ROOM_START, Segment
from log.store cimport Entry, Message, Store, body_of, head_bytes_of

from log.formats import ENTRY_DTYPE


class StoredMessage(NamedTuple):
    """A message as `append` takes and `read` gives it."""

    exchange: bytes
    routing_key: bytes
    properties: bytes
    body: bytes
    priority: int = 0
    persistent: bool = True
    ttl_ms: int = C_NO_TTL
    received_at_ms: int = 0
    delayed: bool = False
    died: bool = False


def append(Store store not None, bint durable, message, queue_ids, numbers, attributes=None):
    """Appends one message for one or more queues; returns their entries. `attributes`: see log/formats.py."""
    cdef bytes content = message.exchange + message.routing_key + message.properties + message.body
    cdef const uint32_t[::1] ids = np.ascontiguousarray(queue_ids, np.uint32)
    cdef const uint64_t[::1] entry_numbers = np.ascontiguousarray(numbers, np.uint64)
    cdef const uint32_t[::1] queue_attributes
    cdef uint8_t[::1] entries
    cdef Message m
    if ids.shape[0] == 0 or ids.shape[0] != entry_numbers.shape[0]:
        raise ValueError("one number per queue is needed, and a queue at least")
    m.content = <const uint8_t *> <char *> content
    m.content_bytes = len(content)
    m.properties_bytes = len(message.properties)
    m.body_bytes = len(message.body)
    m.exchange_bytes = len(message.exchange)
    m.routing_key_bytes = len(message.routing_key)
    m.priority = message.priority
    m.persistent = message.persistent
    m.delayed = message.delayed
    m.died = message.died
    m.handed_over = False
    m.ttl_ms = message.ttl_ms
    m.received_at_ms = message.received_at_ms
    m.apart = NULL
    m.room = NULL
    result = np.zeros(ids.shape[0], ENTRY_DTYPE)
    entries = result.view(np.uint8)
    queue_attributes = np.zeros(len(ids), np.uint32) if attributes is None else np.ascontiguousarray(attributes, np.uint32)
    if queue_attributes.shape[0] != ids.shape[0]:
        raise ValueError("one attribute per queue is needed")
    store.append(
        durable, &m, &ids[0], &entry_numbers[0], &queue_attributes[0], <uint32_t> ids.shape[0], <Entry *> &entries[0])
    return result


cdef Entry one(entry) except *:
    cdef const uint8_t[::1] raw = np.ascontiguousarray(np.atleast_1d(entry)).view(np.uint8)
    if <size_t> raw.shape[0] < sizeof(Entry):
        raise ValueError("no entry")
    return (<const Entry *> &raw[0])[0]


def read(Store store not None, entry):
    """The message of an entry, None where it is damaged."""
    cdef Entry e = one(entry)
    cdef Message m
    if not store.read(&e, &m):
        return None
    content = (
        <bytes> (<const char *> m.content)[:head_bytes_of(&m)] + <bytes> (<const char *> body_of(&m))[:m.body_bytes])
    exchange_end = <Py_ssize_t> m.exchange_bytes
    key_end = exchange_end + m.routing_key_bytes
    properties_end = key_end + m.properties_bytes
    return StoredMessage(
        content[:exchange_end], content[exchange_end:key_end], content[key_end:properties_end],
        content[properties_end:], m.priority, bool(m.persistent), m.ttl_ms, m.received_at_ms, bool(m.delayed),
        bool(m.died),
    )


def open_room(Store store not None, uint64_t body_bytes=0):
    """A segment that begins with room for bodies of this size, None where memory is short."""
    return store.open_room(body_bytes)


def close_room(Store store not None, Segment segment not None, bint spoiled=False) -> None:
    store.close_room(segment, spoiled)


def append_apart(Store store not None, bint durable, message, queue_ids, numbers, Segment room not None,
                 uint64_t position):
    """Appends a message whose body (of which `message` has a copy, for its size alone) lies in a room."""
    cdef bytes content = message.exchange + message.routing_key + message.properties
    cdef const uint32_t[::1] ids = np.ascontiguousarray(queue_ids, np.uint32)
    cdef const uint64_t[::1] entry_numbers = np.ascontiguousarray(numbers, np.uint64)
    cdef uint8_t[::1] entries
    cdef Message m
    cdef uint64_t end = ROOM_START + room.room_bytes
    if ids.shape[0] == 0 or ids.shape[0] != entry_numbers.shape[0]:
        raise ValueError("one number per queue is needed, and a queue at least")
    if not ROOM_START <= position <= end or <uint64_t> len(message.body) > end - position:
        raise ValueError("the room ends before")
    memset(&m, 0, sizeof(Message))
    m.content = <const uint8_t *> <char *> content
    m.content_bytes = len(content) + len(message.body)
    m.properties_bytes = len(message.properties)
    m.body_bytes = len(message.body)
    m.exchange_bytes = len(message.exchange)
    m.routing_key_bytes = len(message.routing_key)
    m.priority = message.priority
    m.persistent = message.persistent
    m.ttl_ms = message.ttl_ms
    m.received_at_ms = message.received_at_ms
    m.apart = room.data + position
    m.room = <void *> room
    result = np.zeros(ids.shape[0], ENTRY_DTYPE)
    entries = result.view(np.uint8)
    store.append(durable, &m, &ids[0], &entry_numbers[0], NULL, <uint32_t> ids.shape[0], <Entry *> &entries[0])
    return result


def expires_at(Store store not None, entry):
    """When an entry with a TTL expires (ms); None: never."""
    cdef Entry e = one(entry)
    at_ms = store.expires_at(&e)
    return None if at_ms == C_NO_TTL else at_ms


def not_before(Store store not None, entry):
    """When a delayed entry is ready (ms)."""
    cdef Entry e = one(entry)
    return store.not_before(&e)


def delivered(Store store not None, entry, int delivery_count) -> None:
    cdef Entry e = one(entry)
    store.delivered(&e, <uint8_t> min(delivery_count, 255))


def acked(Store store not None, entry) -> None:
    cdef Entry e = one(entry)
    store.acked(&e)


def append_many(Store store not None, bint durable, bytes content not None, uint32_t queue_id, uint64_t first_number,
                uint32_t count):
    """Appends `count` messages with one body to one queue: for benches."""
    cdef Message m
    cdef uint8_t[::1] raw
    cdef Entry *entries
    cdef uint32_t i
    cdef uint64_t number
    result = np.zeros(count, ENTRY_DTYPE)
    if count == 0:
        return result
    raw = result.view(np.uint8)
    entries = <Entry *> &raw[0]
    m.content = <const uint8_t *> <char *> content
    m.content_bytes = len(content)
    m.properties_bytes = 0
    m.body_bytes = len(content)
    m.exchange_bytes = m.routing_key_bytes = m.priority = 0
    m.persistent = durable
    m.delayed = m.died = m.handed_over = False
    m.ttl_ms = C_NO_TTL
    m.received_at_ms = 1
    m.apart = NULL
    m.room = NULL
    for i in range(count):
        number = first_number + i
        store.append(durable, &m, &queue_id, &number, NULL, 1, entries + i)
    return result


def read_many(Store store not None, entries) -> int:
    """Reads all entries and returns the sum of their body sizes: for benches."""
    cdef const uint8_t[::1] raw = np.ascontiguousarray(entries).view(np.uint8)
    cdef Py_ssize_t i
    cdef uint64_t total = 0
    cdef Message m
    for i in range(len(entries)):
        if store.read((<const Entry *> &raw[0]) + i, &m):
            total += m.body_bytes
    return total


def ack_many(Store store not None, entries) -> None:
    """Acknowledges all entries: for benches."""
    cdef const uint8_t[::1] raw = np.ascontiguousarray(entries).view(np.uint8)
    cdef Py_ssize_t i
    for i in range(len(entries)):
        store.acked((<const Entry *> &raw[0]) + i)


ROOM_FIRST_BYTE = ROOM_START


def structure_sizes() -> dict:
    """Sizes of the packed structures, for the test that compares them with log/formats.py."""
    return {
        "FileHeader": sizeof(FileHeader), "Seal": sizeof(Seal), "StoredRecord": sizeof(StoredRecord),
        "RecordQueue": sizeof(RecordQueue), "IndexEntry": sizeof(IndexEntry), "Entry": sizeof(Entry),
    }


def constants() -> dict:
    """Constants of log/formats.pxd, for the test that compares them with log/formats.py."""
    return {
        "FORMAT_VERSION": formats.FORMAT_VERSION, "HEADER_BYTES": formats.HEADER_BYTES,
        "SEAL_OFFSET": formats.SEAL_OFFSET, "SEAL_MAGIC": formats.SEAL_MAGIC,
        "SEGMENT_DURABLE": formats.SEGMENT_DURABLE, "RECORD_MESSAGE": formats.RECORD_MESSAGE,
        "RECORD_PERSISTENT": formats.RECORD_PERSISTENT, "RECORD_COPIED": formats.RECORD_COPIED,
        "RECORD_ROOM": formats.RECORD_ROOM, "RECORD_APART": formats.RECORD_APART,
        "INDEX_COPIED": formats.INDEX_COPIED, "DELIVERY_COUNT_MAX": formats.DELIVERY_COUNT_MAX,
        "MOVED": formats.MOVED, "ACKNOWLEDGED": formats.ACKNOWLEDGED, "RECORD_BYTES_MAX": formats.RECORD_BYTES_MAX, "NO_TTL": C_NO_TTL,
    }
