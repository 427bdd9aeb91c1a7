"""From a gateway's batch to queues: PUBLISH, SETTLE, CREDIT. See ingest.pyx."""
from libc.stdint cimport uint8_t

from shards.engine.state cimport EngineState, Gateway


cdef size_t apply_records(EngineState engine, Gateway *gateway, const uint8_t *data, size_t start, size_t end) except? 0
