"""Output with bodies that lie elsewhere. See lent_output.pyx."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from bus.records cimport DeliverRecord
from gateway.core.state cimport ConnectionState, Consumer, GatewayState


cdef const uint8_t *find_lent(GatewayState gateway, uint32_t shard, const DeliverRecord *record) except? NULL
cdef int write_lent(
    ConnectionState connection, Consumer *consumer, uint64_t delivery_tag, bint redelivered,
    const uint8_t *exchange, uint8_t exchange_bytes, const uint8_t *routing_key, uint8_t routing_key_bytes,
    const uint8_t *properties, uint32_t properties_bytes, const uint8_t *body, uint32_t body_bytes) except -1
cdef int keep_lent(ConnectionState connection) except -1
cdef void drop_output(ConnectionState connection) noexcept
cdef size_t send_straight(ConnectionState connection, int descriptor) except? 0xFFFFFFFF
