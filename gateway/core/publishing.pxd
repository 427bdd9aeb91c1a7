"""From a whole publish to records for shards. See publishing.pyx."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from amqp091.scanner cimport ContentHeader, Publish
from gateway.core.state cimport ChannelState


cdef int publish(
    ChannelState channel, const Publish *method, const ContentHeader *header, const uint8_t *body) except -1
cdef int refuse_publish(ChannelState channel, uint64_t number) except -1
