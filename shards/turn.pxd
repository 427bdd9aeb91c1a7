"""The part of a shard's turn that runs for every batch. See turn.pyx."""
from libc.stdint cimport uint32_t, uint64_t

from log.store cimport Store
from shards.engine.state cimport EngineState


cdef class ShardTurn:
    cdef readonly EngineState engine
    cdef readonly Store store
    cdef readonly object requests
    cdef readonly object relay
    cdef public object links
    cdef public object commit
    cdef public object alarm
    cdef readonly object _clock_ms
    cdef readonly object _report_broken
    cdef uint32_t _first_shard
    cdef readonly dict _ends            # link ends by sender
    cdef readonly dict _watermarks      # Watermark by sender
    cdef readonly set _broken           # links that carried nonsense
    cdef bint _alarm_set

    cdef int receive(self, uint32_t sender, view) except -1
    cdef int apply(self, uint32_t sender, view) except -1
    cdef int flush(self, uint64_t minimum_bytes) except -1
