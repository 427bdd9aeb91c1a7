"""From records of shards to frames for clients. See deliveries.pyx."""
from libc.stdint cimport uint8_t, uint32_t

from bus.records cimport DeliverRecord
from gateway.core.state cimport ChannelState, GatewayState


cdef int deliver(GatewayState gateway, uint32_t shard, const DeliverRecord *record) except -1
cdef int deliver_got(ChannelState channel, uint32_t shard, const DeliverRecord *record, bint no_ack) except -1
cdef int deliver_nothing(ChannelState channel) except -1
cdef int return_credits(GatewayState gateway) except -1
