"""Writing the records that go to shards. See outgoing.pyx."""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from amqp091.scanner cimport ContentHeader, Publish
from bus.batch cimport Batch
from bus.records cimport LentBody
from gateway.core.routes cimport Route, RouteGroup
from gateway.core.state cimport GatewayState


# One message on its way to a shard, in pieces that are not copied yet.
cdef struct Outgoing:
    const Publish *publish
    const ContentHeader *header
    const uint8_t *body
    uint32_t body_bytes
    uint32_t channel            # handle
    uint64_t ttl_ms
    uint64_t publish_sequence   # 0 outside confirm mode
    uint64_t not_before_ms      # 0: ready at once
    # the same for delayed groups of the route; not set where it has none
    const ContentHeader *late_header
    uint64_t late_not_before_ms
    bint roomless               # its connection cannot read into rooms: the shard need not give any
    bint apart                  # the body stays where it is, in a room of the shard: `place` says where
    LentBody place


cdef size_t publish_record_bytes(const Outgoing *message, const RouteGroup *group) noexcept nogil
cdef void write_publish(uint8_t *out, const Outgoing *message, Route route, const RouteGroup *group) noexcept
cdef uint8_t *reserve_outgoing(GatewayState gateway, uint32_t shard, size_t n) except NULL
cdef int append_settle(
    GatewayState gateway, uint32_t shard, uint32_t channel, uint64_t sequence, uint16_t outcome, uint16_t flags) except -1
cdef int append_credit(GatewayState gateway, uint32_t shard, uint32_t connection, uint64_t delivered_bytes) except -1
cdef int append_get(
    GatewayState gateway, uint32_t shard, uint32_t request_id, uint32_t queue_id, uint32_t channel, uint32_t connection,
    bint no_ack) except -1
cdef int append_json(
    GatewayState gateway, uint32_t shard, uint8_t kind, uint32_t request_id, const uint8_t[::1] document) except -1


cdef inline const ContentHeader *header_for(const Outgoing *message, const RouteGroup *group) noexcept nogil:
    return message.late_header if group.delayed else message.header


cdef inline uint64_t not_before_for(const Outgoing *message, const RouteGroup *group) noexcept nogil:
    return message.late_not_before_ms if group.delayed else message.not_before_ms


cdef inline Batch batch_of(GatewayState gateway, uint32_t shard):
    return <Batch> gateway.batches[shard]
