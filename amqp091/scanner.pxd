"""Reading frames in C: what compiled code uses of amqp091/scanner.pyx.

Every function checks each length against what is there before it reads; pointers in the
results go into the caller's buffer. Nothing here allocates or touches a Python object.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from *:
    """
    #define WARREN_EXPIRATION_MS_MAX 315360000000ULL   /* ten years, as in RabbitMQ */
    #define WARREN_PROPERTIES_BYTES_MAX 4294967295ULL
    """
    # too large for an enum
    const uint64_t EXPIRATION_MS_MAX "WARREN_EXPIRATION_MS_MAX"
    const uint64_t PROPERTIES_BYTES_MAX "WARREN_PROPERTIES_BYTES_MAX"

cdef enum:
    FRAME_METHOD = 1
    FRAME_HEADER = 2
    FRAME_BODY = 3
    FRAME_HEARTBEAT = 8
    FRAME_END = 0xCE
    FRAME_HEAD_BYTES = 7
    FRAME_OVERHEAD_BYTES = 8

    # what a reader answers instead of a length or 0
    SCAN_TOO_LARGE = -1         # FRAME_ERROR: the frame is larger than frame_max
    SCAN_BAD_END = -2           # FRAME_ERROR: no end octet where it belongs
    SCAN_BAD_TYPE = -3          # FRAME_ERROR: unknown frame type
    SCAN_SYNTAX = -4            # SYNTAX_ERROR: the payload does not decode
    SCAN_BAD_WEIGHT = -5        # FRAME_ERROR: content header with a weight
    SCAN_NOT_A_NUMBER = -6      # parse_expiration
    SCAN_NEGATIVE = -7          # parse_expiration
    SCAN_TOO_LONG = -8          # parse_expiration

    # method_word() of the methods that compiled code handles: class id << 16 | method id
    METHOD_BASIC_PUBLISH = 60 << 16 | 40
    METHOD_BASIC_ACK = 60 << 16 | 80
    METHOD_BASIC_REJECT = 60 << 16 | 90
    METHOD_BASIC_NACK = 60 << 16 | 120

    METHOD_HEAD_BYTES = 4       # class id and method id before a method's arguments
    CONTENT_HEAD_BYTES = 12     # class id, weight, body size before the property flags

    # property flags, as they stand in the flags word
    PROPERTY_CONTENT_TYPE = 1 << 15
    PROPERTY_CONTENT_ENCODING = 1 << 14
    PROPERTY_HEADERS = 1 << 13
    PROPERTY_DELIVERY_MODE = 1 << 12
    PROPERTY_PRIORITY = 1 << 11
    PROPERTY_CORRELATION_ID = 1 << 10
    PROPERTY_REPLY_TO = 1 << 9
    PROPERTY_EXPIRATION = 1 << 8
    PROPERTY_MESSAGE_ID = 1 << 7
    PROPERTY_TIMESTAMP = 1 << 6
    PROPERTY_TYPE = 1 << 5
    PROPERTY_USER_ID = 1 << 4
    PROPERTY_APP_ID = 1 << 3
    PROPERTY_CLUSTER_ID = 1 << 2

    DELIVERY_MODE_PERSISTENT = 2
    TABLE_DEPTH_MAX = 64        # tables and arrays inside one another


cdef struct Frame:
    uint8_t type
    uint16_t channel
    uint32_t size               # of the payload
    const uint8_t *payload


cdef struct Publish:
    const uint8_t *exchange
    const uint8_t *routing_key
    uint8_t exchange_bytes
    uint8_t routing_key_bytes
    uint8_t mandatory
    uint8_t immediate


# basic.ack, basic.nack, basic.reject
cdef struct Settle:
    uint64_t delivery_tag
    uint16_t method_id          # 80, 120, 90
    uint8_t multiple            # never with reject
    uint8_t requeue             # never with ack


# A string property that is absent has a NULL pointer; an empty one has length 0.
cdef struct ContentHeader:
    uint16_t class_id
    uint16_t flags
    uint64_t body_size
    const uint8_t *properties   # flags word and property list as they came
    uint32_t properties_bytes
    uint32_t headers_bytes
    const uint8_t *headers      # the table with its length word, as tables.decode_table takes it
    const uint8_t *reply_to
    const uint8_t *expiration
    const uint8_t *message_id
    const uint8_t *user_id
    uint8_t reply_to_bytes
    uint8_t expiration_bytes
    uint8_t message_id_bytes
    uint8_t user_id_bytes
    uint8_t delivery_mode       # 0 where absent
    uint8_t priority            # 0 where absent


# A field of a table, or a value of an array, which has no name.
cdef struct Field:
    const uint8_t *start        # of all of it
    const uint8_t *name
    const uint8_t *value        # behind the letter, and behind the length word of S, x, A and F
    size_t field_bytes          # all of it, from `start`
    size_t value_bytes
    uint8_t name_bytes
    uint8_t letter


# The next frame of `data`: bytes consumed, 0 where more are needed, or SCAN_* (< 0).
# A bad type or size is told as soon as it can be seen. frame_max 0: no limit.
cdef Py_ssize_t next_frame(const uint8_t *data, size_t n, uint32_t frame_max, Frame *frame) noexcept nogil

# Class id << 16 | method id of a method frame's payload; 0 where it is too short to have them.
cdef uint32_t method_word(const uint8_t *payload, size_t n) noexcept nogil

# These take a frame's whole payload. 0, or SCAN_* (< 0).
cdef int parse_publish(const uint8_t *payload, size_t n, Publish *publish) noexcept nogil
cdef int parse_settle(const uint8_t *payload, size_t n, Settle *settle) noexcept nogil
cdef int parse_content_header(const uint8_t *payload, size_t n, ContentHeader *header) noexcept nogil

# The property flags and list alone (as in a bus or log record), with their tables walked through.
# Fills all of `header` but class_id and body_size.
cdef int parse_properties(const uint8_t *properties, size_t n, ContentHeader *header) noexcept nogil

# A field table with its length word: 0 where it is well-formed to the last byte.
cdef int check_table(const uint8_t *table, size_t n) noexcept nogil

# The letter of the first field of that name in a table that check_table found well-formed; 0 where there is none.
cdef uint8_t field_letter(const uint8_t *table, size_t n, const char *name, size_t name_bytes) noexcept nogil

# The field at data[at[0]] of the inside of a table (named) or an array; at[0] is moved behind it.
# False at the end, and where no whole field is.
cdef bint next_field(const uint8_t *data, size_t n, bint named, size_t *at, Field *field) noexcept nogil

# The first field of that name in a table with its length word, which check_table found well-formed; False: none.
cdef bint find_field(const uint8_t *table, size_t n, const char *name, size_t name_bytes, Field *field) noexcept nogil

# The value of a field with one of the letters b, B, s, u, I, i, l, L; False for any other.
cdef bint integer_of(const Field *field, int64_t *value) noexcept nogil

# The property of that flag in properties that parse_properties found well-formed: a short string without its length
# octet, any other as it stands. False where there is none.
cdef bint find_property(
    const uint8_t *properties, size_t n, uint16_t flag, const uint8_t **value, size_t *value_bytes) noexcept nogil

# The expiration property in milliseconds, by RabbitMQ's rule: a decimal integer, 0 to EXPIRATION_MS_MAX.
cdef int parse_expiration(const uint8_t *text, size_t n, uint64_t *ttl_ms) noexcept nogil


cdef inline uint16_t load16(const uint8_t *p) noexcept nogil:
    return <uint16_t> ((<uint32_t> p[0] << 8) | p[1])


cdef inline uint32_t load32(const uint8_t *p) noexcept nogil:
    return (<uint32_t> p[0] << 24) | (<uint32_t> p[1] << 16) | (<uint32_t> p[2] << 8) | p[3]


cdef inline uint64_t load64(const uint8_t *p) noexcept nogil:
    return (<uint64_t> load32(p) << 32) | load32(p + 4)
