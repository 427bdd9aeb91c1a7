# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Waiting awake for the answer of a peer that has just been woken, and when that is not worth it.

A process that rings a bell and sleeps is woken by the answer: the peer writes to an eventfd, the kernel chooses a core,
the event loop makes a round. Where one message is on its way at a time that is a third of what it costs. Worse, at
that moment two processes want to run, so the kernel spreads them over cores that were just used and takes 35 to 50 us
for each wake-up between them. So the process gives its core away instead (sched_yield). Where the peer was put on the
same core it runs at once, and its answer lies there when the call returns. Elsewhere the call returns immediately, and
the answer is seen a moment before the bell would have been heard. The core is never kept from anybody who could use it.

Who calls waits for a message or a few only: where there are many, the next input is near, and what counts is the core.
What is not worth it: an answer that takes its time, as one that waits for the disk, and a core that others use up, as
who steps aside comes last then and a sleeper would have been woken. Both show as waits without an answer in time. Each
makes the next pause four times as long, each answer in time halves it: up to one failure in three is borne.
"""
from libc.stdint cimport uint32_t, uint64_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

cdef extern from "<sched.h>" nogil:
    int sched_yield()

WAIT_NS = LINGER_NS
LATE_NS = LINGER_LATE_NS
PAUSE_MAX = LINGER_PAUSE_MAX


cdef class Linger:
    """The waits of one process. `due`, and where it is, `step_aside` until there is an answer, then `ended`."""

    cpdef bint due(self):
        """A peer was woken: is its answer waited for? Tells of each wake-up once."""
        if self._passed_over:
            self._passed_over -= 1
            return False
        return True

    cpdef int step_aside(self) except -1:
        """Whoever can use this core has it now."""
        with nogil:
            sched_yield()
        return 0

    cpdef int ended(self, bint answered, uint64_t waited_ns) except -1:
        """How the wait went that was due."""
        if answered and waited_ns < LINGER_LATE_NS:
            self._pause //= 2
        else:
            self._pause = min(4 * self._pause + 2, <uint32_t> LINGER_PAUSE_MAX)
            self._passed_over = self._pause
        return 0


cdef uint64_t monotonic_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <uint64_t> now.tv_sec * 1000000000 + <uint64_t> now.tv_nsec
