# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A consumer that is a server: it answers each request to where the request wants the answer, with its correlation id.

The answer is as long as the request and has its stamp, by which the client (requester.pyx) knows it. It is published
before the request is acknowledged.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from amqp091.renderer cimport content_bytes, write_content
from amqp091.scanner cimport (
    FRAME_END, FRAME_METHOD, FRAME_OVERHEAD_BYTES, METHOD_BASIC_PUBLISH, PROPERTY_CONTENT_ENCODING,
    PROPERTY_CONTENT_TYPE, PROPERTY_CORRELATION_ID, PROPERTY_DELIVERY_MODE, PROPERTY_HEADERS, PROPERTY_PRIORITY,
    ContentHeader, parse_content_header,
)
from bench.perf.core.connection cimport Connection
from bench.perf.core.consumer cimport Consumer
from bench.perf.core.template cimport STAMP_BYTES

cdef enum:
    CHANNEL = 1
    SHORT_STRING_MAX = 255
    FLAGS_BYTES = 2
    FILLER = 0x78                       # "x"
    PUBLISH_BYTES_MIN = 4 + 2 + 1 + 1 + 1       # ids, a short, empty exchange, empty routing key, bits


cdef inline uint8_t *put_uint16(uint8_t *out, uint32_t value) noexcept:
    out[0] = <uint8_t> (value >> 8)
    out[1] = <uint8_t> value
    return out + 2


cdef inline uint8_t *put_uint32(uint8_t *out, uint32_t value) noexcept:
    return put_uint16(put_uint16(out, value >> 16), value & 0xFFFF)


cdef const uint8_t *correlation_of(const ContentHeader *header) noexcept:
    """The correlation id with its length, in properties that parse_content_header found well-formed; NULL: none."""
    cdef const uint8_t *at = header.properties + FLAGS_BYTES
    if not header.flags & PROPERTY_CORRELATION_ID:
        return NULL
    if header.flags & PROPERTY_CONTENT_TYPE:
        at += 1 + at[0]
    if header.flags & PROPERTY_CONTENT_ENCODING:
        at += 1 + at[0]
    if header.flags & PROPERTY_HEADERS:
        at += header.headers_bytes
    if header.flags & PROPERTY_DELIVERY_MODE:
        at += 1
    if header.flags & PROPERTY_PRIORITY:
        at += 1
    return at


cdef class Responder(Consumer):
    cdef uint8_t *body
    cdef size_t body_bytes
    # of the request that is coming in
    cdef uint8_t reply_to[SHORT_STRING_MAX]
    cdef uint32_t reply_to_bytes        # 0: nobody waits for an answer
    cdef uint8_t properties[FLAGS_BYTES + 1 + SHORT_STRING_MAX]
    cdef uint32_t properties_bytes

    def __cinit__(self, *args, size_t size, **kwargs):
        """`size`: bytes of an answer, at least those of a stamp."""
        if size < STAMP_BYTES:
            raise ValueError(f"an answer has {STAMP_BYTES} bytes at least")
        self.body = <uint8_t *> malloc(size)
        if self.body == NULL:
            raise MemoryError()
        memset(self.body, FILLER, size)
        self.body_bytes = size

    def __dealloc__(self):
        free(self.body)

    cdef int take_header(self, const uint8_t *payload, size_t n, uint64_t now_ns) except -1:
        cdef ContentHeader header
        cdef const uint8_t *correlation_id
        if parse_content_header(payload, n, &header):
            raise self.failure("the broker sent a content header that is none")
        self.reply_to_bytes = header.reply_to_bytes
        if header.reply_to_bytes:
            memcpy(self.reply_to, header.reply_to, header.reply_to_bytes)
        correlation_id = correlation_of(&header)
        self.properties_bytes = FLAGS_BYTES
        put_uint16(self.properties, PROPERTY_CORRELATION_ID if correlation_id != NULL else 0)
        if correlation_id != NULL:
            memcpy(self.properties + FLAGS_BYTES, correlation_id, 1 + correlation_id[0])
            self.properties_bytes += 1 + correlation_id[0]
        return Connection.take_header(self, payload, n, now_ns)

    cdef int on_content(self, uint64_t now_ns) except -1:
        if self.reply_to_bytes and self.stamp_bytes == STAMP_BYTES:
            self.answer()
        return Consumer.on_content(self, now_ns)

    cdef int answer(self) except -1:
        """basic.publish over the default exchange."""
        cdef uint32_t method_bytes = PUBLISH_BYTES_MIN + self.reply_to_bytes
        cdef size_t n = FRAME_OVERHEAD_BYTES + method_bytes + content_bytes(
            self.properties_bytes, self.body_bytes, self.frame_max)
        cdef uint8_t *out = self.room(n)
        memcpy(self.body, self.stamp, STAMP_BYTES)
        out[0] = FRAME_METHOD
        out = put_uint32(put_uint16(out + 1, CHANNEL), method_bytes)
        out = put_uint16(put_uint32(out, METHOD_BASIC_PUBLISH), 0)
        out[0] = 0
        out[1] = <uint8_t> self.reply_to_bytes
        memcpy(out + 2, self.reply_to, self.reply_to_bytes)
        out += 2 + self.reply_to_bytes
        out[0] = 0
        out[1] = FRAME_END
        write_content(out + 2, CHANNEL, self.properties, self.properties_bytes, self.body, self.body_bytes,
                      self.frame_max)
        self.wrote(n)
        return 0
