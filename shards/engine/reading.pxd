"""Consumers of streams: from where they read, and how messages reach them. See reading.pyx."""
from libc.stdint cimport uint64_t

from shards.engine.state cimport Consumer, EngineState, Queue


cdef uint64_t start_offset(EngineState engine, Queue *queue, int start, uint64_t number) except? 0
cdef uint64_t messages_ahead(const Consumer *consumer) noexcept
cdef int dispatch_stream(EngineState engine, Queue *queue) except -1
