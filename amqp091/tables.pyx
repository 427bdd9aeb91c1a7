# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Field tables: bytes to dict and back, by the letters that RabbitMQ uses.

    letter  Python                letter  Python
    t       bool                  S       str, or bytes where it is not UTF-8
    b B     int (8 bits)          x       Binary
    s u     int (16 bits)         A       list
    I i     int (32 bits)         F       dict
    l L     int (64 bits signed)  T       Timestamp (64 bits unsigned)
    f d     float                 V       None
    D       Decimal

Written are: t, I where an int fits, else l, d, D, S, x, A, F, T, V. Names are decoded with
surrogateescape, so that any bytes survive. Of fields with the same name the first counts, as where
RabbitMQ looks a name up. Never reads behind a length it has not checked; nesting is limited.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from amqp091.scanner cimport TABLE_DEPTH_MAX, load16, load32, load64

import decimal
from decimal import Decimal

from amqp091.errors import SyntaxError_
from amqp091.table_json import from_json, to_json
from amqp091.values import Binary, Timestamp

__all__ = [
    "Binary", "Timestamp", "decode_table", "decode_table_body", "encode_table", "encode_table_body",
    "from_json", "to_json", "type_name",
]

cdef int64_t INT32_MIN = -(<int64_t> 1 << 31)
cdef int64_t INT32_MAX = (<int64_t> 1 << 31) - 1
# exact for every scale of a `D`, whatever the process has set for its own sums
cdef object DECIMAL_CONTEXT = decimal.Context(prec=300, Emin=-999999, Emax=999999, traps=[])


cdef object malformed(str what):
    return SyntaxError_(f"cannot decode a field table: {what}")


cdef str short_text(const uint8_t *data, size_t n):
    return (<const char *> data)[:n].decode("utf-8", "surrogateescape")


cdef object long_text(const uint8_t *data, size_t n):
    cdef bytes raw = (<const char *> data)[:n]
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw


cdef inline int need(size_t n, size_t at, size_t wanted) except -1:
    if n - at < wanted:
        raise malformed("it ends within a value")
    return 0


cdef object read_value(const uint8_t *data, size_t n, size_t *at, int depth):
    """A letter and its value."""
    cdef uint8_t letter
    cdef size_t here
    cdef size_t length
    cdef uint32_t bits32
    cdef uint64_t bits64
    cdef float single
    cdef double real
    need(n, at[0], 1)
    letter = data[at[0]]
    here = at[0] + 1
    if letter in b"SxAF":
        need(n, here, 4)
        length = load32(data + here)
        here += 4
        need(n, here, length)
        at[0] = here + length
        if letter == c"S":
            return long_text(data + here, length)
        if letter == c"x":
            return Binary((<const char *> data + here)[:length])
        if letter == c"A":
            return read_array(data + here, length, depth + 1)
        return read_fields(data + here, length, depth + 1)
    if letter == c"t":
        need(n, here, 1)
        at[0] = here + 1
        return data[here] != 0
    if letter == c"b":
        need(n, here, 1)
        at[0] = here + 1
        return <int8_t> data[here]
    if letter == c"B":
        need(n, here, 1)
        at[0] = here + 1
        return data[here]
    if letter == c"s":
        need(n, here, 2)
        at[0] = here + 2
        return <int16_t> load16(data + here)
    if letter == c"u":
        need(n, here, 2)
        at[0] = here + 2
        return load16(data + here)
    if letter == c"I":
        need(n, here, 4)
        at[0] = here + 4
        return <int32_t> load32(data + here)
    if letter == c"i":
        need(n, here, 4)
        at[0] = here + 4
        return load32(data + here)
    if letter == c"l" or letter == c"L":
        need(n, here, 8)
        at[0] = here + 8
        return <int64_t> load64(data + here)
    if letter == c"T":
        need(n, here, 8)
        at[0] = here + 8
        return Timestamp(load64(data + here))
    if letter == c"f":
        need(n, here, 4)
        at[0] = here + 4
        bits32 = load32(data + here)
        memcpy(&single, &bits32, 4)
        return <double> single
    if letter == c"d":
        need(n, here, 8)
        at[0] = here + 8
        bits64 = load64(data + here)
        memcpy(&real, &bits64, 8)
        return real
    if letter == c"D":
        need(n, here, 5)
        at[0] = here + 5
        return Decimal(load32(data + here + 1)).scaleb(-<int> data[here], DECIMAL_CONTEXT)
    if letter == c"V":
        at[0] = here
        return None
    raise malformed(f"unknown type {chr(letter)!r}")


cdef list read_array(const uint8_t *data, size_t n, int depth):
    cdef size_t at = 0
    cdef list values = []
    if depth > TABLE_DEPTH_MAX:
        raise malformed(f"nested deeper than {TABLE_DEPTH_MAX}")
    while at < n:
        values.append(read_value(data, n, &at, depth))
    return values


cdef dict read_fields(const uint8_t *data, size_t n, int depth):
    cdef size_t at = 0
    cdef size_t length
    cdef dict table = {}
    cdef str name
    if depth > TABLE_DEPTH_MAX:
        raise malformed(f"nested deeper than {TABLE_DEPTH_MAX}")
    while at < n:
        length = data[at]
        at += 1
        need(n, at, length)
        name = short_text(data + at, length)
        at += length
        value = read_value(data, n, &at, depth)
        if name not in table:
            table[name] = value
    return table


cdef dict read_table(const uint8_t *data, size_t n, size_t *at):
    cdef size_t length
    cdef size_t here = at[0]
    need(n, here, 4)
    length = load32(data + here)
    here += 4
    need(n, here, length)
    at[0] = here + length
    return read_fields(data + here, length, 1)


cdef int put32(bytearray out, uint32_t value) except -1:
    cdef uint8_t[4] word
    word[0] = <uint8_t> (value >> 24)
    word[1] = <uint8_t> (value >> 16)
    word[2] = <uint8_t> (value >> 8)
    word[3] = <uint8_t> value
    out += (<const char *> word)[:4]
    return 0


cdef int put64(bytearray out, uint64_t value) except -1:
    put32(out, <uint32_t> (value >> 32))
    return put32(out, <uint32_t> value)


cdef int put_shortstr(bytearray out, str text) except -1:
    cdef bytes encoded = text.encode("utf-8", "surrogateescape")
    if PyBytes_GET_SIZE(encoded) > 255:
        raise ValueError("a short string has at most 255 bytes")
    out.append(<int> PyBytes_GET_SIZE(encoded))
    out += encoded
    return 0


cdef int put_long(bytearray out, bytes encoded) except -1:
    if <uint64_t> PyBytes_GET_SIZE(encoded) > <uint64_t> 0x7FFFFFFF:
        raise ValueError("a long string is too long")
    put32(out, <uint32_t> PyBytes_GET_SIZE(encoded))
    out += encoded
    return 0


cdef int put_length(bytearray out, Py_ssize_t start) except -1:
    """Fills in the length word at `start`, of all that was appended behind it."""
    cdef uint64_t length = <uint64_t> (len(out) - start - 4)
    cdef uint8_t *word
    if length > <uint64_t> 0x7FFFFFFF:
        raise ValueError("a field table is too long")
    word = <uint8_t *> <char *> out + start
    word[0] = <uint8_t> (length >> 24)
    word[1] = <uint8_t> (length >> 16)
    word[2] = <uint8_t> (length >> 8)
    word[3] = <uint8_t> length
    return 0


cdef int write_int(bytearray out, object value) except -1:
    cdef int64_t number
    try:
        number = value
    except OverflowError:
        raise ValueError("an integer of a field table has at most 64 bits") from None
    if INT32_MIN <= number <= INT32_MAX:
        out += b"I"
        return put32(out, <uint32_t> <int32_t> number)
    out += b"l"
    return put64(out, <uint64_t> number)


cdef int write_timestamp(bytearray out, object value) except -1:
    cdef uint64_t seconds
    try:
        seconds = value
    except OverflowError:
        raise ValueError("a timestamp is an unsigned number of 64 bits") from None
    out += b"T"
    return put64(out, seconds)


cdef int write_decimal(bytearray out, object value) except -1:
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise ValueError("a decimal of a field table is a finite number")
    unscaled = int("".join(map(str, digits)) or "0") * 10 ** max(exponent, 0) if exponent <= 10 else 1 << 32
    scale = max(-exponent, 0)
    if sign and unscaled or unscaled > 0xFFFFFFFF or scale > 255:
        raise ValueError("a decimal of a field table has 32 bits without sign and a scale up to 255")
    out += b"D"
    out.append(scale)
    return put32(out, unscaled)


cdef int write_value(bytearray out, object value, int depth) except -1:
    cdef double real
    cdef uint64_t bits
    if isinstance(value, str):
        out += b"S"
        return put_long(out, (<str> value).encode("utf-8"))
    if value is None:
        out += b"V"
        return 0
    if isinstance(value, bool):
        out += b"t\x01" if value else b"t\x00"
        return 0
    if isinstance(value, int):
        return write_timestamp(out, value) if isinstance(value, Timestamp) else write_int(out, value)
    if isinstance(value, float):
        real = value
        memcpy(&bits, &real, 8)
        out += b"d"
        return put64(out, bits)
    if isinstance(value, bytes):
        out += b"x" if isinstance(value, Binary) else b"S"
        return put_long(out, bytes(value))
    if isinstance(value, dict):
        out += b"F"
        return write_fields(out, value, depth + 1)
    if isinstance(value, (list, tuple)):
        out += b"A"
        return write_array(out, value, depth + 1)
    if isinstance(value, Decimal):
        return write_decimal(out, value)
    raise TypeError(f"a field table cannot hold {type(value).__name__}")


cdef int write_array(bytearray out, object values, int depth) except -1:
    cdef Py_ssize_t start = len(out)
    if depth > TABLE_DEPTH_MAX:
        raise ValueError(f"a field table is nested deeper than {TABLE_DEPTH_MAX}")
    put32(out, 0)
    for value in values:
        write_value(out, value, depth)
    return put_length(out, start)


cdef int write_fields(bytearray out, dict table, int depth) except -1:
    cdef Py_ssize_t start = len(out)
    if depth > TABLE_DEPTH_MAX:
        raise ValueError(f"a field table is nested deeper than {TABLE_DEPTH_MAX}")
    put32(out, 0)
    for name, value in table.items():
        put_shortstr(out, name)
        write_value(out, value, depth)
    return put_length(out, start)


cdef int write_table(bytearray out, dict table) except -1:
    return write_fields(out, table, 1)


def decode_table(bytes table not None) -> dict:
    """A field table with its length word, and nothing behind it."""
    cdef size_t at = 0
    cdef size_t n = PyBytes_GET_SIZE(table)
    decoded = read_table(<const uint8_t *> PyBytes_AS_STRING(table), n, &at)
    if at != n:
        raise malformed("bytes behind its end")
    return decoded


def decode_table_body(bytes body not None) -> dict:
    """A field table without length word: the response of AMQPLAIN."""
    return read_fields(<const uint8_t *> PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body), 1)


def encode_table(dict table not None) -> bytes:
    """A field table with its length word."""
    cdef bytearray out = bytearray()
    write_table(out, table)
    return bytes(out)


def encode_table_body(dict table not None) -> bytes:
    return encode_table(table)[4:]


def type_name(value) -> str:
    """What RabbitMQ calls the type of a decoded value, in `the value '1' of type 'long'`."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, Timestamp):
        return "timestamp"
    if isinstance(value, int):
        return "signedint" if INT32_MIN <= value <= INT32_MAX else "long"
    if isinstance(value, Binary):
        return "binary"
    if isinstance(value, (str, bytes)):
        return "longstr"
    if isinstance(value, float):
        return "double"
    if isinstance(value, Decimal):
        return "decimal"
    if isinstance(value, dict):
        return "table"
    if isinstance(value, (list, tuple)):
        return "array"
    return "void"
