# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Reads frames and the payloads that occur per message, in place: see scanner.pxd for the C interface.

Owns no memory and no state. Never reads a byte before its length has been checked, never decides
what an error means: the caller turns SCAN_* into a reply code (`scan_error`).

The Python functions at the end show the same readers to Python, for tests and rare paths.
"""
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp

from amqp091 import errors

cdef enum:
    VALUE_VARIABLE = -1         # the length stands before the value
    VALUE_NESTED = -2
    VALUE_UNKNOWN = -3


cdef Py_ssize_t next_frame(const uint8_t *data, size_t n, uint32_t frame_max, Frame *frame) noexcept nogil:
    cdef uint32_t size
    cdef uint8_t kind
    if n == 0:
        return 0
    kind = data[0]
    if kind != FRAME_METHOD and kind != FRAME_HEADER and kind != FRAME_BODY and kind != FRAME_HEARTBEAT:
        return SCAN_BAD_TYPE
    if n < FRAME_HEAD_BYTES:
        return 0
    size = load32(data + 3)
    if frame_max and <uint64_t> size + FRAME_OVERHEAD_BYTES > frame_max:
        return SCAN_TOO_LARGE
    if n < <size_t> size + FRAME_OVERHEAD_BYTES:
        return 0
    if data[FRAME_HEAD_BYTES + <size_t> size] != FRAME_END:
        return SCAN_BAD_END
    frame.type = kind
    frame.channel = load16(data + 1)
    frame.size = size
    frame.payload = data + FRAME_HEAD_BYTES
    return <Py_ssize_t> (<size_t> size + FRAME_OVERHEAD_BYTES)


cdef uint32_t method_word(const uint8_t *payload, size_t n) noexcept nogil:
    return load32(payload) if n >= METHOD_HEAD_BYTES else 0


cdef int parse_publish(const uint8_t *payload, size_t n, Publish *publish) noexcept nogil:
    """ticket (ignored), exchange, routing key, bits; nothing after them."""
    cdef size_t at = METHOD_HEAD_BYTES + 2
    cdef size_t length
    if n <= at:
        return SCAN_SYNTAX
    length = payload[at]
    at += 1
    if n - at < length + 1:                 # the exchange and the next length octet
        return SCAN_SYNTAX
    publish.exchange = payload + at
    publish.exchange_bytes = <uint8_t> length
    at += length
    length = payload[at]
    at += 1
    if n - at != length + 1:                # the routing key and the bits, to the end
        return SCAN_SYNTAX
    publish.routing_key = payload + at
    publish.routing_key_bytes = <uint8_t> length
    at += length
    publish.mandatory = payload[at] & 1
    publish.immediate = payload[at] >> 1 & 1
    return 0


cdef int parse_settle(const uint8_t *payload, size_t n, Settle *settle) noexcept nogil:
    """The delivery tag and the bits of basic.ack, basic.nack or basic.reject."""
    cdef uint32_t word
    cdef uint8_t bits
    if n != METHOD_HEAD_BYTES + 9:
        return SCAN_SYNTAX
    word = load32(payload)
    bits = payload[METHOD_HEAD_BYTES + 8]
    settle.delivery_tag = load64(payload + METHOD_HEAD_BYTES)
    settle.method_id = <uint16_t> word
    settle.multiple = 0
    settle.requeue = 0
    if word == METHOD_BASIC_ACK:
        settle.multiple = bits & 1
    elif word == METHOD_BASIC_NACK:
        settle.multiple = bits & 1
        settle.requeue = bits >> 1 & 1
    elif word == METHOD_BASIC_REJECT:
        settle.requeue = bits & 1
    else:
        return SCAN_SYNTAX
    return 0


cdef int parse_content_header(const uint8_t *payload, size_t n, ContentHeader *header) noexcept nogil:
    if n < CONTENT_HEAD_BYTES + 2:
        return SCAN_SYNTAX
    header.class_id = load16(payload)
    header.body_size = load64(payload + 4)
    if load16(payload + 2):
        return SCAN_BAD_WEIGHT
    return parse_properties(payload + CONTENT_HEAD_BYTES, n - CONTENT_HEAD_BYTES, header)


cdef inline bint take_shortstr(
    const uint8_t *data, size_t n, size_t *at, const uint8_t **text, uint8_t *text_bytes) noexcept nogil:
    cdef size_t here = at[0]
    cdef size_t length
    if here >= n:
        return False
    length = data[here]
    if n - here - 1 < length:
        return False
    text[0] = data + here + 1
    text_bytes[0] = <uint8_t> length
    at[0] = here + 1 + length
    return True


cdef inline bint take_octet(const uint8_t *data, size_t n, size_t *at, uint8_t *value) noexcept nogil:
    if at[0] >= n:
        return False
    value[0] = data[at[0]]
    at[0] += 1
    return True


cdef int parse_properties(const uint8_t *properties, size_t n, ContentHeader *header) noexcept nogil:
    cdef size_t at = 2
    cdef size_t length
    cdef uint16_t flags
    cdef const uint8_t *skipped
    cdef uint8_t skipped_bytes
    header.properties = properties
    header.headers = NULL
    header.reply_to = NULL
    header.expiration = NULL
    header.message_id = NULL
    header.user_id = NULL
    header.headers_bytes = 0
    header.reply_to_bytes = 0
    header.expiration_bytes = 0
    header.message_id_bytes = 0
    header.user_id_bytes = 0
    header.delivery_mode = 0
    header.priority = 0
    header.properties_bytes = 0
    if n < 2 or n > PROPERTIES_BYTES_MAX:
        return SCAN_SYNTAX
    header.properties_bytes = <uint32_t> n
    flags = load16(properties)
    header.flags = flags
    if flags == 0:
        return 0 if n == 2 else SCAN_SYNTAX
    if flags & 3:                           # no further flags word and no 15th property exist
        return SCAN_SYNTAX
    if flags & PROPERTY_CONTENT_TYPE and not take_shortstr(properties, n, &at, &skipped, &skipped_bytes):
        return SCAN_SYNTAX
    if flags & PROPERTY_CONTENT_ENCODING and not take_shortstr(properties, n, &at, &skipped, &skipped_bytes):
        return SCAN_SYNTAX
    if flags & PROPERTY_HEADERS:
        if n - at < 4:
            return SCAN_SYNTAX
        length = load32(properties + at)
        if n - at - 4 < length:
            return SCAN_SYNTAX
        length += 4
        if check_table(properties + at, length):
            return SCAN_SYNTAX
        header.headers = properties + at
        header.headers_bytes = <uint32_t> length
        at += length
    if flags & PROPERTY_DELIVERY_MODE and not take_octet(properties, n, &at, &header.delivery_mode):
        return SCAN_SYNTAX
    if flags & PROPERTY_PRIORITY and not take_octet(properties, n, &at, &header.priority):
        return SCAN_SYNTAX
    if flags & PROPERTY_CORRELATION_ID and not take_shortstr(properties, n, &at, &skipped, &skipped_bytes):
        return SCAN_SYNTAX
    if flags & PROPERTY_REPLY_TO and not take_shortstr(
            properties, n, &at, &header.reply_to, &header.reply_to_bytes):
        return SCAN_SYNTAX
    if flags & PROPERTY_EXPIRATION and not take_shortstr(
            properties, n, &at, &header.expiration, &header.expiration_bytes):
        return SCAN_SYNTAX
    if flags & PROPERTY_MESSAGE_ID and not take_shortstr(
            properties, n, &at, &header.message_id, &header.message_id_bytes):
        return SCAN_SYNTAX
    if flags & PROPERTY_TIMESTAMP:
        if n - at < 8:
            return SCAN_SYNTAX
        at += 8
    if flags & PROPERTY_TYPE and not take_shortstr(properties, n, &at, &skipped, &skipped_bytes):
        return SCAN_SYNTAX
    if flags & PROPERTY_USER_ID and not take_shortstr(
            properties, n, &at, &header.user_id, &header.user_id_bytes):
        return SCAN_SYNTAX
    if flags & PROPERTY_APP_ID and not take_shortstr(properties, n, &at, &skipped, &skipped_bytes):
        return SCAN_SYNTAX
    if flags & PROPERTY_CLUSTER_ID and not take_shortstr(properties, n, &at, &skipped, &skipped_bytes):
        return SCAN_SYNTAX
    return 0 if at == n else SCAN_SYNTAX


cdef inline Py_ssize_t value_bytes(uint8_t letter) noexcept nogil:
    """The length of a field value by its letter, or VALUE_*."""
    if letter == c'S' or letter == c'x':
        return VALUE_VARIABLE
    if letter == c'I' or letter == c'i' or letter == c'f':
        return 4
    if letter == c'l' or letter == c'L' or letter == c'T' or letter == c'd':
        return 8
    if letter == c't' or letter == c'b' or letter == c'B':
        return 1
    if letter == c'F' or letter == c'A':
        return VALUE_NESTED
    if letter == c's' or letter == c'u':
        return 2
    if letter == c'D':
        return 5
    if letter == c'V':
        return 0
    return VALUE_UNKNOWN


cdef int check_fields(const uint8_t *data, size_t n, bint named, int depth) noexcept nogil:
    """The inside of a table (named) or an array, to its last byte."""
    cdef size_t at = 0
    cdef size_t size
    cdef Py_ssize_t fixed
    cdef bint named_inside
    if depth > TABLE_DEPTH_MAX:
        return SCAN_SYNTAX
    while at < n:
        if named:
            size = <size_t> data[at] + 1
            if n - at <= size:              # the name and the letter
                return SCAN_SYNTAX
            at += size
        fixed = value_bytes(data[at])
        size = data[at]
        at += 1
        if fixed >= 0:
            if n - at < <size_t> fixed:
                return SCAN_SYNTAX
            at += <size_t> fixed
            continue
        if fixed == VALUE_UNKNOWN or n - at < 4:
            return SCAN_SYNTAX
        named_inside = size == c'F'
        size = load32(data + at)
        at += 4
        if n - at < size:
            return SCAN_SYNTAX
        if fixed == VALUE_NESTED and check_fields(data + at, size, named_inside, depth + 1):
            return SCAN_SYNTAX
        at += size
    return 0


cdef int check_table(const uint8_t *table, size_t n) noexcept nogil:
    if n < 4 or load32(table) != n - 4:
        return SCAN_SYNTAX
    return check_fields(table + 4, n - 4, True, 1)


cdef bint next_field(const uint8_t *data, size_t n, bint named, size_t *at, Field *field) noexcept nogil:
    cdef size_t here = at[0]
    cdef size_t size
    cdef Py_ssize_t fixed
    if here >= n:
        return False
    field.start = data + here
    field.name = NULL
    field.name_bytes = 0
    if named:
        size = data[here]
        if n - here < size + 2:             # length octet, name and letter
            return False
        field.name = data + here + 1
        field.name_bytes = <uint8_t> size
        here += 1 + size
    field.letter = data[here]
    here += 1
    fixed = value_bytes(field.letter)
    if fixed >= 0:
        size = <size_t> fixed
    else:
        if fixed == VALUE_UNKNOWN or n - here < 4:
            return False
        size = load32(data + here)
        here += 4
    if n - here < size:
        return False
    field.value = data + here
    field.value_bytes = size
    here += size
    field.field_bytes = here - at[0]
    at[0] = here
    return True


cdef bint find_field(const uint8_t *table, size_t n, const char *name, size_t name_bytes, Field *field) noexcept nogil:
    cdef size_t at = 4
    while next_field(table, n, True, &at, field):
        if field.name_bytes == name_bytes and memcmp(field.name, name, name_bytes) == 0:
            return True
    return False


cdef uint8_t field_letter(const uint8_t *table, size_t n, const char *name, size_t name_bytes) noexcept nogil:
    cdef Field field
    return field.letter if find_field(table, n, name, name_bytes, &field) else 0


cdef bint integer_of(const Field *field, int64_t *value) noexcept nogil:
    if field.letter == c'I':
        value[0] = <int32_t> load32(field.value)
    elif field.letter == c'l' or field.letter == c'L':
        value[0] = <int64_t> load64(field.value)
    elif field.letter == c'b':
        value[0] = <int8_t> field.value[0]
    elif field.letter == c's':
        value[0] = <int16_t> load16(field.value)
    elif field.letter == c'i':
        value[0] = load32(field.value)
    elif field.letter == c'u':
        value[0] = load16(field.value)
    elif field.letter == c'B':
        value[0] = field.value[0]
    else:
        return False
    return True


cdef bint find_property(
    const uint8_t *properties, size_t n, uint16_t flag, const uint8_t **value, size_t *value_bytes
) noexcept nogil:
    cdef size_t at = 2
    cdef size_t head, size
    cdef uint16_t flags
    cdef uint16_t here = PROPERTY_CONTENT_TYPE
    if n < 2:
        return False
    flags = load16(properties)
    if not flags & flag:
        return False
    while here:
        if flags & here:
            head = 0
            if here == PROPERTY_DELIVERY_MODE or here == PROPERTY_PRIORITY:
                size = 1
            elif here == PROPERTY_TIMESTAMP:
                size = 8
            elif here == PROPERTY_HEADERS:
                if n - at < 4:
                    return False
                size = 4 + <size_t> load32(properties + at)
            else:
                if n - at < 1:
                    return False
                head = 1
                size = properties[at]
            at += head
            if n - at < size:
                return False
            if here == flag:
                value[0] = properties + at
                value_bytes[0] = size
                return True
            at += size
        here >>= 1
    return False


cdef int parse_expiration(const uint8_t *text, size_t n, uint64_t *ttl_ms) noexcept nogil:
    cdef size_t at = 0
    cdef uint64_t value = 0
    cdef bint negative = False
    cdef bint too_long = False
    if n and (text[0] == c'+' or text[0] == c'-'):
        negative = text[0] == c'-'
        at = 1
    if at == n:
        return SCAN_NOT_A_NUMBER
    while at < n:
        if text[at] < c'0' or text[at] > c'9':
            return SCAN_NOT_A_NUMBER
        value = value * 10 + (text[at] - c'0')
        if value > EXPIRATION_MS_MAX:
            too_long = True
            value = EXPIRATION_MS_MAX       # keeps the sum from wrapping around
        at += 1
    if negative and value:
        return SCAN_NEGATIVE
    if too_long:
        return SCAN_TOO_LONG
    ttl_ms[0] = value
    return 0


# --- for Python ---

def scan_error(int code, *, method=(0, 0)):
    """The exception for what a reader answered."""
    if code == SCAN_TOO_LARGE:
        return errors.FrameError("frame larger than the negotiated frame_max", method=method)
    if code == SCAN_BAD_END:
        return errors.FrameError("frame without its end octet", method=method)
    if code == SCAN_BAD_TYPE:
        return errors.FrameError("unknown frame type", method=method)
    if code == SCAN_BAD_WEIGHT:
        return errors.FrameError("content header with a weight other than 0", method=method)
    return errors.SyntaxError_("cannot decode the frame", method=method)


def read_frame(const uint8_t[::1] data not None, uint32_t frame_max=0):
    """(bytes consumed, type, channel, payload) of the first frame, or None where it is incomplete."""
    cdef Frame frame
    cdef Py_ssize_t consumed = next_frame(&data[0], data.shape[0], frame_max, &frame) if data.shape[0] else 0
    if consumed < 0:
        raise scan_error(<int> consumed)
    if consumed == 0:
        return None
    return consumed, frame.type, frame.channel, <bytes> frame.payload[:frame.size]


cdef object text_or_none(const uint8_t *text, size_t n):
    return None if text == NULL else <bytes> text[:n]


def read_publish(const uint8_t[::1] payload not None):
    """(exchange, routing key, mandatory, immediate) of a basic.publish frame's payload."""
    cdef Publish publish
    cdef int failed
    if method_word(&payload[0] if payload.shape[0] else NULL, payload.shape[0]) != METHOD_BASIC_PUBLISH:
        raise scan_error(SCAN_SYNTAX)
    failed = parse_publish(&payload[0], payload.shape[0], &publish)
    if failed:
        raise scan_error(failed, method=(60, 40))
    return (
        <bytes> publish.exchange[:publish.exchange_bytes],
        <bytes> publish.routing_key[:publish.routing_key_bytes],
        bool(publish.mandatory),
        bool(publish.immediate),
    )


def read_settle(const uint8_t[::1] payload not None):
    """(method id, delivery tag, multiple, requeue) of a basic.ack, basic.nack or basic.reject."""
    cdef Settle settle
    cdef int failed = parse_settle(&payload[0] if payload.shape[0] else NULL, payload.shape[0], &settle)
    if failed:
        raise scan_error(failed)
    return settle.method_id, settle.delivery_tag, bool(settle.multiple), bool(settle.requeue)


def read_content_header(const uint8_t[::1] payload not None):
    """A content header frame's payload as a dict of what the compiled core looks at."""
    cdef ContentHeader header
    cdef int failed = parse_content_header(&payload[0] if payload.shape[0] else NULL, payload.shape[0], &header)
    if failed:
        raise scan_error(failed)
    return {
        "class_id": header.class_id,
        "body_size": header.body_size,
        "flags": header.flags,
        "properties": <bytes> header.properties[:header.properties_bytes],
        "delivery_mode": header.delivery_mode,
        "priority": header.priority,
        "headers": text_or_none(header.headers, header.headers_bytes),
        "reply_to": text_or_none(header.reply_to, header.reply_to_bytes),
        "expiration": text_or_none(header.expiration, header.expiration_bytes),
        "message_id": text_or_none(header.message_id, header.message_id_bytes),
        "user_id": text_or_none(header.user_id, header.user_id_bytes),
    }


def is_table(const uint8_t[::1] table not None):
    """Whether a field table with its length word is well-formed to the last byte."""
    return check_table(&table[0] if table.shape[0] else NULL, table.shape[0]) == 0


def read_field_letter(const uint8_t[::1] table not None, bytes name not None):
    """The letter of a table's first field of that name, or None. The table is well-formed (`is_table`)."""
    cdef uint8_t letter = 0
    if table.shape[0]:
        letter = field_letter(&table[0], table.shape[0], name, len(name))
    return chr(letter) if letter else None


def read_property(bytes properties not None, uint16_t flag):
    """The property of that flag, a short string without its length octet; None where there is none."""
    cdef const uint8_t *value = NULL
    cdef size_t n = 0
    found = find_property(<const uint8_t *> properties, len(properties), flag, &value, &n)
    return <bytes> (<const char *> value)[:n] if found else None


def read_expiration(bytes text not None):
    """The expiration property in milliseconds; below 0 where it is none."""
    cdef uint64_t ttl_ms = 0
    cdef int failed = parse_expiration(<const uint8_t *> text, len(text), &ttl_ms)
    return failed if failed else ttl_ms
