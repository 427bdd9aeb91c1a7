# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Writes the frames that occur per message: deliver, get-ok and return with their content, ack, nack.

Owns no memory: the caller asks for the size, makes room, and has it filled; see renderer.pxd.
The Python functions at the end return the same frames as bytes, for rare paths and tests.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from amqp091.scanner cimport (
    CONTENT_HEAD_BYTES,
    FRAME_BODY,
    FRAME_END,
    FRAME_HEAD_BYTES,
    FRAME_HEADER,
    FRAME_METHOD,
    FRAME_OVERHEAD_BYTES,
    METHOD_HEAD_BYTES,
)

cdef enum:
    CLASS_BASIC = 60
    METHOD_RETURN = 50
    METHOD_DELIVER = 60
    METHOD_GET_OK = 71
    METHOD_GET_EMPTY = 72
    METHOD_ACK = 80
    METHOD_NACK = 120
    # arguments without the text of their short strings
    DELIVER_FIXED_BYTES = 1 + 8 + 1 + 1 + 1         # consumer tag, delivery tag, redelivered, exchange, routing key
    GET_OK_FIXED_BYTES = 8 + 1 + 1 + 1 + 4          # delivery tag, redelivered, exchange, routing key, message count
    RETURN_FIXED_BYTES = 2 + 1 + 1 + 1              # reply code, reply text, exchange, routing key
    SETTLE_ARGUMENT_BYTES = 8 + 1                   # delivery tag, bits
    UNLIMITED_FRAME_BYTES = 0x7FFFFFFF              # where frame_max is 0


cdef inline uint8_t *put16(uint8_t *out, uint16_t value) noexcept nogil:
    out[0] = <uint8_t> (value >> 8)
    out[1] = <uint8_t> value
    return out + 2


cdef inline uint8_t *put32(uint8_t *out, uint32_t value) noexcept nogil:
    out[0] = <uint8_t> (value >> 24)
    out[1] = <uint8_t> (value >> 16)
    out[2] = <uint8_t> (value >> 8)
    out[3] = <uint8_t> value
    return out + 4


cdef inline uint8_t *put64(uint8_t *out, uint64_t value) noexcept nogil:
    return put32(put32(out, <uint32_t> (value >> 32)), <uint32_t> value)


cdef inline uint8_t *put_bytes(uint8_t *out, const uint8_t *source, size_t n) noexcept nogil:
    if n:
        memcpy(out, source, n)
    return out + n


cdef inline uint8_t *put_shortstr(uint8_t *out, const uint8_t *text, uint8_t n) noexcept nogil:
    out[0] = n
    return put_bytes(out + 1, text, n)


cdef inline uint8_t *put_frame_head(uint8_t *out, uint8_t kind, uint16_t channel, uint32_t size) noexcept nogil:
    out[0] = kind
    return put32(put16(out + 1, channel), size)


cdef inline uint8_t *put_method_head(
        uint8_t *out, uint16_t channel, uint16_t method_id, uint32_t argument_bytes) noexcept nogil:
    out = put_frame_head(out, FRAME_METHOD, channel, METHOD_HEAD_BYTES + argument_bytes)
    return put16(put16(out, CLASS_BASIC), method_id)


cdef inline uint8_t *put_frame_end(uint8_t *out) noexcept nogil:
    out[0] = FRAME_END
    return out + 1


cdef uint32_t piece_bytes_max(uint32_t frame_max) noexcept nogil:
    """How much body a frame holds. A frame_max without room for any is not a frame_max that was negotiated."""
    return (frame_max if frame_max > FRAME_OVERHEAD_BYTES else <uint32_t> UNLIMITED_FRAME_BYTES) - FRAME_OVERHEAD_BYTES


cdef size_t content_bytes(uint32_t properties_bytes, uint64_t body_bytes, uint32_t frame_max) noexcept nogil:
    cdef uint64_t piece = piece_bytes_max(frame_max)
    cdef uint64_t frames = (body_bytes + piece - 1) / piece
    return <size_t> (
        FRAME_OVERHEAD_BYTES + CONTENT_HEAD_BYTES + properties_bytes + body_bytes + frames * FRAME_OVERHEAD_BYTES)


cdef inline uint8_t *write_content_head(
        uint8_t *out, uint16_t channel, const uint8_t *properties, uint32_t properties_bytes,
        uint64_t body_bytes) noexcept nogil:
    out = put_frame_head(out, FRAME_HEADER, channel, CONTENT_HEAD_BYTES + properties_bytes)
    out = put64(put16(put16(out, CLASS_BASIC), 0), body_bytes)
    return put_frame_end(put_bytes(out, properties, properties_bytes))


cdef uint8_t *write_body_head(uint8_t *out, uint16_t channel, uint32_t piece_bytes) noexcept nogil:
    return put_frame_head(out, FRAME_BODY, channel, piece_bytes)


cdef uint8_t *write_content(
        uint8_t *out, uint16_t channel, const uint8_t *properties, uint32_t properties_bytes,
        const uint8_t *body, uint64_t body_bytes, uint32_t frame_max) noexcept nogil:
    cdef uint64_t left = body_bytes
    cdef uint32_t piece_max = piece_bytes_max(frame_max)
    cdef uint32_t piece
    out = write_content_head(out, channel, properties, properties_bytes, body_bytes)
    while left:
        piece = piece_max if left > piece_max else <uint32_t> left
        out = put_frame_head(out, FRAME_BODY, channel, piece)
        out = put_frame_end(put_bytes(out, body, piece))
        body += piece
        left -= piece
    return out


cdef size_t deliver_bytes(
        uint8_t consumer_tag_bytes, uint8_t exchange_bytes, uint8_t routing_key_bytes,
        uint32_t properties_bytes, uint64_t body_bytes, uint32_t frame_max) noexcept nogil:
    return (
        FRAME_OVERHEAD_BYTES + METHOD_HEAD_BYTES + DELIVER_FIXED_BYTES
        + <size_t> consumer_tag_bytes + exchange_bytes + routing_key_bytes
        + content_bytes(properties_bytes, body_bytes, frame_max))


cdef inline uint8_t *write_deliver_method(
        uint8_t *out, uint16_t channel,
        const uint8_t *consumer_tag, uint8_t consumer_tag_bytes,
        uint64_t delivery_tag, bint redelivered,
        const uint8_t *exchange, uint8_t exchange_bytes,
        const uint8_t *routing_key, uint8_t routing_key_bytes) noexcept nogil:
    out = put_method_head(
        out, channel, METHOD_DELIVER,
        <uint32_t> DELIVER_FIXED_BYTES + consumer_tag_bytes + exchange_bytes + routing_key_bytes)
    out = put_shortstr(out, consumer_tag, consumer_tag_bytes)
    out = put64(out, delivery_tag)
    out[0] = 1 if redelivered else 0
    out = put_shortstr(out + 1, exchange, exchange_bytes)
    return put_frame_end(put_shortstr(out, routing_key, routing_key_bytes))


cdef uint8_t *write_deliver(
        uint8_t *out, uint16_t channel,
        const uint8_t *consumer_tag, uint8_t consumer_tag_bytes,
        uint64_t delivery_tag, bint redelivered,
        const uint8_t *exchange, uint8_t exchange_bytes,
        const uint8_t *routing_key, uint8_t routing_key_bytes,
        const uint8_t *properties, uint32_t properties_bytes,
        const uint8_t *body, uint64_t body_bytes, uint32_t frame_max) noexcept nogil:
    out = write_deliver_method(
        out, channel, consumer_tag, consumer_tag_bytes, delivery_tag, redelivered, exchange, exchange_bytes,
        routing_key, routing_key_bytes)
    return write_content(out, channel, properties, properties_bytes, body, body_bytes, frame_max)


cdef size_t deliver_head_bytes(
        uint8_t consumer_tag_bytes, uint8_t exchange_bytes, uint8_t routing_key_bytes,
        uint32_t properties_bytes) noexcept nogil:
    return deliver_bytes(consumer_tag_bytes, exchange_bytes, routing_key_bytes, properties_bytes, 0, 0)


cdef uint8_t *write_deliver_head(
        uint8_t *out, uint16_t channel,
        const uint8_t *consumer_tag, uint8_t consumer_tag_bytes,
        uint64_t delivery_tag, bint redelivered,
        const uint8_t *exchange, uint8_t exchange_bytes,
        const uint8_t *routing_key, uint8_t routing_key_bytes,
        const uint8_t *properties, uint32_t properties_bytes, uint64_t body_bytes) noexcept nogil:
    out = write_deliver_method(
        out, channel, consumer_tag, consumer_tag_bytes, delivery_tag, redelivered, exchange, exchange_bytes,
        routing_key, routing_key_bytes)
    return write_content_head(out, channel, properties, properties_bytes, body_bytes)


cdef size_t get_ok_bytes(
        uint8_t exchange_bytes, uint8_t routing_key_bytes,
        uint32_t properties_bytes, uint64_t body_bytes, uint32_t frame_max) noexcept nogil:
    return (
        FRAME_OVERHEAD_BYTES + METHOD_HEAD_BYTES + GET_OK_FIXED_BYTES
        + <size_t> exchange_bytes + routing_key_bytes
        + content_bytes(properties_bytes, body_bytes, frame_max))


cdef uint8_t *write_get_ok(
        uint8_t *out, uint16_t channel,
        uint64_t delivery_tag, bint redelivered,
        const uint8_t *exchange, uint8_t exchange_bytes,
        const uint8_t *routing_key, uint8_t routing_key_bytes,
        uint32_t message_count,
        const uint8_t *properties, uint32_t properties_bytes,
        const uint8_t *body, uint64_t body_bytes, uint32_t frame_max) noexcept nogil:
    out = put_method_head(
        out, channel, METHOD_GET_OK, <uint32_t> GET_OK_FIXED_BYTES + exchange_bytes + routing_key_bytes)
    out = put64(out, delivery_tag)
    out[0] = 1 if redelivered else 0
    out = put_shortstr(out + 1, exchange, exchange_bytes)
    out = put_shortstr(out, routing_key, routing_key_bytes)
    out = put_frame_end(put32(out, message_count))
    return write_content(out, channel, properties, properties_bytes, body, body_bytes, frame_max)


cdef uint8_t *write_get_empty(uint8_t *out, uint16_t channel) noexcept nogil:
    return put_frame_end(put_shortstr(put_method_head(out, channel, METHOD_GET_EMPTY, 1), NULL, 0))


cdef size_t return_bytes(
        uint8_t reply_text_bytes, uint8_t exchange_bytes, uint8_t routing_key_bytes,
        uint32_t properties_bytes, uint64_t body_bytes, uint32_t frame_max) noexcept nogil:
    return (
        FRAME_OVERHEAD_BYTES + METHOD_HEAD_BYTES + RETURN_FIXED_BYTES
        + <size_t> reply_text_bytes + exchange_bytes + routing_key_bytes
        + content_bytes(properties_bytes, body_bytes, frame_max))


cdef uint8_t *write_return(
        uint8_t *out, uint16_t channel,
        uint16_t reply_code, const uint8_t *reply_text, uint8_t reply_text_bytes,
        const uint8_t *exchange, uint8_t exchange_bytes,
        const uint8_t *routing_key, uint8_t routing_key_bytes,
        const uint8_t *properties, uint32_t properties_bytes,
        const uint8_t *body, uint64_t body_bytes, uint32_t frame_max) noexcept nogil:
    out = put_method_head(
        out, channel, METHOD_RETURN,
        <uint32_t> RETURN_FIXED_BYTES + reply_text_bytes + exchange_bytes + routing_key_bytes)
    out = put_shortstr(put16(out, reply_code), reply_text, reply_text_bytes)
    out = put_shortstr(out, exchange, exchange_bytes)
    out = put_frame_end(put_shortstr(out, routing_key, routing_key_bytes))
    return write_content(out, channel, properties, properties_bytes, body, body_bytes, frame_max)


cdef uint8_t *write_ack(uint8_t *out, uint16_t channel, uint64_t delivery_tag, bint multiple) noexcept nogil:
    out = put64(put_method_head(out, channel, METHOD_ACK, SETTLE_ARGUMENT_BYTES), delivery_tag)
    out[0] = 1 if multiple else 0
    return put_frame_end(out + 1)


cdef uint8_t *write_nack(
        uint8_t *out, uint16_t channel, uint64_t delivery_tag, bint multiple, bint requeue) noexcept nogil:
    out = put64(put_method_head(out, channel, METHOD_NACK, SETTLE_ARGUMENT_BYTES), delivery_tag)
    out[0] = (1 if multiple else 0) | (2 if requeue else 0)
    return put_frame_end(out + 1)


# --- for Python ---

cdef int check_shortstr(bytes text) except -1:
    if len(text) > 255:
        raise ValueError("a short string has at most 255 bytes")
    return 0


cdef int check_properties(bytes properties) except -1:
    if len(properties) < 2 or len(properties) > 0x7FFFFFFF:
        raise ValueError("properties begin with their flags")
    return 0


def render_deliver(
        uint16_t channel, bytes consumer_tag not None, uint64_t delivery_tag, bint redelivered,
        bytes exchange not None, bytes routing_key not None, bytes properties not None,
        const uint8_t[::1] body not None, uint32_t frame_max):
    """basic.deliver with its content."""
    cdef bytes frames
    check_shortstr(consumer_tag)
    check_shortstr(exchange)
    check_shortstr(routing_key)
    check_properties(properties)
    frames = PyBytes_FromStringAndSize(NULL, <Py_ssize_t> deliver_bytes(
        len(consumer_tag), len(exchange), len(routing_key), len(properties), body.shape[0], frame_max))
    write_deliver(
        <uint8_t *> PyBytes_AS_STRING(frames), channel, consumer_tag, len(consumer_tag), delivery_tag, redelivered,
        exchange, len(exchange), routing_key, len(routing_key), properties, len(properties),
        &body[0] if body.shape[0] else NULL, body.shape[0], frame_max)
    return frames


def render_get_ok(
        uint16_t channel, uint64_t delivery_tag, bint redelivered, bytes exchange not None,
        bytes routing_key not None, uint32_t message_count, bytes properties not None,
        const uint8_t[::1] body not None, uint32_t frame_max):
    """basic.get-ok with its content."""
    cdef bytes frames
    check_shortstr(exchange)
    check_shortstr(routing_key)
    check_properties(properties)
    frames = PyBytes_FromStringAndSize(NULL, <Py_ssize_t> get_ok_bytes(
        len(exchange), len(routing_key), len(properties), body.shape[0], frame_max))
    write_get_ok(
        <uint8_t *> PyBytes_AS_STRING(frames), channel, delivery_tag, redelivered,
        exchange, len(exchange), routing_key, len(routing_key), message_count, properties, len(properties),
        &body[0] if body.shape[0] else NULL, body.shape[0], frame_max)
    return frames


def render_return(
        uint16_t channel, uint16_t reply_code, bytes reply_text not None, bytes exchange not None,
        bytes routing_key not None, bytes properties not None, const uint8_t[::1] body not None,
        uint32_t frame_max):
    """basic.return with its content."""
    cdef bytes frames
    check_shortstr(reply_text)
    check_shortstr(exchange)
    check_shortstr(routing_key)
    check_properties(properties)
    frames = PyBytes_FromStringAndSize(NULL, <Py_ssize_t> return_bytes(
        len(reply_text), len(exchange), len(routing_key), len(properties), body.shape[0], frame_max))
    write_return(
        <uint8_t *> PyBytes_AS_STRING(frames), channel, reply_code, reply_text, len(reply_text),
        exchange, len(exchange), routing_key, len(routing_key), properties, len(properties),
        &body[0] if body.shape[0] else NULL, body.shape[0], frame_max)
    return frames


def render_ack(uint16_t channel, uint64_t delivery_tag, bint multiple=False):
    cdef uint8_t frame[ACK_FRAME_BYTES]
    write_ack(frame, channel, delivery_tag, multiple)
    return <bytes> frame[:ACK_FRAME_BYTES]


def render_nack(uint16_t channel, uint64_t delivery_tag, bint multiple=False, bint requeue=False):
    cdef uint8_t frame[NACK_FRAME_BYTES]
    write_nack(frame, channel, delivery_tag, multiple, requeue)
    return <bytes> frame[:NACK_FRAME_BYTES]
