"""How messages come into a stream, when readers may have them, and when they go. See retaining.pyx."""
from libc.stdint cimport uint64_t

from log.store cimport Entry, Message
from shards.engine.state cimport EngineState, Queue


cdef int append_to_stream(EngineState engine, Queue *queue, const Entry *entry, const Message *message) except -1
cdef int load_into_stream(EngineState engine, Queue *queue, const Entry *entry) except -1
cdef int loaded(EngineState engine, Queue *queue) except -1
cdef int durable_up_to(EngineState engine, uint64_t position) except -1
cdef int retain(EngineState engine, Queue *queue) except -1
cdef uint64_t drop_stream(EngineState engine, Queue *queue) except? 0
