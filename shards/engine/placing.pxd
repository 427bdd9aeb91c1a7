"""How messages enter a queue with features, come back to it, and leave it by time or limit. See placing.pyx."""
from libc.stdint cimport uint64_t

from log.store cimport Entry, Message
from shards.engine.features cimport Features
from shards.engine.state cimport EngineState, Queue

cdef enum:
    # answers of admit
    ADMITTED = 0
    REFUSED = 1                     # the publisher hears of it
    IGNORED = 2                     # counts as taken


cdef Features *features_for(EngineState engine, Queue *queue) except NULL
cdef uint64_t stored_body_bytes(EngineState engine, const Entry *entry) except? 0
cdef int admit(EngineState engine, Queue *queue, const Message *message) except -1
cdef int admit_dead(EngineState engine, Queue *queue, const Message *message) except -1
cdef bint is_full(const Queue *queue, const Message *message) noexcept
cdef bint takes_directly(const Queue *queue, const Message *message) noexcept
cdef int take_in(EngineState engine, Queue *queue, Entry *entry, const Message *message) except -1
cdef int take_in_dead(EngineState engine, Queue *queue, Entry *entry, const Message *message) except -1
cdef int take_back(EngineState engine, Queue *queue, Entry *entry) except -1
cdef int load_entry(EngineState engine, Queue *queue, const Entry *entry) except -1
cdef bint drop_expired(EngineState engine, Queue *queue) except -1
cdef int left_ready(EngineState engine, Queue *queue, uint64_t body_bytes) except -1
cdef int watch_head(EngineState engine, Queue *queue) except -1
cdef int enforce_limits(EngineState engine, Queue *queue) except -1
cdef int on_time(EngineState engine, Queue *queue) except -1
cdef uint64_t drop_all_ready(EngineState engine, Queue *queue) except? 0
cdef int now_unused(EngineState engine, Queue *queue) except -1
cdef int drop_delayed(EngineState engine, Queue *queue) except -1
cdef int count_bytes(EngineState engine, Queue *queue) except -1
