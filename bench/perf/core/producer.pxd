"""A connection that publishes. See producer.pyx."""
from libc.stdint cimport uint32_t, uint64_t

from bench.perf.core.connection cimport Connection
from bench.perf.core.template cimport Template


cdef class Producer(Connection):
    cdef Template template
    cdef readonly uint32_t number       # of the producer, as stamped
    cdef uint32_t *keys                 # [slot]: used in turn
    cdef uint32_t *copies               # [slot]: queues that a message with that key goes to
    cdef uint32_t slots, slot
    cdef readonly uint64_t sequence     # messages published
    cdef uint64_t quota
    cdef uint64_t started_ns            # from when the rate counts
    cdef uint64_t offset_ns             # so that producers do not publish at the same moment
    cdef double period_ns               # between two messages; 0: no rate
    cdef bint stalled                   # the broker, not the rate, holds the next message up
    cdef readonly bint blocked
    cdef uint64_t blocked_since_ns
    cdef bint flow_stopped
    cdef bint sync_sent, sync_answered
    cdef readonly bint done
    # confirms: times[tag & mask] is when the message was published, 0: answered
    cdef uint64_t window                # 0: no confirms
    cdef uint64_t *times
    cdef uint64_t mask
    cdef uint64_t lowest                # the lowest tag that is not answered
    cdef readonly uint64_t outstanding

    cdef uint64_t scheduled_ns(self) noexcept
    cdef bint held_up(self) noexcept
    cdef int publish(self, uint64_t time_ns) except -1
    cdef void block(self, bint blocked, uint64_t now_ns) noexcept
    cdef int confirm(self, uint64_t tag, bint multiple, bint refused, uint64_t now_ns) except -1
    cdef void answered(self, uint64_t tag, bint refused, uint64_t now_ns) noexcept
    cdef void check_done(self) noexcept
