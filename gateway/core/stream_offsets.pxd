"""The offset of a message of a stream, as its consumers get it. See stream_offsets.pyx."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from bus.records cimport DeliverRecord
from gateway.core.state cimport GatewayState


cdef int add_offset(
    GatewayState gateway, uint64_t offset, const uint8_t **properties, uint32_t *properties_bytes) except -1


cdef inline uint64_t offset_of(const DeliverRecord *record) noexcept nogil:
    """Of a DELIVER with DELIVER_STREAM."""
    return <uint64_t> record.offset_high << 32 | record.message_count
