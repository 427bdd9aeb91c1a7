# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The headers of a publish that tell the broker something: found in one pass, and changed in the copy that is kept.

    CC, BCC         arrays of further routing keys; what in them is no long string is passed over. BCC is removed.
    x-delay         milliseconds, for x-delayed-message exchanges: an integer, a float or a decimal string, 1 to
                    2**32 - 1. Anything else is no delay, as for RabbitMQ's plugin, which crashes on some of it.
                    Where it was heeded the consumer finds it negated, so that no other exchange heeds it again.
    x-deliver-at    not before this time, whatever the exchange: a timestamp (seconds), or an integer (milliseconds
                    since 1970). Nothing else.

A name that occurs twice counts once, the first time. Knows no exchange and no clock.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from amqp091.property_edit cimport (
    Name, PropertyEdit, Scratch, clear_scratch, edit_properties, free_scratch, put_int64_field,
)
from amqp091.scanner cimport (
    ContentHeader, Field, integer_of, load32, load64, next_field, parse_expiration, parse_properties,
)

from gateway.core import publish_errors

cdef enum:
    CC_BYTES = 2
    BCC_BYTES = 3
    DELAY_BYTES = 7
    DELIVER_AT_BYTES = 12
    TABLE_LENGTH_BYTES = 4

cdef extern from *:
    """
    #define WARREN_DELAY_MS_MAX UINT64_C(4294967295)            /* of RabbitMQ's plugin; longer ones delay nothing */
    #define WARREN_DELIVER_AT_MS_MAX UINT64_C(253402300799999)  /* the end of the year 9999: seconds taken for ms show */
    """
    const uint64_t DELAY_MS_MAX "WARREN_DELAY_MS_MAX"
    const uint64_t DELIVER_AT_MS_MAX "WARREN_DELIVER_AT_MS_MAX"

cdef const char *CC = b"CC"
cdef const char *BCC = b"BCC"
cdef const char *DELAY = b"x-delay"
cdef const char *DELIVER_AT = b"x-deliver-at"


cdef inline bint is_named(const Field *field, const char *name, size_t name_bytes) noexcept nogil:
    return field.name_bytes == name_bytes and memcmp(field.name, name, name_bytes) == 0


cdef uint64_t delay_of(const Field *field) noexcept nogil:
    """0 where it is none."""
    cdef int64_t integer
    cdef uint64_t bits
    cdef uint32_t bits32
    cdef double real
    cdef float single
    if integer_of(field, &integer):
        return <uint64_t> integer if 0 < integer <= <int64_t> DELAY_MS_MAX else 0
    if field.letter == c"S" or field.letter == c"x":
        if parse_expiration(field.value, field.value_bytes, &bits) == 0 and bits <= DELAY_MS_MAX:
            return bits
        return 0
    if field.letter == c"d":
        bits = load64(field.value)
        memcpy(&real, &bits, 8)
    elif field.letter == c"f":
        bits32 = load32(field.value)
        memcpy(&single, &bits32, 4)
        real = single
    else:
        return 0
    return <uint64_t> real if 1 <= real < <double> (DELAY_MS_MAX + 1) else 0    # false for what is not a number


cdef bint read_deliver_at(const Field *field, uint64_t *at_ms) noexcept nogil:
    """False where it is no time, or none that can be waited for."""
    cdef int64_t integer
    if field.letter == c"T":
        at_ms[0] = load64(field.value)
        if at_ms[0] > DELIVER_AT_MS_MAX // 1000:
            return False
        at_ms[0] *= 1000
        return True
    if not integer_of(field, &integer):
        return False
    at_ms[0] = <uint64_t> integer if integer > 0 else 0
    return at_ms[0] <= DELIVER_AT_MS_MAX


cdef void read_special(const ContentHeader *header, SpecialHeaders *special) noexcept nogil:
    cdef Field field
    cdef size_t at = TABLE_LENGTH_BYTES
    while next_field(header.headers, header.headers_bytes, True, &at, &field):
        if field.name_bytes == CC_BYTES:
            if is_named(&field, CC, CC_BYTES) and not special.found & HEADER_CC:
                special.found |= HEADER_CC
                if field.letter == c"A":
                    special.cc = field.value
                    special.cc_bytes = <uint32_t> field.value_bytes
                else:
                    special.faulty |= HEADER_CC
        elif field.name_bytes == BCC_BYTES:
            if is_named(&field, BCC, BCC_BYTES) and not special.found & HEADER_BCC:
                special.found |= HEADER_BCC
                if field.letter == c"A":
                    special.bcc = field.value
                    special.bcc_bytes = <uint32_t> field.value_bytes
                else:
                    special.faulty |= HEADER_BCC
        elif field.name_bytes == DELAY_BYTES:
            if is_named(&field, DELAY, DELAY_BYTES) and not special.found & HEADER_DELAY:
                special.found |= HEADER_DELAY
                special.delay_ms = delay_of(&field)
        elif field.name_bytes == DELIVER_AT_BYTES:
            if is_named(&field, DELIVER_AT, DELIVER_AT_BYTES) and not special.found & HEADER_DELIVER_AT:
                special.found |= HEADER_DELIVER_AT
                if not read_deliver_at(&field, &special.deliver_at_ms):
                    special.faulty |= HEADER_DELIVER_AT


cdef int check_special(const SpecialHeaders *special, const ContentHeader *header) except -1:
    if special.faulty & HEADER_CC:
        raise publish_errors.copies_no_array(CC, header.headers[:header.headers_bytes])
    if special.faulty & HEADER_BCC:
        raise publish_errors.copies_no_array(BCC, header.headers[:header.headers_bytes])
    if special.faulty & HEADER_DELIVER_AT:
        raise publish_errors.invalid_deliver_at(DELIVER_AT, header.headers[:header.headers_bytes])
    return 0


cdef int add_keys(list keys, const uint8_t *array, size_t n) except -1:
    cdef Field field
    cdef size_t at = 0
    while next_field(array, n, False, &at, &field):
        if field.letter == c"S":
            keys.append(<bytes> (<const char *> field.value)[:field.value_bytes])
    return 0


cdef tuple routing_keys(const uint8_t *routing_key, size_t routing_key_bytes, const SpecialHeaders *special):
    cdef list keys = [<bytes> (<const char *> routing_key)[:routing_key_bytes]]
    if special.cc != NULL:
        add_keys(keys, special.cc, special.cc_bytes)
    if special.bcc != NULL:
        add_keys(keys, special.bcc, special.bcc_bytes)
    return (keys[0],) if len(keys) == 1 else tuple(dict.fromkeys(keys))


cdef int edit(Scratch *scratch, const ContentHeader *header, const PropertyEdit *edits, ContentHeader *changed) except -1:
    clear_scratch(scratch)
    edit_properties(scratch, header, edits)
    changed.class_id = header.class_id
    changed.body_size = header.body_size
    if parse_properties(scratch.data, scratch.used, changed) < 0:
        raise ValueError("edited properties cannot be read")
    return 0


cdef int without_bcc(Scratch *scratch, const ContentHeader *header, ContentHeader *changed) except -1:
    cdef PropertyEdit edits
    cdef Name name
    name.text = BCC
    name.text_bytes = BCC_BYTES
    edits.removed = 0
    edits.removed_field_count = 1
    edits.removed_fields = &name
    edits.added = NULL
    edits.added_bytes = 0
    return edit(scratch, header, &edits, changed)


cdef int with_delay_taken(
    Scratch *scratch, const ContentHeader *header, uint64_t delay_ms, ContentHeader *changed
) except -1:
    cdef PropertyEdit edits
    cdef Name name
    cdef Scratch field
    name.text = DELAY
    name.text_bytes = DELAY_BYTES
    field.data = NULL
    field.used = field.capacity = 0
    try:
        put_int64_field(&field, DELAY, c"l", <uint64_t> -<int64_t> delay_ms)
        edits.removed = 0
        edits.removed_field_count = 1
        edits.removed_fields = &name
        edits.added = field.data
        edits.added_bytes = field.used
        return edit(scratch, header, &edits, changed)
    finally:
        free_scratch(&field)


# -- for Python: tests

def read(bytes properties not None, bytes routing_key not None=b"") -> dict:
    """What is found in packed properties: {"keys", "delay_ms", "deliver_at_ms"}; PreconditionFailed for a fault."""
    cdef ContentHeader header
    cdef SpecialHeaders special
    memset(&special, 0, sizeof(SpecialHeaders))
    if parse_properties(<const uint8_t *> properties, len(properties), &header) < 0:
        raise ValueError("properties that cannot be read")
    if header.headers != NULL:
        read_special(&header, &special)
    check_special(&special, &header)
    return {
        "keys": routing_keys(<const uint8_t *> routing_key, len(routing_key), &special),
        "delay_ms": special.delay_ms,
        "deliver_at_ms": special.deliver_at_ms if special.found & HEADER_DELIVER_AT else None,
    }


def kept(bytes properties not None, *, bint delayed=False) -> bytes:
    """The properties that a queue gets, behind an x-delayed-message exchange or elsewhere."""
    cdef ContentHeader header, changed
    cdef SpecialHeaders special
    cdef Scratch scratch
    memset(&special, 0, sizeof(SpecialHeaders))
    memset(&scratch, 0, sizeof(Scratch))
    if parse_properties(<const uint8_t *> properties, len(properties), &header) < 0:
        raise ValueError("properties that cannot be read")
    if header.headers != NULL:
        read_special(&header, &special)
    try:
        if special.found & HEADER_BCC:
            without_bcc(&scratch, &header, &changed)
            properties = (<const char *> scratch.data)[:scratch.used]
            parse_properties(<const uint8_t *> properties, len(properties), &header)
        if delayed and special.delay_ms:
            with_delay_taken(&scratch, &header, special.delay_ms, &changed)
            properties = (<const char *> scratch.data)[:scratch.used]
        return properties
    finally:
        free_scratch(&scratch)
