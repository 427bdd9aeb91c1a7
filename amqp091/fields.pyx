# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The fields of methods: a signature and bytes to values, and back.

A signature has one letter per field; see amqp091/method_table.py:

    b bit (runs of bits share octets)   o octet   s short   l long   L longlong
    S shortstr (str)   B longstr (bytes)   T table (dict)

Never reads behind a length it has not checked; takes the bytes to the last one.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from amqp091.scanner cimport (
    FRAME_END,
    FRAME_HEAD_BYTES,
    FRAME_METHOD,
    METHOD_HEAD_BYTES,
    load16,
    load32,
    load64,
)
from amqp091.tables cimport put32, put_shortstr, read_table, short_text, write_table

from amqp091.errors import SyntaxError_


cdef inline int need(size_t n, size_t at, size_t wanted) except -1:
    if n - at < wanted:
        raise SyntaxError_("the arguments end within a field")
    return 0


def read_fields(bytes signature not None, bytes data not None) -> list:
    """The values of all fields; SyntaxError_ where `data` is shorter or longer."""
    cdef const uint8_t *letters = <const uint8_t *> PyBytes_AS_STRING(signature)
    cdef const uint8_t *source = <const uint8_t *> PyBytes_AS_STRING(data)
    cdef Py_ssize_t field
    cdef size_t n = PyBytes_GET_SIZE(data)
    cdef size_t at = 0
    cdef size_t length
    cdef uint8_t letter
    cdef int bit = 8                        # the next bit of the octet before `at`; 8: none is left
    cdef list values = []
    for field in range(PyBytes_GET_SIZE(signature)):
        letter = letters[field]
        if letter == c"b":
            if bit == 8:
                need(n, at, 1)
                at += 1
                bit = 0
            values.append((source[at - 1] >> bit & 1) == 1)
            bit += 1
            continue
        bit = 8
        if letter == c"S":
            need(n, at, 1)
            length = source[at]
            need(n, at + 1, length)
            values.append(short_text(source + at + 1, length))
            at += 1 + length
        elif letter == c"s":
            need(n, at, 2)
            values.append(load16(source + at))
            at += 2
        elif letter == c"T":
            values.append(read_table(source, n, &at))
        elif letter == c"l":
            need(n, at, 4)
            values.append(load32(source + at))
            at += 4
        elif letter == c"L":
            need(n, at, 8)
            values.append(load64(source + at))
            at += 8
        elif letter == c"B":
            need(n, at, 4)
            length = load32(source + at)
            need(n, at + 4, length)
            values.append((<const char *> source + at + 4)[:length])
            at += 4 + length
        elif letter == c"o":
            need(n, at, 1)
            values.append(source[at])
            at += 1
        else:
            raise ValueError(f"unknown field type {chr(letter)!r}")
    if at != n:
        raise SyntaxError_("bytes behind the last argument")
    return values


cdef int put_number(bytearray out, object value, int octets) except -1:
    """An unsigned number in network order."""
    cdef uint64_t number
    try:
        number = value
    except OverflowError:
        raise ValueError(f"{value} does not fit {octets} octets") from None
    if octets < 8 and number >> (8 * octets):
        raise ValueError(f"{value} does not fit {octets} octets")
    while octets:
        octets -= 1
        out.append(<uint8_t> (number >> (8 * octets)))
    return 0


cdef int put_fields(bytearray out, bytes signature, tuple values) except -1:
    cdef const uint8_t *letters = <const uint8_t *> PyBytes_AS_STRING(signature)
    cdef Py_ssize_t fields = PyBytes_GET_SIZE(signature)
    cdef Py_ssize_t field
    cdef uint8_t letter
    cdef int bits = 0
    cdef int bit = 0
    cdef bytes raw
    if len(values) != fields:
        raise ValueError("as many values as fields")
    for field in range(fields):
        letter = letters[field]
        value = values[field]
        if letter == c"b":
            bits |= 1 << bit if value else 0
            bit += 1
            if bit == 8 or field + 1 == fields or letters[field + 1] != c"b":
                out.append(bits)
                bits = 0
                bit = 0
        elif letter == c"S":
            put_shortstr(out, value)
        elif letter == c"s":
            put_number(out, value, 2)
        elif letter == c"T":
            write_table(out, value)
        elif letter == c"l":
            put_number(out, value, 4)
        elif letter == c"L":
            put_number(out, value, 8)
        elif letter == c"B":
            raw = value
            if <uint64_t> PyBytes_GET_SIZE(raw) > <uint64_t> 0x7FFFFFFF:
                raise ValueError("a long string is too long")
            put32(out, <uint32_t> PyBytes_GET_SIZE(raw))
            out += raw
        elif letter == c"o":
            put_number(out, value, 1)
        else:
            raise ValueError(f"unknown field type {chr(letter)!r}")
    return 0


def write_fields(bytes signature not None, values not None) -> bytes:
    """The fields as bytes. ValueError or TypeError for values that do not fit."""
    cdef bytearray out = bytearray()
    put_fields(out, signature, tuple(values))
    return bytes(out)


def method_frame(
        uint16_t channel, uint16_t class_id, uint16_t method_id, bytes signature not None,
        values not None) -> bytes:
    """A whole method frame."""
    cdef bytearray out = bytearray(FRAME_HEAD_BYTES + METHOD_HEAD_BYTES)
    cdef uint8_t *head
    cdef uint32_t size
    put_fields(out, signature, tuple(values))
    size = <uint32_t> (len(out) - FRAME_HEAD_BYTES)
    out.append(FRAME_END)
    head = <uint8_t *> <char *> out
    head[0] = FRAME_METHOD
    head[1] = <uint8_t> (channel >> 8)
    head[2] = <uint8_t> channel
    head[3] = <uint8_t> (size >> 24)
    head[4] = <uint8_t> (size >> 16)
    head[5] = <uint8_t> (size >> 8)
    head[6] = <uint8_t> size
    head[7] = <uint8_t> (class_id >> 8)
    head[8] = <uint8_t> class_id
    head[9] = <uint8_t> (method_id >> 8)
    head[10] = <uint8_t> method_id
    return bytes(out)
