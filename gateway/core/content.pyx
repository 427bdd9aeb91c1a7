# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Collects a publish that comes in pieces, one per channel: contents of several channels interleave.

One run of bytes holds exchange, routing key, the payload of the content header frame, then the
body. It grows with what has come, not with what the header promises, and is given back as
soon as the publish is whole. A body over max_message_bytes is refused by its header. One that is read into a room is put
together there, and only the rest is collected (joining.pyx).
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from amqp091.scanner cimport SCAN_BAD_WEIGHT, ContentHeader, Frame, Publish, load16, parse_content_header
from bus.room cimport Room
from gateway.core.joining cimport add_joined, begin_join
from gateway.core.publishing cimport publish
from gateway.core.state cimport (
    CONTENT_BODY, CONTENT_HEADER, CONTENT_NONE, ChannelState, Content, GatewayState, reset_content, unjoin,
)

from gateway.core import frame_errors, publish_errors

cdef enum:
    BASIC_CLASS = 60
    BODY_BYTES_MAX = 512 * 1024 * 1024      # a frame error above it, whatever max_message_bytes says
    SPARE_BYTES_MIN = 128 * 1024
    SPARE_BYTES_MAX = 1024 * 1024
    FRAME_END_BYTES = 1
    FIRST_BODY_BYTES_MAX = 256 * 1024       # room made for a body before any of it is here: untouched until it comes


cdef int check_body_size(GatewayState gateway, uint64_t body_bytes) except -1:
    if body_bytes > BODY_BYTES_MAX:
        raise frame_errors.body_beyond_limit(body_bytes, BODY_BYTES_MAX)
    if body_bytes > gateway.max_message_bytes:
        raise publish_errors.message_too_large(body_bytes, gateway.max_message_bytes)
    return 0


cdef int make_room(GatewayState gateway, Content *content, size_t wanted) except -1:
    cdef uint8_t *grown
    if wanted <= content.capacity:
        return 0
    if wanted >= SPARE_BYTES_MIN and wanted <= gateway.spare_content_bytes:
        memcpy(gateway.spare_content, content.data, content.used)
        free(content.data)
        content.data = gateway.spare_content
        content.capacity = gateway.spare_content_bytes
        gateway.spare_content = NULL
        gateway.spare_content_bytes = 0
        return 0
    grown = <uint8_t *> realloc(content.data, wanted)
    if grown == NULL:
        raise MemoryError()
    content.data = grown
    content.capacity = wanted
    return 0


cdef void keep_spare(GatewayState gateway, Content *content) noexcept:
    """The memory of a content that is done with serves the next large one: fresh pages cost more than the copy."""
    if content.capacity < SPARE_BYTES_MIN or content.capacity > SPARE_BYTES_MAX \
            or content.capacity <= gateway.spare_content_bytes:
        free(content.data)
        return
    free(gateway.spare_content)
    gateway.spare_content = content.data
    gateway.spare_content_bytes = content.capacity


cdef int begin_content(ChannelState channel, const Publish *method) except -1:
    """Keeps the method's arguments until the header comes."""
    cdef Content *content = &channel.content
    cdef size_t n = <size_t> method.exchange_bytes + method.routing_key_bytes
    make_room(channel.gateway, content, n + 1)
    memcpy(content.data, method.exchange, method.exchange_bytes)
    memcpy(content.data + method.exchange_bytes, method.routing_key, method.routing_key_bytes)
    content.used = n
    content.exchange_bytes = method.exchange_bytes
    content.routing_key_bytes = method.routing_key_bytes
    content.mandatory = method.mandatory
    content.state = CONTENT_HEADER
    return 0


cdef int add_header(ChannelState channel, const Frame *frame) except -1:
    cdef Content *content = &channel.content
    cdef ContentHeader header
    cdef int fault
    cdef uint64_t room
    if frame.size >= 2 and load16(frame.payload) != BASIC_CLASS:
        raise frame_errors.header_of_another_class(load16(frame.payload))
    fault = parse_content_header(frame.payload, frame.size, &header)
    if fault == SCAN_BAD_WEIGHT:
        raise frame_errors.header_expected()
    if fault < 0:
        raise frame_errors.undecodable_header()
    check_body_size(channel.gateway, header.body_size)
    room = header.body_size if header.body_size < FIRST_BODY_BYTES_MAX else FIRST_BODY_BYTES_MAX
    if begin_join(channel, header.body_size, frame.payload + frame.size + FRAME_END_BYTES):
        room = 0
    make_room(channel.gateway, content, content.used + frame.size + room)
    memcpy(content.data + content.used, frame.payload, frame.size)
    content.used += frame.size
    content.header_bytes = frame.size
    content.body_bytes = header.body_size
    content.body_received = 0
    content.state = CONTENT_BODY
    if header.body_size == 0:
        return publish_collected(channel)
    return 0


cdef int add_body(ChannelState channel, const Frame *frame) except -1:
    cdef Content *content = &channel.content
    cdef size_t capacity = content.capacity
    cdef size_t whole = content.used - content.body_received + content.body_bytes
    if frame.size > content.body_bytes - content.body_received:
        raise frame_errors.body_too_long(content.body_bytes, content.body_received + frame.size)
    if content.joins:
        add_joined(channel, frame.payload, frame.size)
        content.body_received += frame.size
        if content.body_received == content.body_bytes:
            return publish_collected(channel)
        return 0
    if content.used + frame.size > capacity:
        capacity *= 2
        if capacity < content.used + frame.size:
            capacity = content.used + frame.size
        make_room(channel.gateway, content, whole if whole < capacity else capacity)
    memcpy(content.data + content.used, frame.payload, frame.size)
    content.used += frame.size
    content.body_received += frame.size
    if content.body_received == content.body_bytes:
        return publish_collected(channel)
    return 0


cdef int publish_collected(ChannelState channel) except -1:
    """The content is whole. It is taken off the channel first: a hook may close that."""
    cdef Content content = channel.content
    cdef Publish method
    cdef ContentHeader header
    cdef Room room = None
    cdef const uint8_t *body
    memset(&channel.content, 0, sizeof(Content))
    method.exchange = content.data
    method.exchange_bytes = content.exchange_bytes
    method.routing_key = content.data + content.exchange_bytes
    method.routing_key_bytes = content.routing_key_bytes
    method.mandatory = content.mandatory
    method.immediate = 0
    if content.joins:
        room = channel.connection.join_room
        unjoin(channel.connection)
        body = room.data + room.position
    else:
        body = method.routing_key + method.routing_key_bytes + content.header_bytes
    try:
        parse_content_header(method.routing_key + method.routing_key_bytes, content.header_bytes, &header)
        if room is None:
            publish(channel, &method, &header, body)
        else:
            publish_joined(channel, &method, &header, room, body)
    finally:
        keep_spare(channel.gateway, &content)
    return 0


cdef int publish_joined(
    ChannelState channel, const Publish *method, const ContentHeader *header, Room room, const uint8_t *body
) except -1:
    """The body lies at the room's position, which is behind it if it stays there."""
    cdef GatewayState gateway = channel.gateway
    cdef bint named = room.named
    gateway.joined = room
    room.named = False
    try:
        publish(channel, method, header, body)
    finally:
        gateway.joined = None
        if room.named:
            room.position += header.body_size
            room.gap_bytes -= <int64_t> header.body_size
            if gateway.reading is not None:
                gateway.reading.named = True
        room.named = room.named or named
    return 0
