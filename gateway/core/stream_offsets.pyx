# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The header x-stream-offset, which every message from a stream has when it is delivered.

The shard says the offset in the record; the copy of the properties that has the header is made here, where
connections are spread over processes, and lives until the next one is made.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from amqp091.property_edit cimport Name, PropertyEdit, clear_scratch, edit_properties, put_int64_field
from amqp091.scanner cimport ContentHeader, parse_properties

cdef const char *OFFSET_HEADER = b"x-stream-offset"
cdef Name OFFSET_NAME
OFFSET_NAME.text = OFFSET_HEADER
OFFSET_NAME.text_bytes = 15


cdef int add_offset(
    GatewayState gateway, uint64_t offset, const uint8_t **properties, uint32_t *properties_bytes
) except -1:
    """Points `properties` to a copy with the header; one that the publisher has set is replaced. Properties that no
    gateway would have let in stay as they are."""
    cdef ContentHeader header
    cdef PropertyEdit edit
    if parse_properties(properties[0], properties_bytes[0], &header) != 0:
        return 0
    clear_scratch(&gateway.offset_field)
    put_int64_field(&gateway.offset_field, OFFSET_HEADER, c"l", offset)
    edit.removed = 0
    edit.removed_field_count = 1
    edit.removed_fields = &OFFSET_NAME
    edit.added = gateway.offset_field.data
    edit.added_bytes = gateway.offset_field.used
    clear_scratch(&gateway.edited)
    edit_properties(&gateway.edited, &header, &edit)
    properties[0] = gateway.edited.data
    properties_bytes[0] = <uint32_t> gateway.edited.used
    return 0
