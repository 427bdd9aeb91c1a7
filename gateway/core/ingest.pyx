# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Connection ingest: walks the frames of a run of input bytes, strictly in order.

basic.publish with its content, basic.ack, nack and reject are done here; every other method
goes to the hook on_method. A publish whose header and only body frame follow in the same
run is handled where it lies; otherwise its pieces are collected per channel (content.pyx).
Errors end in one place, on_channel_error or on_connection_error.

It reads input and never keeps it: what is not consumed, the caller keeps (connection.pyx).
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from amqp091.scanner cimport (
    FRAME_BODY, FRAME_HEAD_BYTES, FRAME_HEADER, FRAME_METHOD, METHOD_BASIC_ACK, METHOD_BASIC_NACK,
    METHOD_BASIC_PUBLISH, METHOD_BASIC_REJECT, METHOD_HEAD_BYTES, SCAN_BAD_END, SCAN_TOO_LARGE, ContentHeader, Frame,
    Publish, load16, load32, method_word, next_frame, parse_content_header, parse_publish,
)
from gateway.core.content cimport add_body, add_header, begin_content, check_body_size
from gateway.core.expecting cimport EXPECTED_ROUTES_MIN, expect_routes
from gateway.core.publishing cimport publish
from gateway.core.settling cimport settle
from gateway.core.state cimport (
    CONTENT_BODY, CONTENT_HEADER, CONTENT_NONE, PAUSED_BY_HOLD, ChannelState, ConnectionState, channel_at,
    reset_content,
)

from amqp091.errors import ChannelError, ConnectionLevelError

from gateway.core import frame_errors, publish_errors

cdef enum:
    PROTOCOL_HEADER_BYTES = 8
    HELD_BY_ALARM = -1
    WAITS = 1
    WAITED_FOR_BYTES_MAX = 192 * 1024    # of a body frame: a room has place for it, and for what it begins with
    FRAME_HEARTBEAT_TYPE = 8
    BASIC_CLASS = 60
    # class id << 16 | method id of the methods that are still heard while closing
    CONNECTION_CLOSE = 10 << 16 | 50
    CONNECTION_CLOSE_OK = 10 << 16 | 51
    CHANNEL_CLOSE = 20 << 16 | 40
    CHANNEL_CLOSE_OK = 20 << 16 | 41


cdef int ingest(ConnectionState connection, const uint8_t *data, size_t n, size_t *consumed) except -1:
    """Handles what is complete, until a pause. `consumed` is right even when a hook raises."""
    consumed[0] = 0
    while True:
        try:
            walk(connection, data, n, consumed)
            return 0
        except ChannelError as error:
            fail_channel(connection, error)
        except ConnectionLevelError as error:
            connection.closing = True
            (<object> connection).on_connection_error(error)


cdef int fail_channel(ConnectionState connection, error) except -1:
    cdef uint16_t number = connection.current_channel
    cdef ChannelState channel = channel_at(connection, number)
    if number == 0:
        connection.closing = True
        (<object> connection).on_connection_error(error)
        return 0
    if channel is not None:
        channel.closing = True
        reset_content(channel)
    (<object> connection).on_channel_error(number, error)
    return 0


cdef int walk(ConnectionState connection, const uint8_t *data, size_t n, size_t *consumed) except -1:
    cdef Frame frame
    cdef Py_ssize_t taken
    cdef ChannelState channel
    cdef uint32_t word
    cdef size_t expected = 0                # what publishes before it need was asked for
    if not connection.header_seen:
        if n < PROTOCOL_HEADER_BYTES or connection.is_closed or connection.pauses:
            return 0
        connection.header_seen = True
        consumed[0] = PROTOCOL_HEADER_BYTES
        connection.current_channel = 0
        (<object> connection).on_protocol_header(data[:PROTOCOL_HEADER_BYTES])
    while not connection.pauses:
        if connection.is_closed or connection.is_deaf:
            consumed[0] = n
            return 0
        taken = next_frame(data + consumed[0], n - consumed[0], connection.frame_max, &frame)
        if taken == 0:
            return 0
        if taken < 0:
            fail_frame(connection, data + consumed[0], n - consumed[0], <int> taken)
            continue
        connection.current_channel = frame.channel
        if frame.channel == 0 or connection.closing or not connection.opened:
            consumed[0] += taken
            handle_off_channel(connection, &frame)
            continue
        channel = channel_at(connection, frame.channel)
        if frame.type == FRAME_METHOD:
            word = method_word(frame.payload, frame.size)
            if word == 0:
                consumed[0] += taken
                raise frame_errors.unknown_frame(frame.type, frame.payload[:frame.size])
            if channel is None:
                consumed[0] += taken
                call_method(connection, &frame)
            elif channel.closing:
                consumed[0] += taken
                if word == CHANNEL_CLOSE or word == CHANNEL_CLOSE_OK:
                    call_method(connection, &frame)
            elif channel.content.state != CONTENT_NONE:
                consumed[0] += taken
                raise (frame_errors.header_expected() if channel.content.state == CONTENT_HEADER
                       else frame_errors.body_expected())
            elif word == METHOD_BASIC_PUBLISH:
                connection.publish_seen = True
                if connection.gateway.publishes_blocked:
                    hold_back(connection, HELD_BY_ALARM)
                    continue
                if channel.routes.count >= EXPECTED_ROUTES_MIN and consumed[0] >= expected:
                    expected = expect_routes(connection, channel, data, consumed[0], n)
                if start_publish(connection, channel, data, n, consumed, taken, &frame) == WAITS:
                    return 0
                if connection.held_by >= 0:
                    hold_back(connection, connection.held_by)
            elif word == METHOD_BASIC_ACK or word == METHOD_BASIC_NACK or word == METHOD_BASIC_REJECT:
                consumed[0] += taken
                connection.settle_seen = True
                settle(channel, frame.payload, frame.size)
            else:
                consumed[0] += taken
                call_method(connection, &frame)
                if connection.held_by >= 0:
                    hold_back(connection, connection.held_by)
            continue
        consumed[0] += taken
        if frame.type == FRAME_HEARTBEAT_TYPE:
            raise frame_errors.unexpected_frame(frame.type, frame.payload[:frame.size])
        if channel is None:
            raise frame_errors.method_expected()
        if channel.closing:
            continue
        handle_content(channel, &frame)
        if connection.held_by >= 0:
            hold_back(connection, connection.held_by)
        elif connection.gateway.publishes_blocked and channel.content.state != CONTENT_NONE:
            # a large body, or many at once, would fill the memory that is short already
            hold_back(connection, HELD_BY_ALARM)
    if connection.is_closed or connection.is_deaf:
        consumed[0] = n
    return 0


cdef int call_method(ConnectionState connection, const Frame *frame) except -1:
    (<object> connection).on_method(
        frame.channel, load16(frame.payload), load16(frame.payload + 2),
        frame.payload[METHOD_HEAD_BYTES:frame.size])
    return 0


cdef int hold_back(ConnectionState connection, int shard) except -1:
    """Back-pressure: nothing more is read from this connection until resume(PAUSE_HELD)."""
    connection.held_by = HELD_BY_ALARM
    connection.pauses |= PAUSED_BY_HOLD
    (<object> connection).on_publish_held(shard)
    return 0


cdef int handle_off_channel(ConnectionState connection, const Frame *frame) except -1:
    """Frames of channel 0, of a connection that is not open yet, or is closing."""
    cdef uint32_t word = method_word(frame.payload, frame.size) if frame.type == FRAME_METHOD else 0
    if connection.closing:
        if frame.channel == 0 and (word == CONNECTION_CLOSE or word == CONNECTION_CLOSE_OK):
            call_method(connection, frame)
        return 0
    if frame.channel == 0:
        if frame.type == FRAME_HEARTBEAT_TYPE:
            if frame.size:
                raise frame_errors.unknown_frame(frame.type, frame.payload[:frame.size])
            return 0
        if frame.type == FRAME_METHOD:
            if word == 0:
                raise frame_errors.unknown_frame(frame.type, frame.payload[:frame.size])
            return call_method(connection, frame)
    raise frame_errors.unexpected_frame(frame.type, frame.payload[:frame.size])


cdef int fail_frame(ConnectionState connection, const uint8_t *data, size_t n, int fault) except -1:
    """Where the next frame begins is not known any more: the rest of the input goes unread."""
    cdef uint32_t size
    cdef size_t payload_bytes
    connection.current_channel = 0
    connection.is_deaf = True
    if connection.closing or n < FRAME_HEAD_BYTES:
        if connection.closing:
            return 0
        raise frame_errors.unknown_frame(data[0], b"")
    size = load32(data + 3)
    payload_bytes = size if size < n - FRAME_HEAD_BYTES else n - FRAME_HEAD_BYTES
    if fault == SCAN_TOO_LARGE:
        raise frame_errors.frame_too_large(data[0], size, connection.frame_max)
    if fault == SCAN_BAD_END:
        raise frame_errors.bad_end(data[0], data[FRAME_HEAD_BYTES:FRAME_HEAD_BYTES + payload_bytes],
                                   data[FRAME_HEAD_BYTES + payload_bytes])
    raise frame_errors.unknown_frame(data[0], data[FRAME_HEAD_BYTES:FRAME_HEAD_BYTES + payload_bytes])


cdef int start_publish(
    ConnectionState connection, ChannelState channel, const uint8_t *data, size_t n, size_t *consumed,
    Py_ssize_t method_frame_bytes, const Frame *frame
) except -1:
    """A basic.publish method frame: handled at once where its whole content follows, else collected. In a room it is left
    where it is until its content has come, if that is of one frame: WAITS."""
    cdef Publish method
    cdef ContentHeader header
    cdef Frame header_frame, body_frame
    cdef size_t position = consumed[0] + method_frame_bytes
    cdef Py_ssize_t taken
    cdef const uint8_t *body = NULL
    consumed[0] = position
    if parse_publish(frame.payload, frame.size, &method) < 0:
        raise frame_errors.undecodable_publish()
    if method.immediate:
        raise publish_errors.immediate()
    if connection.gateway.reading is not None and comes_in_one(connection, frame.channel, data + position, n - position):
        consumed[0] = position - method_frame_bytes
        return WAITS
    taken = next_frame(data + position, n - position, connection.frame_max, &header_frame)
    if (
        taken > 0 and header_frame.type == FRAME_HEADER and header_frame.channel == frame.channel
        and parse_content_header(header_frame.payload, header_frame.size, &header) == 0
        and header.class_id == BASIC_CLASS
    ):
        position += taken
        if header.body_size:
            taken = next_frame(data + position, n - position, connection.frame_max, &body_frame)
            if (
                taken > 0 and body_frame.type == FRAME_BODY and body_frame.channel == frame.channel
                and body_frame.size == header.body_size
            ):
                position += taken
                body = body_frame.payload
        if body != NULL or header.body_size == 0:
            consumed[0] = position
            check_body_size(connection.gateway, header.body_size)
            return publish(channel, &method, &header, body)
    return begin_content(channel, &method)


cdef bint comes_in_one(ConnectionState connection, uint16_t channel, const uint8_t *data, size_t n) except -1:
    """Whether content begins here, as far as can be told, of which the only body frame is not whole yet."""
    cdef Frame frame
    cdef ContentHeader header
    cdef Py_ssize_t taken = next_frame(data, n, connection.frame_max, &frame)
    if taken <= 0:
        return taken == 0
    if (
        frame.type != FRAME_HEADER or frame.channel != channel or parse_content_header(frame.payload, frame.size, &header)
        or header.class_id != BASIC_CLASS or header.body_size == 0 or header.body_size > WAITED_FOR_BYTES_MAX
    ):
        return False
    check_body_size(connection.gateway, header.body_size)
    data += taken
    n -= taken
    if next_frame(data, n, connection.frame_max, &frame):
        return False                    # whole, or wrong
    if n < FRAME_HEAD_BYTES:
        return True
    return data[0] == FRAME_BODY and load16(data + 1) == channel and load32(data + 3) == header.body_size


cdef int handle_content(ChannelState channel, const Frame *frame) except -1:
    """A content header or body frame that was not taken together with its method."""
    if channel.content.state == CONTENT_NONE:
        raise frame_errors.method_expected()
    if channel.content.state == CONTENT_HEADER:
        if frame.type != FRAME_HEADER:
            raise frame_errors.header_expected()
        return add_header(channel, frame)
    if frame.type != FRAME_BODY:
        raise frame_errors.body_expected()
    return add_body(channel, frame)
