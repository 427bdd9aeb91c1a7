"""Checking deliveries against the routing plan. See verifier.pyx."""
from libc.stdint cimport int32_t, uint32_t, uint64_t

from bench.perf.core.arrivals cimport Stream
from bench.perf.core.board cimport Board
from bench.perf.core.template cimport Stamp

cdef enum:
    SEQUENCE_BITS_MAX = 48              # a sequence number beyond is none of ours


cdef class Verifier:
    cdef Board board
    cdef bint any_run
    cdef uint32_t run
    cdef readonly uint32_t producers
    cdef readonly uint32_t queues       # of this worker
    cdef uint32_t all_queues
    cdef uint32_t keys                  # 0: the default exchange, the key is the queue
    cdef uint32_t *queue_numbers        # [queue]: its number among all
    cdef int32_t *ranks                 # [queue][key]: its rank among the keys bound to the queue; -1: not bound
    cdef uint32_t *shares               # [queue]: how many keys are bound to it
    cdef Stream *streams                # [queue][producer]
    cdef uint64_t window_memory

    cdef void start_stream(self, uint32_t queue, uint32_t producer) noexcept
    cdef bint number_of(self, uint32_t queue, const Stamp *stamp, uint64_t *number) noexcept
    # `last` is one above the highest sequence number of that producer that this consumer has had from that queue.
    cdef int check(self, uint32_t queue, const Stamp *stamp, bint redelivered, uint64_t *last) except -1
