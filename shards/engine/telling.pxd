"""Responses and events to gateways. See telling.pyx."""
from libc.stdint cimport uint8_t, uint32_t

from shards.engine.state cimport EngineState, Gateway


cdef int tell(EngineState engine, Gateway *gateway, uint8_t kind, uint32_t request_id, bytes document) except -1
