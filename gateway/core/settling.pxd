"""basic.ack, basic.nack and basic.reject. See settling.pyx."""
from libc.stdint cimport uint8_t, uint16_t, uint64_t

from gateway.core.state cimport ChannelState


cdef int settle(ChannelState channel, const uint8_t *payload, size_t n) except -1
cdef int commit_settles(ChannelState channel) except -1
cdef int requeue_all(ChannelState channel) except -1
