# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Brings what the next publishes and deliveries will look at into the cache, all of it at once.

Of ten thousand queues in turn neither the route of a message nor its consumer is in the cache when it is needed: a place
in a table, then what it points to, would be waited for one after the other. Here each step is made for several messages
together. It reads what is there and changes nothing, so whoever handles the messages finds out what is wrong with them.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from amqp091.scanner cimport FRAME_METHOD, METHOD_BASIC_PUBLISH, Frame, Publish, method_word, next_frame, parse_publish
from bus.cache cimport fetch_ahead, fetch_bytes_ahead
from bus.records cimport HANDLE_SLOT_BITS, KIND_DELIVER, RECORD_ALIGNMENT, DeliverRecord, RecordHeader
from gateway.core.handles cimport handle_value
from gateway.core.route_cache cimport expect_route, expected_route
from gateway.core.state cimport ChannelState, ConnectionState, Consumer, GatewayState

cdef enum:
    # each step waits for its first answer: with more than these that is little of a message's time
    AT_ONCE = 32
    FRAMES_MAX = 4 * AT_ONCE
    # of a consumer, with a tag of some length
    CONSUMER_BYTES = 64


cdef size_t expect_routes(
    ConnectionState connection, ChannelState channel, const uint8_t *data, size_t position, size_t n
) noexcept:
    """Of publishes on one channel, by exchange and routing key alone, which is what nearly all are remembered by."""
    cdef Frame frame
    cdef Publish method
    cdef uint32_t places[AT_ONCE]
    cdef Py_ssize_t taken
    cdef uint16_t number = channel.number
    cdef int looked_at, i, count = 0
    for looked_at in range(FRAMES_MAX):
        taken = next_frame(data + position, n - position, connection.frame_max, &frame)
        if taken <= 0 or frame.channel != number:
            break
        if frame.type == FRAME_METHOD:
            if (
                count == AT_ONCE or method_word(frame.payload, frame.size) != METHOD_BASIC_PUBLISH
                or parse_publish(frame.payload, frame.size, &method) < 0
            ):
                break
            places[count] = expect_route(
                &channel.routes, method.exchange, method.exchange_bytes, method.routing_key, method.routing_key_bytes)
            count += 1
        position += taken
    for i in range(count):
        expected_route(&channel.routes, places[i])
    return position


cdef size_t expect_consumers(GatewayState gateway, const uint8_t *data, size_t position, size_t n) noexcept:
    cdef const RecordHeader *header
    cdef const DeliverRecord *record
    cdef uint32_t handles[AT_ONCE]
    cdef uint32_t slot, previous = 0
    cdef int looked_at, i, count = 0
    for looked_at in range(AT_ONCE):
        if n - position < sizeof(RecordHeader):
            break
        header = <const RecordHeader *> (data + position)
        if header.record_bytes < sizeof(RecordHeader) or header.record_bytes % RECORD_ALIGNMENT \
                or header.record_bytes > n - position:
            break
        position += header.record_bytes
        if header.kind != KIND_DELIVER or header.record_bytes < sizeof(DeliverRecord):
            continue
        record = <const DeliverRecord *> header
        if record.consumer != previous:
            handles[count] = previous = record.consumer
            count += 1
            slot = record.consumer & ((1 << HANDLE_SLOT_BITS) - 1)
            if slot < gateway.consumers.count:
                fetch_ahead(&gateway.consumers.slots[slot])
    for i in range(count):
        fetch_bytes_ahead(handle_value(&gateway.consumers, handles[i]), CONSUMER_BYTES)
    return position
