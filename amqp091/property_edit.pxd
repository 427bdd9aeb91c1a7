"""Changed copies of the properties of a message, for compiled code; see amqp091/property_edit.pyx."""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from amqp091.scanner cimport ContentHeader


# A growing run of bytes, used again for the next message. All zero at first; the owner calls free_scratch.
cdef struct Scratch:
    uint8_t *data
    size_t used
    size_t capacity


cdef struct Name:
    const char *text
    uint8_t text_bytes


# What the copy has otherwise. To set a header field is to remove and to add it.
cdef struct PropertyEdit:
    uint16_t removed                    # flags of properties to leave out: PROPERTY_*
    uint32_t removed_field_count        # fields of `headers` to leave out, by their names
    const Name *removed_fields
    const uint8_t *added                # fields to append to `headers`, as put_* below write them
    size_t added_bytes


cdef int enlarge(Scratch *out, size_t wanted) except -1


cdef inline uint8_t *extend(Scratch *out, size_t n) except NULL:
    """Room for n more bytes, counted as used; valid until the next call. MemoryError."""
    cdef size_t used = out.used
    if n > out.capacity - used or out.data == NULL:
        enlarge(out, used + n)
    out.used = used + n
    return out.data + used


# Forgets the contents, and the memory too where it has grown large.
cdef void clear_scratch(Scratch *out) noexcept
cdef void free_scratch(Scratch *out) noexcept

# Appends the changed copy to `out`, which must not hold the original. `header` is from parse_properties.
# ValueError where the copy would be longer than properties can be.
cdef int edit_properties(Scratch *out, const ContentHeader *header, const PropertyEdit *edit) except -1

# Values and fields, for `added`. A name has at most 255 bytes; text_bytes is checked to fit its length word.
cdef int put_name(Scratch *out, const char *name, uint8_t letter) except -1
cdef int put_longstr(Scratch *out, const uint8_t *text, size_t text_bytes) except -1
cdef int put_longstr_field(Scratch *out, const char *name, const uint8_t *text, size_t text_bytes) except -1
cdef int put_int64_field(Scratch *out, const char *name, uint8_t letter, uint64_t value) except -1
# A length word to be filled in: returns where it is. `end_length` writes how much came behind it.
cdef size_t begin_length(Scratch *out) except? 0xFFFFFFFFFFFFFFFF
cdef int end_length(Scratch *out, size_t start) except -1


cdef inline int put_bytes(Scratch *out, const void *source, size_t n) except -1:
    if n:
        memcpy(extend(out, n), source, n)
    return 0


cdef inline void store32(uint8_t *p, uint32_t value) noexcept nogil:
    p[0] = <uint8_t> (value >> 24)
    p[1] = <uint8_t> (value >> 16)
    p[2] = <uint8_t> (value >> 8)
    p[3] = <uint8_t> value


cdef inline void store64(uint8_t *p, uint64_t value) noexcept nogil:
    store32(p, <uint32_t> (value >> 32))
    store32(p + 4, <uint32_t> value)
