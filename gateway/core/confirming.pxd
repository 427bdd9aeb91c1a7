"""From answers of shards to acks, nacks and commits. See confirming.pyx."""
from libc.stdint cimport uint32_t, uint64_t

from gateway.core.state cimport GatewayState


cdef int reach_watermark(GatewayState gateway, uint32_t shard, uint64_t processed, uint64_t durable) except -1
cdef int refuse_by_record(GatewayState gateway, uint32_t channel_handle, uint64_t number) except -1
cdef int refuse_in_flight(GatewayState gateway, uint32_t shard) except -1
cdef void renumber_runs(GatewayState gateway, uint32_t shard, uint64_t batch) noexcept
cdef int finish(GatewayState gateway) except -1
