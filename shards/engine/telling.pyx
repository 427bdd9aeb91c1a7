# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""JSON records to gateways, in their place among the deliveries: for everything that is not per message."""
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memset

from bus.records cimport JsonRecord, aligned
from shards.engine.state cimport EngineState, Gateway, outgoing_of


cdef int tell(EngineState engine, Gateway *gateway, uint8_t kind, uint32_t request_id, bytes document) except -1:
    """KIND_RESPONSE or KIND_EVENT (request_id 0)."""
    cdef size_t used = sizeof(JsonRecord) + len(document)
    cdef size_t record_bytes = aligned(used)
    cdef uint8_t *place = outgoing_of(gateway).reserve(record_bytes)
    cdef JsonRecord *record = <JsonRecord *> place
    memset(place, 0, sizeof(JsonRecord))
    record.record_bytes = <uint32_t> record_bytes
    record.kind = kind
    record.request_id = request_id
    record.json_bytes = <uint32_t> len(document)
    memcpy(place + sizeof(JsonRecord), <const char *> document, len(document))
    memset(place + used, 0, record_bytes - used)
    return 0
