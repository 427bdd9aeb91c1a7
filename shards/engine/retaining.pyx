# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Streams as a place where messages stay: appended at the end, given to readers once they are on the disk, dropped
at the front by age and by size.

Retention asks nobody what has been read. It never drops the last message: the number of the next one, and with it
the offset, is known after a restart from what is in the log. Messages are acknowledged in the store
when they are dropped, and only then.
"""
from libc.stdint cimport uint64_t

from log.formats cimport IndexEntry, time_after
from log.store cimport Entry, Message
from shards.engine.features cimport UNLIMITED
from shards.engine.state cimport EngineState, Queue, touch, wake
from shards.engine.stream cimport (
    Stream, drop_slot, fill_from_slot, mark_appended, mark_durable, push_slot, slot_at,
)
from shards.engine.timers cimport lower_timer

cdef enum:
    DROPPED_AT_ONCE_MAX = 16384     # the rest has its turn soon


# -- coming

cdef int append_to_stream(EngineState engine, Queue *queue, const Entry *entry, const Message *message) except -1:
    """A message that was stored just now. Readers get it when it is on the disk."""
    cdef Stream *stream = queue.features.stream
    cdef const IndexEntry *index = engine.store.index_of(entry)
    push_slot(stream, entry, index.record_bytes)
    mark_appended(stream, engine.store.appended_position, engine.store.ticket_position)
    if not stream.unsynced:
        stream.unsynced = True
        stream.unsynced_next = engine.unsynced
        engine.unsynced = queue
    if stream.size_bytes > stream.bytes_max or stream.age_ms_max != UNLIMITED:
        retain(engine, queue)
    return 0


cdef int load_into_stream(EngineState engine, Queue *queue, const Entry *entry) except -1:
    """A message that recovery has found: it is on the disk."""
    cdef const IndexEntry *index = engine.store.index_of(entry)
    return push_slot(queue.features.stream, entry, 0 if index == NULL else index.record_bytes)


cdef int loaded(EngineState engine, Queue *queue) except -1:
    """All of them are there; the log may have known later ones that are damaged now."""
    cdef Stream *stream = queue.features.stream
    stream.end = max(stream.end, queue.next_number - 1)
    stream.durable_end = stream.end
    return retain(engine, queue)


cdef int durable_up_to(EngineState engine, uint64_t position) except -1:
    """Everything up to this position of the log is on the disk: readers that waited for it go on."""
    cdef Queue *queue = engine.unsynced
    cdef Queue *following
    cdef Stream *stream
    engine.unsynced = NULL
    while queue != NULL:
        stream = queue.features.stream
        following = <Queue *> stream.unsynced_next
        if mark_durable(stream, position) and queue.levels != NULL:
            wake(engine, &queue.levels.caught_up)
            if queue.open != NULL:
                touch(engine, queue)
        if stream.mark_count:
            stream.unsynced_next = engine.unsynced
            engine.unsynced = queue
        else:
            stream.unsynced = False
        queue = following
    return 0


# -- going

cdef int drop_first_message(EngineState engine, Stream *stream) except -1:
    cdef uint64_t offset = stream.first
    cdef Entry entry
    fill_from_slot(&entry, offset, slot_at(stream, offset))
    drop_slot(stream, offset)
    return engine.store.acked(&entry)


cdef uint64_t head_received_at(EngineState engine, Stream *stream) except? 0:
    """When the first message came; one that cannot be read is older than all."""
    cdef Entry entry
    cdef Message message
    if stream.head_received_at_ms == 0:
        fill_from_slot(&entry, stream.first, slot_at(stream, stream.first))
        stream.head_received_at_ms = message.received_at_ms if engine.store.read(&entry, &message) else 1
    return stream.head_received_at_ms


cdef int retain(EngineState engine, Queue *queue) except -1:
    """Drops what is too much and what is too old, and has the queue looked at when the next is."""
    cdef Stream *stream = queue.features.stream
    cdef uint64_t budget = DROPPED_AT_ONCE_MAX
    cdef uint64_t old_at_ms
    while stream.count > 1:
        if stream.size_bytes <= stream.bytes_max:
            if stream.age_ms_max == UNLIMITED:
                return 0
            old_at_ms = time_after(head_received_at(engine, stream), stream.age_ms_max)
            if old_at_ms > engine.now_ms:
                return lower_timer(engine, queue, old_at_ms)
        if budget == 0:
            return lower_timer(engine, queue, engine.now_ms)
        budget -= 1
        drop_first_message(engine, stream)
    return 0


cdef uint64_t drop_stream(EngineState engine, Queue *queue) except? 0:
    """The queue goes, and all its messages; returns how many that were."""
    cdef Stream *stream = queue.features.stream
    cdef Stream *before
    cdef uint64_t count = stream.count
    cdef Queue *other
    while stream.count:
        drop_first_message(engine, stream)
    if stream.unsynced:
        if engine.unsynced == queue:
            engine.unsynced = <Queue *> stream.unsynced_next
        else:
            other = engine.unsynced
            while <Queue *> other.features.stream.unsynced_next != queue:
                other = <Queue *> other.features.stream.unsynced_next
            other.features.stream.unsynced_next = stream.unsynced_next
        stream.unsynced = False
    return count
