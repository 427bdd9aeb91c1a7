# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What shards/browsing.py asks of a queue, a slice at a time: looking at messages changes nothing of them.

A slice has a limit of messages and one of bytes that are looked through, so the shard goes on in between. Texts are
searched here, before anything of a message becomes an object; what else is asked for is left to Python.
"""
from typing import NamedTuple

import numpy as np

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc

from log.formats cimport ENTRY_EXPIRES, NO_TTL
from log.store cimport Message, body_of
from shards.engine.picking cimport (
    STATE_DELAYED, STATE_READY, STATE_UNACKED, Picked, Selection, select_messages, take_out,
)

cdef extern from "string.h":
    void *memmem(const void *haystack, size_t haystack_bytes, const void *needle, size_t needle_bytes) nogil

READY = STATE_READY
UNACKED = STATE_UNACKED
DELAYED = STATE_DELAYED


class Browsed(NamedTuple):
    """A message as it is shown; `payload` is the start of the body, `payload_bytes` the size of all of it."""

    position: int
    state: int
    delivery_count: int
    priority: int
    persistent: bool
    received_at_ms: int | None
    expires_at_ms: int | None
    ready_at_ms: int | None
    exchange: bytes
    routing_key: bytes
    properties: bytes
    payload: bytes
    payload_bytes: int


cdef Picked *room_for(uint32_t count) except NULL:
    cdef Picked *items = <Picked *> malloc(max(1, count) * sizeof(Picked))
    if items == NULL:
        raise MemoryError()
    return items


cdef object after(const Selection *selection):
    """Where a slice goes on: behind the last position of a full selection; None where there is nothing behind it."""
    if selection.count < selection.capacity:
        return None
    return selection.items[selection.count - 1].entry.number + 1


cdef tuple positions_of(EngineState engine, Queue *queue, uint64_t first, uint64_t last, uint32_t states,
                        uint32_t count_max):
    """(positions, where to go on or None)"""
    cdef Selection selection
    cdef uint32_t i
    selection.capacity = max(1, count_max)
    selection.items = room_for(selection.capacity)
    try:
        select_messages(engine, queue, first, last, states, &selection)
        return [selection.items[i].entry.number for i in range(selection.count)], after(&selection)
    finally:
        free(selection.items)


cdef bint holds_all(const uint8_t *text, size_t n, tuple needles):
    for needle in needles:
        if memmem(text, n, <const char *> <bytes> needle, len(<bytes> needle)) == NULL:
            return False
    return True


cdef bint found(const Message *message, tuple texts, tuple properties_texts):
    """Whether each text is in the routing key, in the properties or in the body; some have to be in the properties."""
    cdef const uint8_t *routing_key = message.content + message.exchange_bytes
    cdef const uint8_t *properties = routing_key + message.routing_key_bytes
    cdef const uint8_t *body = body_of(message)
    if not holds_all(properties, message.properties_bytes, properties_texts):
        return False
    for text in texts:
        one = (text,)
        if not (
            holds_all(routing_key, message.routing_key_bytes, one) or holds_all(properties, message.properties_bytes, one)
            or holds_all(body, message.body_bytes, one)
        ):
            return False
    return True


cdef object shown(EngineState engine, const Picked *picked, const Message *message, uint32_t payload_bytes_max):
    cdef const char *content = <const char *> message.content
    cdef size_t key = message.exchange_bytes
    cdef size_t properties = key + message.routing_key_bytes
    cdef size_t body_shown = min(message.body_bytes, payload_bytes_max)
    cdef uint64_t expires_at_ms = NO_TTL
    if picked.entry.flags & ENTRY_EXPIRES:
        expires_at_ms = engine.store.expires_at(&picked.entry)
    return Browsed(
        picked.entry.number, picked.state, picked.entry.delivery_count, picked.entry.priority,
        bool(message.persistent), None if message.delayed else message.received_at_ms,
        None if expires_at_ms == NO_TTL else expires_at_ms,
        picked.ready_at_ms if picked.state == STATE_DELAYED else None,
        content[:key], content[key:properties], content[properties:properties + message.properties_bytes],
        (<const char *> body_of(message))[:body_shown],
        message.body_bytes,
    )


cdef tuple browse(EngineState engine, Queue *queue, uint64_t first, uint64_t last, uint32_t states, uint32_t count_max,
                  uint64_t bytes_max, uint32_t payload_bytes_max, tuple texts, tuple properties_texts):
    """(messages, where to go on or None): of up to `count_max` messages those that hold the texts.

    It ends early behind the message with which it has looked at `bytes_max`. Damaged messages are left out.
    """
    cdef Selection selection
    cdef Message message
    cdef uint64_t size_bytes = 0
    cdef uint32_t i
    cdef list messages = []
    selection.capacity = max(1, count_max)
    selection.items = room_for(selection.capacity)
    try:
        select_messages(engine, queue, first, last, states, &selection)
        for i in range(selection.count):
            if not engine.store.read(&selection.items[i].entry, &message):
                continue
            size_bytes += message.content_bytes
            if found(&message, texts, properties_texts):
                messages.append(shown(engine, &selection.items[i], &message, payload_bytes_max))
            if size_bytes >= bytes_max and i + 1 < selection.count:
                return messages, selection.items[i].entry.number + 1
        return messages, after(&selection)
    finally:
        free(selection.items)


cdef object delete_at(EngineState engine, Queue *queue, positions):
    """Takes ready and delayed messages out for good, nothing of them dies; returns how many there were."""
    cdef const uint64_t[::1] ascending = np.unique(np.asarray(positions, np.uint64))
    cdef uint32_t count = <uint32_t> ascending.shape[0], i
    cdef Picked *taken
    if count == 0:
        return 0
    taken = room_for(count)
    try:
        count = take_out(engine, queue, &ascending[0], count, taken)
        for i in range(count):
            engine.store.acked(&taken[i].entry)
        return count
    finally:
        free(taken)
