"""Messages that a queue has had before are not taken again. See deduplication.pyx."""
from libc.stdint cimport uint32_t, uint64_t

from log.store cimport Entry, Message
from shards.engine.state cimport EngineState, Queue
from shards.engine.window cimport Window


cdef bint is_duplicate(EngineState engine, Window *window, const Message *message, bint had_before) except -1
cdef int remember(EngineState engine, Queue **queues, const Entry *entries, uint32_t count, bint durable) except -1
cdef uint64_t forget_old(EngineState engine, Window *window, uint64_t *budget) except? 0
cdef int forget_all(EngineState engine, Window *window) except -1
cdef int set_window(EngineState engine, Queue *queue, deduplication) except -1
cdef int load_window(EngineState engine, Queue *queue, const Entry *identifiers, size_t identifier_count,
                     const Entry *entries, size_t entry_count, uint64_t highest_number) except -1
