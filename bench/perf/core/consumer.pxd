"""A connection that has deliveries. See consumer.pyx."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from bench.perf.core.connection cimport Connection
from bench.perf.core.verifier cimport Verifier


cdef class Consumer(Connection):
    cdef Verifier verifier              # None: nothing is checked
    cdef bytes start                    # basic.qos and basic.consume frames
    cdef uint32_t *queues               # [place]: number of the queue in the verifier
    cdef uint32_t places
    cdef uint32_t ack_every             # 0: the broker does not wait for any
    cdef uint32_t unacknowledged
    cdef uint64_t delivery_tag
    cdef uint32_t place
    cdef bint redelivered
    cdef uint64_t period_ns             # for one message, where it is not to take them faster; 0: no limit
    cdef uint64_t *last                 # [place][producer], see Verifier.check

    cdef uint32_t place_of(self, const uint8_t *tag, size_t n) except? 0xFFFFFFFF
    cdef int acknowledge(self) except -1
