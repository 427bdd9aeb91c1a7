# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""x-delivery-count: the number of earlier deliveries, in the headers of a message that is delivered again.

Only these pay: the first delivery goes as it came. What a client has sent under that name is replaced.
"""
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from amqp091.property_edit cimport Name, PropertyEdit, Scratch, clear_scratch, edit_properties, store64
from amqp091.scanner cimport ContentHeader, parse_properties

cdef const char *DELIVERY_COUNT = "x-delivery-count"

cdef enum:
    NAME_BYTES = 16
    FIELD_BYTES = 1 + NAME_BYTES + 1 + 8


cdef const uint8_t *count_deliveries(EngineState engine, const uint8_t *properties, uint8_t delivery_count,
                                     size_t *properties_bytes) except NULL:
    """The properties with the header set. As they came, where they do not decode or have no room for it."""
    cdef Scratch *copy = &engine.scratch_properties
    cdef uint8_t field[FIELD_BYTES]
    cdef ContentHeader header
    cdef PropertyEdit edit
    cdef Name name
    if parse_properties(properties, properties_bytes[0], &header) < 0:
        return properties
    field[0] = NAME_BYTES
    memcpy(field + 1, DELIVERY_COUNT, NAME_BYTES)
    field[NAME_BYTES + 1] = c"l"
    store64(field + NAME_BYTES + 2, delivery_count)
    name.text = DELIVERY_COUNT
    name.text_bytes = NAME_BYTES
    edit.removed = 0
    edit.removed_fields = &name
    edit.removed_field_count = 1
    edit.added = field
    edit.added_bytes = FIELD_BYTES
    clear_scratch(copy)
    try:
        edit_properties(copy, &header, &edit)
    except ValueError:
        return properties
    properties_bytes[0] = copy.used
    return copy.data
