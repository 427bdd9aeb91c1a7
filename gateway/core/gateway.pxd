"""The process-wide side of the core. See gateway.pyx and gateway.pyi."""
from libc.stdint cimport uint8_t, uint32_t

from bus.records cimport DeliverRecord, GetEmptyRecord, JsonRecord
from gateway.core.state cimport GatewayState, ShardState


cdef class GatewayCore(GatewayState):
    cdef ShardState *shard_at(self, uint32_t shard) except NULL
    cdef int apply(self, uint32_t shard, const uint8_t *data, size_t n) except -1
    cdef int hand_over_rings(self) except -1
    cdef int hand_over(self, uint32_t shard, const JsonRecord *record) except -1
    cdef int unmap_rooms(self, uint32_t shard) except -1
    cdef int got(self, uint32_t shard, const DeliverRecord *record) except -1
    cdef int got_nothing(self, const GetEmptyRecord *record) except -1
