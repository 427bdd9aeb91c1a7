"""When a queue is to be looked at: a heap of queues by time. See timers.pyx."""
from libc.stdint cimport uint64_t

from shards.engine.state cimport EngineState, Queue


cdef int set_timer(EngineState engine, Queue *queue, uint64_t at_ms) except -1
cdef int lower_timer(EngineState engine, Queue *queue, uint64_t at_ms) except -1
cdef void clear_timer(EngineState engine, Queue *queue) noexcept
