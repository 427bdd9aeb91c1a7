# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Dispatch of streams: each consumer reads on from its own offset, and nothing leaves the stream.

What holds a consumer back is the same as with any queue (dispatch.pyx: can_take). Besides, one that has read
all there is waits in `caught_up` of its level until more is on the disk: an offset that a client has seen never
means another message, whatever dies. And one whose filter has passed over many messages rests until the next dispatch.
Consumers take turns of a few messages each, and streams take turns with other queues.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t

from amqp091.scanner cimport ContentHeader, Field, find_field, parse_properties
from bus.records cimport DELIVER_STREAM, DeliverRecord, delivered_bytes
from log.store cimport Entry, Message
from shards.engine.dispatch cimport append_deliver, can_take
from shards.engine.state cimport Channel, Consumer, EngineState, Queue, enlist, touch
from shards.engine.stream cimport (
    NO_SEGMENT, START_FIRST, START_LAST, START_NEXT, START_TIME_MS, Reader, Stream, drop_slot, fill_from_slot,
    last_offset_below, next_offset, reader_wants, slot_at,
)
from shards.engine.unacked_ring cimport push_unacked

cdef enum:
    RUN_MESSAGES_MAX = 64           # to one consumer, before the next has its turn
    VISIT_BYTES_MAX = 128 << 10     # to all of them, before other queues have theirs
    SKIPPED_MAX = 1024              # messages that a filter passes over in one dispatch

cdef const char *FILTER_HEADER = b"x-stream-filter-value"
cdef size_t FILTER_HEADER_BYTES = 21


cdef bint read_at(EngineState engine, Queue *queue, uint64_t offset, Message *message) except -1:
    """The message of an offset that has one; False where it is damaged: then the stream has it no longer."""
    cdef Stream *stream = queue.features.stream
    cdef Entry entry
    fill_from_slot(&entry, offset, slot_at(stream, offset))
    if engine.store.read(&entry, message):
        return True
    # The last entry stays in the log whatever it is, so that its number is known after a restart.
    if offset + 1 != stream.end:
        drop_slot(stream, offset)
        engine.store.acked(&entry)
    return False


# -- where to begin

cdef uint64_t received_from(EngineState engine, Queue *queue, uint64_t time_ms) except? 0:
    """The first offset whose message was received at that time or later."""
    cdef Stream *stream = queue.features.stream
    cdef uint64_t low = stream.first, high = stream.durable_end, middle, found
    cdef Message message
    while low < high:
        middle = low + (high - low) // 2
        found = next_offset(stream, middle)
        while found < high and not read_at(engine, queue, found, &message):
            found = next_offset(stream, found + 1)
        if found >= high:
            high = middle
        elif message.received_at_ms < time_ms:
            low = found + 1
        else:
            high = middle
    return next_offset(stream, low)


cdef uint64_t start_offset(EngineState engine, Queue *queue, int start, uint64_t number) except? 0:
    """The offset that a new consumer reads first. One that was dropped, or does not exist yet, is as good."""
    cdef Stream *stream = queue.features.stream
    if start == START_FIRST:
        return stream.first
    if start == START_LAST:
        return last_offset_below(stream, stream.durable_end)
    if start == START_NEXT:
        return stream.durable_end
    if start == START_TIME_MS:
        return received_from(engine, queue, number)
    return number


cdef uint64_t messages_ahead(const Consumer *consumer) noexcept:
    """How many a consumer of a stream could be given, at most."""
    cdef const Stream *stream = consumer.queue.features.stream
    cdef uint64_t offset = max(consumer.reader.next, stream.first)
    return stream.durable_end - offset if offset < stream.durable_end else 0


# -- reading on

cdef bint wants(const Reader *reader, const Message *message) noexcept:
    """Whether the message passes the reader's filter."""
    cdef ContentHeader header
    cdef Field field
    if not reader.filters:
        return True
    if (
        parse_properties(
            message.content + message.exchange_bytes + message.routing_key_bytes, message.properties_bytes, &header) == 0
        and header.headers != NULL
        and find_field(header.headers, header.headers_bytes, FILTER_HEADER, FILTER_HEADER_BYTES, &field)
        and field.letter == c"S"
    ):
        return reader_wants(reader, field.value, field.value_bytes)
    return reader_wants(reader, NULL, 0)


cdef uint64_t give(EngineState engine, Consumer *consumer, uint64_t offset, const Message *message) except 0:
    """To the consumer; returns the bytes that its gateway gets."""
    cdef Channel *channel = consumer.channel
    cdef Queue *queue = consumer.queue
    cdef Entry entry, stored
    cdef DeliverRecord *record
    fill_from_slot(&stored, offset, slot_at(queue.features.stream, offset))
    entry.number = offset + 1
    entry.segment = NO_SEGMENT      # settling it must never reach the log
    entry.slot = entry.position8 = 0
    entry.flags = 0
    entry.delivery_count = entry.priority = 0
    record = append_deliver(engine, channel.gateway, queue, &entry, message, &stored)
    record.flags |= DELIVER_STREAM
    record.message_count = <uint32_t> offset
    record.offset_high = <uint16_t> (offset >> 32)
    record.consumer = consumer.handle
    channel.connection.delivered_bytes += delivered_bytes(record)
    push_unacked(&channel.unacked, channel.delivery_sequence + 1, &entry, <uintptr_t> consumer)
    channel.delivery_sequence += 1
    queue.unacked += 1
    queue.delivered += 1
    consumer.unacked += 1
    if channel.limited:
        channel.credit -= 1
    return delivered_bytes(record)


cdef bint has_more(const Consumer *consumer) noexcept:
    """Whether there is anything ahead of the consumer, whatever it is."""
    cdef const Stream *stream = consumer.queue.features.stream
    return next_offset(stream, consumer.reader.next) < stream.durable_end


cdef uint64_t read_on(EngineState engine, Consumer *consumer) except? 0:
    """The next message for a consumer that can take one: bytes given, or 0 where it found none for it."""
    cdef Stream *stream = consumer.queue.features.stream
    cdef Reader *reader = consumer.reader
    cdef Message message
    cdef uint64_t offset
    cdef uint32_t skipped
    for skipped in range(<uint32_t> SKIPPED_MAX):
        offset = next_offset(stream, reader.next)
        if offset >= stream.durable_end:
            return 0
        reader.next = offset + 1
        if read_at(engine, consumer.queue, offset, &message) and wants(reader, &message):
            return give(engine, consumer, offset, &message)
    enlist(consumer, &engine.resting)
    return 0


cdef int dispatch_stream(EngineState engine, Queue *queue) except -1:
    """Until no consumer can take more, or other queues are to have their turn."""
    cdef Consumer *consumer
    cdef Consumer *before = NULL
    cdef uint32_t run = 0
    cdef uint64_t visit_bytes = 0, given_bytes
    while queue.open != NULL:
        consumer = queue.open.available.first
        if consumer != before:
            run = 0
            before = consumer
        # first: one without anything to read must not ask for its channel's credit
        if not has_more(consumer):
            enlist(consumer, &consumer.level.caught_up)
            continue
        if not can_take(engine, consumer):
            continue
        given_bytes = read_on(engine, consumer)
        visit_bytes += given_bytes
        run += 1
        if run == RUN_MESSAGES_MAX and consumer.listed == &consumer.level.available:
            consumer.level.available.first = consumer.next
            before = NULL
        if visit_bytes >= VISIT_BYTES_MAX:
            touch(engine, queue)
            return 0
    return 0
