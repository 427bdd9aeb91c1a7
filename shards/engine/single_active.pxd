"""Queues of which one consumer is active at a time. See single_active.pyx."""
from libc.stdint cimport uint64_t

from shards.engine.state cimport Consumer, EngineState, Queue


cdef int joined(EngineState engine, Consumer *consumer, uint64_t arrival, bint was_active) except -1
cdef int left(EngineState engine, Queue *queue, const Consumer *consumer) except -1
cdef int faded(EngineState engine, Consumer *consumer) except -1
cdef int fill_place(EngineState engine, Queue *queue) except -1
