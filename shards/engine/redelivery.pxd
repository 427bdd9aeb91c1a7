"""The header that says how often a message was delivered before. See redelivery.pyx."""
from libc.stdint cimport uint8_t

from shards.engine.state cimport EngineState


# `properties_bytes`: of the message's own, on return of the changed copy, which is good until the next call.
cdef const uint8_t *count_deliveries(EngineState engine, const uint8_t *properties, uint8_t delivery_count,
                                     size_t *properties_bytes) except NULL
