# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Changed copies of packed properties: header fields set or removed, properties removed. One pass, no Python object.

Works on what the compiled core carries, property flags and list as in a content header. Fields keep their order,
what is added comes last. A field that occurs twice is removed twice. Where a message has no headers and fields are
added it gets some; where all of them are removed an empty table stays, as in RabbitMQ.

    cdef Scratch fields, copy                 all zero, kept by the owner
    put_int64_field(&fields, "x-count", c"l", 3)
    edit.removed_fields, edit.added = ...     "x-count" in both: set
    edit_properties(&copy, &header, &edit)    copy.data, copy.used

Knows no header field by name and decides nothing.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy, strlen

from amqp091.scanner cimport (
    PROPERTY_CONTENT_TYPE, PROPERTY_HEADERS, ContentHeader, Field, load16, load32, next_field, parse_properties,
)

from amqp091.scanner import scan_error

cdef enum:
    FIRST_CAPACITY_BYTES = 512
    KEPT_CAPACITY_BYTES_MAX = 1 << 20   # larger memory is given back when the scratch is cleared
    LENGTH_MAX = 0x7FFFFFFF             # of a table, an array or a long string: clients read it as signed
    NAME_BYTES_MAX = 255
    PROPERTY_COUNT = 14

# In the order of their flags, from the highest bit down: S short string, T table, o octet, L 64 bits.
cdef const char *PROPERTY_LETTERS = "SSTooSSSSLSSSS"


# -- scratch

cdef int enlarge(Scratch *out, size_t wanted) except -1:
    cdef size_t capacity = out.capacity * 2 if out.capacity else FIRST_CAPACITY_BYTES
    cdef void *grown
    if capacity < wanted:
        capacity = wanted
    grown = realloc(out.data, capacity)
    if grown == NULL:
        raise MemoryError()
    out.data = <uint8_t *> grown
    out.capacity = capacity
    return 0


cdef void clear_scratch(Scratch *out) noexcept:
    out.used = 0
    if out.capacity > KEPT_CAPACITY_BYTES_MAX:
        free_scratch(out)


cdef void free_scratch(Scratch *out) noexcept:
    free(out.data)
    out.data = NULL
    out.used = out.capacity = 0


# -- values and fields

cdef int put_name(Scratch *out, const char *name, uint8_t letter) except -1:
    cdef size_t n = strlen(name)
    cdef uint8_t *place
    if n > NAME_BYTES_MAX:
        raise ValueError("the name of a field has at most 255 bytes")
    place = extend(out, n + 2)
    place[0] = <uint8_t> n
    memcpy(place + 1, name, n)
    place[n + 1] = letter
    return 0


cdef int put_longstr(Scratch *out, const uint8_t *text, size_t text_bytes) except -1:
    """Length word and text."""
    if text_bytes > LENGTH_MAX:
        raise ValueError("a long string is too long")
    store32(extend(out, 4), <uint32_t> text_bytes)
    return put_bytes(out, text, text_bytes)


cdef int put_longstr_field(Scratch *out, const char *name, const uint8_t *text, size_t text_bytes) except -1:
    put_name(out, name, c"S")
    return put_longstr(out, text, text_bytes)


cdef int put_int64_field(Scratch *out, const char *name, uint8_t letter, uint64_t value) except -1:
    """`l`, `L` or `T`."""
    put_name(out, name, letter)
    store64(extend(out, 8), value)
    return 0


cdef size_t begin_length(Scratch *out) except? 0xFFFFFFFFFFFFFFFF:
    extend(out, 4)
    return out.used - 4


cdef int end_length(Scratch *out, size_t start) except -1:
    if out.used - start - 4 > LENGTH_MAX:
        raise ValueError("a field table is too long")
    store32(out.data + start, <uint32_t> (out.used - start - 4))
    return 0


# -- properties

cdef inline bint is_removed(const Field *field, const PropertyEdit *edit) noexcept nogil:
    cdef uint32_t i
    cdef const Name *name
    for i in range(edit.removed_field_count):
        name = edit.removed_fields + i
        if name.text_bytes == field.name_bytes and memcmp(name.text, field.name, field.name_bytes) == 0:
            return True
    return False


cdef uint8_t *copy_headers(uint8_t *to, const uint8_t *table, size_t n, const PropertyEdit *edit) noexcept nogil:
    """The table without what is removed and with what is added; returns the end of it. `n` is 0 where there was none."""
    cdef uint8_t *length = to
    cdef const uint8_t *kept = table + 4    # start of a run of fields that stay
    cdef size_t at = 4
    cdef Field field
    to += 4
    if n:
        while next_field(table, n, True, &at, &field):
            if is_removed(&field, edit):
                memcpy(to, kept, field.start - kept)
                to += field.start - kept
                kept = table + at
        memcpy(to, kept, table + at - kept)
        to += table + at - kept
    if edit.added_bytes:
        memcpy(to, edit.added, edit.added_bytes)
        to += edit.added_bytes
    store32(length, <uint32_t> (to - length - 4))
    return to


cdef int edit_properties(Scratch *out, const ContentHeader *header, const PropertyEdit *edit) except -1:
    cdef const uint8_t *properties = header.properties
    cdef size_t n = header.properties_bytes
    cdef size_t size, at = 2, start = out.used
    cdef size_t most = n + 4 + edit.added_bytes     # the length word of headers that it did not have
    cdef uint16_t flags, kept, flag = PROPERTY_CONTENT_TYPE
    cdef uint8_t *to
    cdef int i
    cdef char letter
    if most > LENGTH_MAX:
        raise ValueError(f"properties of {most} bytes")
    if n < 2:
        raise ValueError("properties without their flags")
    flags = load16(properties)
    kept = flags & ~edit.removed
    if edit.added_bytes:
        kept |= PROPERTY_HEADERS
    to = extend(out, most)
    to[0] = <uint8_t> (kept >> 8)
    to[1] = <uint8_t> kept
    to += 2
    for i in range(PROPERTY_COUNT):
        letter = PROPERTY_LETTERS[i]
        size = 0
        if flags & flag:
            if letter == c"o":
                size = 1
            elif letter == c"L":
                size = 8
            elif letter == c"S":
                size = 1 + <size_t> properties[at] if at < n else n
            else:
                size = 4 + <size_t> load32(properties + at) if n - at >= 4 else n
            if n - at < size:
                out.used = start
                raise ValueError("properties that end within one of them")
        if kept & flag:
            if letter == c"T":
                to = copy_headers(to, properties + at, 0 if edit.removed & flag else size, edit)
            else:
                memcpy(to, properties + at, size)
                to += size
        at += size
        flag >>= 1
    out.used = to - out.data
    return 0


# -- for Python: tests and rare paths

def edited(bytes properties not None, *, uint16_t removed=0, removed_fields=(), bytes added not None=b"") -> bytes:
    """A changed copy: properties removed by their flags, header fields by their names, encoded fields added."""
    cdef Scratch out
    cdef ContentHeader header
    cdef PropertyEdit edit
    cdef Name *names
    cdef list kept = [bytes(name) for name in removed_fields]
    cdef Py_ssize_t i
    cdef int failed = parse_properties(<const uint8_t *> properties, len(properties), &header)
    if failed:
        raise scan_error(failed)
    out.data = NULL
    out.used = out.capacity = 0
    names = <Name *> realloc(NULL, max(1, len(kept)) * sizeof(Name))
    if names == NULL:
        raise MemoryError()
    try:
        for i in range(len(kept)):
            if len(kept[i]) > NAME_BYTES_MAX:
                raise ValueError("the name of a field has at most 255 bytes")
            names[i].text = <const char *> <bytes> kept[i]
            names[i].text_bytes = <uint8_t> len(kept[i])
        edit.removed = removed
        edit.removed_field_count = <uint32_t> len(kept)
        edit.removed_fields = names
        edit.added = <const uint8_t *> added
        edit.added_bytes = len(added)
        edit_properties(&out, &header, &edit)
        return (<const char *> out.data)[:out.used]
    finally:
        free(names)
        free_scratch(&out)
