"""Writing frames in C: what compiled code uses of amqp091/renderer.pyx.

A `*_bytes` function tells the exact size; the `write_*` beside it fills that room and returns
the end of what it wrote. frame_max cuts the body; 0: no limit. `properties` is the flags word
and property list as they came (at least the two bytes of the flags). Nothing here allocates.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    ACK_FRAME_BYTES = 21        # 8 + class and method id 4 + delivery tag 8 + bits 1
    NACK_FRAME_BYTES = 21
    GET_EMPTY_FRAME_BYTES = 13  # 8 + class and method id 4 + an empty short string 1
    HEARTBEAT_FRAME_BYTES = 8


# content header frame and body frames
cdef size_t content_bytes(uint32_t properties_bytes, uint64_t body_bytes, uint32_t frame_max) noexcept nogil
cdef uint8_t *write_content(
    uint8_t *out, uint16_t channel, const uint8_t *properties, uint32_t properties_bytes,
    const uint8_t *body, uint64_t body_bytes, uint32_t frame_max) noexcept nogil

# basic.deliver with its content
cdef size_t deliver_bytes(
    uint8_t consumer_tag_bytes, uint8_t exchange_bytes, uint8_t routing_key_bytes,
    uint32_t properties_bytes, uint64_t body_bytes, uint32_t frame_max) noexcept nogil
cdef uint8_t *write_deliver(
    uint8_t *out, uint16_t channel,
    const uint8_t *consumer_tag, uint8_t consumer_tag_bytes,
    uint64_t delivery_tag, bint redelivered,
    const uint8_t *exchange, uint8_t exchange_bytes,
    const uint8_t *routing_key, uint8_t routing_key_bytes,
    const uint8_t *properties, uint32_t properties_bytes,
    const uint8_t *body, uint64_t body_bytes, uint32_t frame_max) noexcept nogil

# the same up to the body: whoever has that elsewhere writes the body frames piece by piece
cdef size_t deliver_head_bytes(
    uint8_t consumer_tag_bytes, uint8_t exchange_bytes, uint8_t routing_key_bytes,
    uint32_t properties_bytes) noexcept nogil
cdef uint8_t *write_deliver_head(
    uint8_t *out, uint16_t channel,
    const uint8_t *consumer_tag, uint8_t consumer_tag_bytes,
    uint64_t delivery_tag, bint redelivered,
    const uint8_t *exchange, uint8_t exchange_bytes,
    const uint8_t *routing_key, uint8_t routing_key_bytes,
    const uint8_t *properties, uint32_t properties_bytes, uint64_t body_bytes) noexcept nogil
cdef uint32_t piece_bytes_max(uint32_t frame_max) noexcept nogil
cdef uint8_t *write_body_head(uint8_t *out, uint16_t channel, uint32_t piece_bytes) noexcept nogil

# basic.get-ok with its content
cdef size_t get_ok_bytes(
    uint8_t exchange_bytes, uint8_t routing_key_bytes,
    uint32_t properties_bytes, uint64_t body_bytes, uint32_t frame_max) noexcept nogil
cdef uint8_t *write_get_ok(
    uint8_t *out, uint16_t channel,
    uint64_t delivery_tag, bint redelivered,
    const uint8_t *exchange, uint8_t exchange_bytes,
    const uint8_t *routing_key, uint8_t routing_key_bytes,
    uint32_t message_count,
    const uint8_t *properties, uint32_t properties_bytes,
    const uint8_t *body, uint64_t body_bytes, uint32_t frame_max) noexcept nogil

# basic.get-empty: GET_EMPTY_FRAME_BYTES
cdef uint8_t *write_get_empty(uint8_t *out, uint16_t channel) noexcept nogil

# basic.return with its content
cdef size_t return_bytes(
    uint8_t reply_text_bytes, uint8_t exchange_bytes, uint8_t routing_key_bytes,
    uint32_t properties_bytes, uint64_t body_bytes, uint32_t frame_max) noexcept nogil
cdef uint8_t *write_return(
    uint8_t *out, uint16_t channel,
    uint16_t reply_code, const uint8_t *reply_text, uint8_t reply_text_bytes,
    const uint8_t *exchange, uint8_t exchange_bytes,
    const uint8_t *routing_key, uint8_t routing_key_bytes,
    const uint8_t *properties, uint32_t properties_bytes,
    const uint8_t *body, uint64_t body_bytes, uint32_t frame_max) noexcept nogil

# publisher confirms: ACK_FRAME_BYTES and NACK_FRAME_BYTES
cdef uint8_t *write_ack(uint8_t *out, uint16_t channel, uint64_t delivery_tag, bint multiple) noexcept nogil
cdef uint8_t *write_nack(
    uint8_t *out, uint16_t channel, uint64_t delivery_tag, bint multiple, bint requeue) noexcept nogil
