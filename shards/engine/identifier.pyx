# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""From the properties of a message to its id: the value of a header, of any type, or the message-id.

Two values are the same if their types belong to one class and their values are equal:

    text        S, and the message-id; byte for byte
    integer     b B s u I i l L, whatever the width
    real        f d; 0.0 is -0.0
    boolean t, timestamp T, decimal D (scale and digits), bytes x, array A, table F (as they are on the wire)

V (no value) is no id, nor is an empty message-id. What does not decode has none.
The hash and its keys are part of the log's format: with others, ids from before a restart are unknown.
"""
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from amqp091.scanner cimport ContentHeader, Field, find_field, load16, load32, load64, parse_properties
from shards.engine.siphash cimport siphash128

cdef extern from *:
    """
    #define WARREN_IDENTIFIER_KEY0 UINT64_C(0x77617272656e2069)    /* "warren i" */
    #define WARREN_IDENTIFIER_KEY1 UINT64_C(0x64656e7469666965)    /* "dentifie" */
    """
    const uint64_t KEY0 "WARREN_IDENTIFIER_KEY0"
    const uint64_t KEY1 "WARREN_IDENTIFIER_KEY1"

cdef enum:
    # The classes of values; a part of the key.
    CLASS_TEXT = 1
    CLASS_INTEGER = 2
    CLASS_REAL = 3
    CLASS_BOOLEAN = 4
    CLASS_TIMESTAMP = 5
    CLASS_DECIMAL = 6
    CLASS_BYTES = 7
    CLASS_ARRAY = 8
    CLASS_TABLE = 9

cdef const char *DEFAULT_HEADER = "x-deduplication-header"
cdef enum:
    DEFAULT_HEADER_BYTES = 22


cdef inline void hash_of(uint8_t type_class, const uint8_t *value, size_t n, Identifier *identifier) noexcept nogil:
    cdef uint64_t low, high
    siphash128(KEY0 ^ type_class, KEY1, value, n, &low, &high)
    identifier.low = low
    identifier.high = high


cdef inline void hash_of_integer(int64_t value, Identifier *identifier) noexcept nogil:
    hash_of(CLASS_INTEGER, <const uint8_t *> &value, sizeof(value), identifier)


cdef inline void hash_of_real(double value, Identifier *identifier) noexcept nogil:
    if value == 0:
        value = 0
    hash_of(CLASS_REAL, <const uint8_t *> &value, sizeof(value), identifier)


cdef bint identify_field(const Field *field, Identifier *identifier) noexcept nogil:
    """A field whose length fits its letter (next_field). False: it has no value."""
    cdef uint8_t letter = field.letter
    cdef const uint8_t *value = field.value
    cdef uint64_t bits64
    cdef uint32_t bits32
    cdef float single
    cdef double real
    if letter == c"S":
        hash_of(CLASS_TEXT, value, field.value_bytes, identifier)
    elif letter == c"b":
        hash_of_integer(<int8_t> value[0], identifier)
    elif letter == c"B":
        hash_of_integer(value[0], identifier)
    elif letter == c"s":
        hash_of_integer(<int16_t> load16(value), identifier)
    elif letter == c"u":
        hash_of_integer(load16(value), identifier)
    elif letter == c"I":
        hash_of_integer(<int32_t> load32(value), identifier)
    elif letter == c"i":
        hash_of_integer(load32(value), identifier)
    elif letter == c"l" or letter == c"L":
        hash_of_integer(<int64_t> load64(value), identifier)
    elif letter == c"f":
        bits32 = load32(value)
        memcpy(&single, &bits32, sizeof(single))
        hash_of_real(single, identifier)
    elif letter == c"d":
        bits64 = load64(value)
        memcpy(&real, &bits64, sizeof(real))
        hash_of_real(real, identifier)
    elif letter == c"t":
        hash_of(CLASS_BOOLEAN, b"\x01" if value[0] else b"\x00", 1, identifier)
    elif letter == c"T":
        hash_of(CLASS_TIMESTAMP, value, field.value_bytes, identifier)
    elif letter == c"D":
        hash_of(CLASS_DECIMAL, value, field.value_bytes, identifier)
    elif letter == c"x":
        hash_of(CLASS_BYTES, value, field.value_bytes, identifier)
    elif letter == c"A":
        hash_of(CLASS_ARRAY, value, field.value_bytes, identifier)
    elif letter == c"F":
        hash_of(CLASS_TABLE, value, field.value_bytes, identifier)
    else:
        return False
    return True


cdef bint identify(const IdentifierRule *rule, const Message *message, Identifier *identifier) noexcept nogil:
    """False: the message has no id."""
    cdef const uint8_t *properties = message.content + message.exchange_bytes + message.routing_key_bytes
    cdef ContentHeader header
    cdef Field field
    if parse_properties(properties, message.properties_bytes, &header):
        return False
    if rule.header_bytes:
        return header.headers != NULL and find_field(
            header.headers, header.headers_bytes, rule.header, rule.header_bytes, &field
        ) and identify_field(&field, identifier)
    if (
        header.headers != NULL
        and find_field(header.headers, header.headers_bytes, DEFAULT_HEADER, DEFAULT_HEADER_BYTES, &field)
        and identify_field(&field, identifier)
    ):
        return True
    if header.message_id_bytes == 0:
        return False
    hash_of(CLASS_TEXT, header.message_id, header.message_id_bytes, identifier)
    return True


def identifier_of(bytes properties not None, bytes header not None=b""):
    """For tests: the id that a message with these properties has, or None."""
    cdef Message message
    cdef Identifier identifier
    cdef IdentifierRule rule
    if len(header) > 255:
        raise ValueError("a header's name has at most 255 bytes")
    memset(&message, 0, sizeof(Message))
    message.content = <const uint8_t *> properties
    message.properties_bytes = <uint32_t> len(properties)
    rule.header = header
    rule.header_bytes = <uint8_t> len(header)
    if not identify(&rule, &message, &identifier):
        return None
    return (<const char *> &identifier)[:IDENTIFIER_BYTES]
