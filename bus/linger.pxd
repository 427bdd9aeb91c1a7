"""Waiting awake for an answer. See linger.pyx."""
from libc.stdint cimport uint32_t, uint64_t


cdef enum:
    # As long as a peer takes to be woken on another core (35 to 50 us), to answer, and a little more.
    LINGER_NS = 100000
    # An answer after this was found by a process that had lost its core to others.
    LINGER_LATE_NS = 250000
    # Wake-ups for which nothing is waited for after failures; one wait in so many is what trying again costs.
    LINGER_PAUSE_MAX = 1023


cdef class Linger:
    cdef uint32_t _pause            # how many wake-ups the last failure passed over, less since
    cdef uint32_t _passed_over      # how many are still to be

    cpdef bint due(self)
    cpdef int step_aside(self) except -1
    cpdef int ended(self, bint answered, uint64_t waited_ns) except -1


cdef uint64_t monotonic_ns() noexcept nogil
