"""What a queue with features notes of deliveries, and what becomes of those that come back. See returning.pyx."""
from libc.stdint cimport uint32_t

from log.store cimport Entry
from shards.engine.state cimport EngineState, Queue


cdef int note_delivery(EngineState engine, Queue *queue, Entry *entry) except -1
cdef int give_back(EngineState engine, Queue *queue, Entry *entry, bint failed) except -1
cdef void recover_failures(Entry *entry) noexcept
cdef uint32_t failures_of(const Entry *entry) noexcept
