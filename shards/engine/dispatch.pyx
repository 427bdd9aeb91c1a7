# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Dispatch: each message of a queue to the consumer whose turn it is, as DELIVER records.

Consumers of one priority take turns in the circle `available` of their level; the open
level, the highest whose circle is not empty, has the turn. What holds a consumer back is looked at
when its turn comes: it then leaves the circle for the list of what it waits for
(its channel's credit, its connection's window, its gateway's link; nothing, where its own
prefetch is used up) and comes back at the end when that has changed. So an idle or a
blocked consumer costs nothing per message, nor does a level without anybody available.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy, memset

from bus.batch cimport Batch
from bus.limits cimport CONNECTION_WINDOW_BYTES, LENT_BODY_BYTES_MIN
from bus.records cimport (
    DELIVER_LENT, DELIVER_REDELIVERED, KIND_DELIVER, KIND_GET_OK, DeliverRecord, LentBody, aligned, delivered_bytes,
)
from log.store cimport Entry, Message, body_of
from shards.engine.consumer_timeout cimport watch
from shards.engine.features cimport UNLIMITED
from shards.engine.flood cimport watch_flood
from shards.engine.lending cimport lend
from shards.engine.placing cimport drop_expired, left_ready, watch_head
from shards.engine.reading cimport dispatch_stream
from shards.engine.ready cimport drop_first, first_entry
from shards.engine.redelivery cimport count_deliveries
from shards.engine.returning cimport note_delivery
from shards.engine.state cimport (
    OUTGOING_TURN_BYTES_MAX, OWNER_IS_QUEUE, Channel, Connection, Consumer, EngineState, Gateway, Level, Queue, enlist,
    outgoing_bytes, outgoing_of, ready_count, unlist, untouch,
)
from shards.engine.unacked_ring cimport push_unacked

cdef enum:
    DELIVERY_COUNT_MAX = 254


cdef bint asked_above(const Queue *queue) noexcept:
    """Whether a level above the open one may turn out to have credit."""
    cdef const Level *level = queue.levels
    while level != queue.open:
        if level.asking:
            return True
        level = level.lower
    return False


cdef bint can_take(EngineState engine, Consumer *consumer) noexcept:
    """Whether an available consumer can take a message now. If not, it goes to where what it waits for finds it."""
    cdef Channel *channel = consumer.channel
    if channel.paused:
        enlist(consumer, &channel.waiting)
    elif not consumer.no_ack and consumer.prefetch and consumer.unacked >= consumer.prefetch:
        unlist(consumer)
    elif not consumer.no_ack and channel.limited and channel.credit == 0:
        enlist(consumer, &channel.waiting)
        if not channel.in_wanting:
            channel.in_wanting = True
            channel.wanting_next = engine.wanting
            engine.wanting = channel
        if channel.asking or channel.wanted == 0:
            consumer.asking = True
            consumer.level.asking += 1
    elif channel.connection.delivered_bytes - channel.connection.credited_bytes >= CONNECTION_WINDOW_BYTES:
        enlist(consumer, &channel.connection.waiting)
    elif channel.gateway.congested or outgoing_bytes(channel.gateway) >= OUTGOING_TURN_BYTES_MAX:
        enlist(consumer, &channel.gateway.waiting)
    else:
        return True
    return False


cdef Consumer *next_consumer(EngineState engine, Queue *queue) noexcept:
    """The consumer whose turn it is, or NULL where none can take a message now."""
    cdef Consumer *consumer
    while queue.open != NULL:
        if queue.open != queue.levels and asked_above(queue):
            return NULL
        consumer = queue.open.available.first
        if can_take(engine, consumer):
            return consumer
    return NULL


cdef inline DeliverRecord *append_record(EngineState engine, Gateway *gateway, uint8_t kind, Queue *queue,
                                         const Entry *entry, const Message *message, const Entry *stored) except NULL:
    """DELIVER or GET_OK with its content, but for what tells them apart. `stored`: where the log has the message, if
    its body may stay there; or NULL."""
    cdef size_t copied_bytes = message.content_bytes, used = sizeof(DeliverRecord)
    cdef size_t record_bytes, properties_bytes = message.properties_bytes
    cdef size_t head_bytes = <size_t> message.exchange_bytes + message.routing_key_bytes
    cdef const uint8_t *properties = NULL
    cdef uint8_t *place
    cdef DeliverRecord *record
    cdef LentBody body
    cdef bint lent = (
        message.body_bytes >= LENT_BODY_BYTES_MIN and stored != NULL and gateway.borrows
        and lend(engine, gateway, stored, message, &body))
    if lent:
        copied_bytes -= message.body_bytes
        used += sizeof(LentBody)
    used += copied_bytes
    if entry.delivery_count:
        properties = count_deliveries(
            engine, message.content + head_bytes, entry.delivery_count, &properties_bytes)
        used += properties_bytes - message.properties_bytes
    record_bytes = aligned(used)
    place = outgoing_of(gateway).reserve(record_bytes)
    record = <DeliverRecord *> place
    record.record_bytes = <uint32_t> record_bytes
    record.kind = kind
    record.flags = DELIVER_REDELIVERED if entry.delivery_count else 0
    record.delivery_count = entry.delivery_count
    record.properties_bytes = <uint32_t> properties_bytes
    record.body_bytes = message.body_bytes
    record.exchange_bytes = message.exchange_bytes
    record.routing_key_bytes = message.routing_key_bytes
    record.offset_high = 0
    record.message_count = 0
    record.queue_id = queue.queue_id
    if record_bytes != used:
        memset(place + used, 0, record_bytes - used)
    place += sizeof(DeliverRecord)
    if lent:
        record.flags |= DELIVER_LENT
        memcpy(place, &body, sizeof(LentBody))
        place += sizeof(LentBody)
    if properties == NULL and (lent or message.apart == NULL):
        memcpy(place, message.content, copied_bytes)
    else:
        memcpy(place, message.content, head_bytes)
        memcpy(place + head_bytes, message.content + head_bytes if properties == NULL else properties, properties_bytes)
        if not lent:
            memcpy(place + head_bytes + properties_bytes, body_of(message), message.body_bytes)
    return record


cdef DeliverRecord *append_deliver(EngineState engine, Gateway *gateway, Queue *queue, const Entry *entry,
                                   const Message *message, const Entry *stored) except NULL:
    """DELIVER with its content; the consumer is the caller's to name."""
    return append_record(engine, gateway, KIND_DELIVER, queue, entry, message, stored)


cdef inline int hold(EngineState engine, Channel *channel, Queue *queue, Entry *entry, uintptr_t owner) except -1:
    """The message is delivered once more and awaits an ack."""
    if entry.delivery_count < DELIVERY_COUNT_MAX:
        entry.delivery_count += 1
    if queue.features == NULL:
        engine.store.delivered(entry, entry.delivery_count)
    else:
        note_delivery(engine, queue, entry)
    push_unacked(&channel.unacked, channel.delivery_sequence + 1, entry, owner)
    channel.delivery_sequence += 1
    queue.unacked += 1
    if queue.features != NULL and queue.features.consumer_timeout_ms != UNLIMITED:
        watch(engine, channel, queue.features.consumer_timeout_ms)
    return 0


cdef int deliver(EngineState engine, Consumer *consumer, Entry *entry, const Message *message) except -1:
    """To the consumer that next_consumer named. Where it takes part in acks, the entry is its channel's from here on;
    otherwise the caller's to be done with."""
    cdef Channel *channel = consumer.channel
    cdef Queue *queue = consumer.queue
    cdef DeliverRecord *record = append_record(engine, channel.gateway, KIND_DELIVER, queue, entry, message, entry)
    record.consumer = consumer.handle
    channel.connection.delivered_bytes += delivered_bytes(record)
    queue.delivered += 1
    queue.delivered_bytes += message.body_bytes
    if entry.delivery_count:
        queue.redelivered += 1
    if not consumer.no_ack:
        hold(engine, channel, queue, entry, <uintptr_t> consumer)
        consumer.unacked += 1
        if channel.limited:
            channel.credit -= 1
    consumer.level.available.first = consumer.next
    return 0


cdef bint worth_lending(const Consumer *consumer, const Message *message) noexcept:
    """Whether to store a message costs less than to copy it along: not where it would go to the disk."""
    return (
        message.body_bytes >= LENT_BODY_BYTES_MIN and consumer.channel.gateway.borrows
        and not (message.persistent and consumer.queue.durable))


cdef int deliver_unstored(EngineState engine, Consumer *consumer, const Message *message) except -1:
    """To a consumer without acks, of a message that the log does not have."""
    cdef Queue *queue = consumer.queue
    cdef Entry unstored
    cdef DeliverRecord *record
    unstored.delivery_count = 0
    record = append_record(engine, consumer.channel.gateway, KIND_DELIVER, queue, &unstored, message, NULL)
    record.consumer = consumer.handle
    consumer.channel.connection.delivered_bytes += record.record_bytes
    queue.published += 1
    queue.delivered += 1
    queue.delivered_bytes += message.body_bytes
    queue.acknowledged += 1
    consumer.level.available.first = consumer.next
    return 0


cdef int dispatch_queue(EngineState engine, Queue *queue) except -1:
    """Until no message or no consumer is left."""
    cdef Consumer *consumer
    cdef Entry *first
    cdef Entry entry
    cdef Message message
    if queue.features != NULL and queue.features.stream != NULL:
        return dispatch_stream(engine, queue)
    while True:
        if queue.features != NULL:
            drop_expired(engine, queue)
        first = first_entry(queue)
        if first == NULL:
            break
        consumer = next_consumer(engine, queue)
        if consumer == NULL:
            break
        entry = first[0]
        drop_first(queue)
        if not engine.store.read(&entry, &message):
            engine.store.acked(&entry)          # damaged: the store has said so
            continue
        if queue.features != NULL:
            left_ready(engine, queue, message.body_bytes)
        deliver(engine, consumer, &entry, &message)
        if consumer.no_ack:
            engine.store.acked(&entry)
            queue.acknowledged += 1
    if queue.features != NULL:
        watch_head(engine, queue)
    return watch_flood(engine, queue)


cdef int dispatch_touched(EngineState engine) except -1:
    """All queues that may have something to dispatch, in the order in which they were touched."""
    cdef Queue *queue
    while engine.touched_first != NULL:
        queue = engine.touched_first
        untouch(engine, queue)
        dispatch_queue(engine, queue)
    return 0


cdef bint get_one(EngineState engine, Queue *queue, Channel *channel, uint32_t request_id, bint no_ack) except -1:
    """basic.get: False where the queue has nothing ready."""
    cdef Entry *first
    cdef Entry entry
    cdef Message message
    cdef DeliverRecord *record
    cdef uint64_t left
    if queue.features != NULL:
        queue.features.used_at_ms = engine.now_ms
    while True:
        if queue.features != NULL:
            drop_expired(engine, queue)
        first = first_entry(queue)
        if first == NULL:
            return False
        entry = first[0]
        drop_first(queue)
        if engine.store.read(&entry, &message):
            break
        engine.store.acked(&entry)
    if queue.features != NULL:
        left_ready(engine, queue, message.body_bytes)
        watch_head(engine, queue)
    record = append_record(engine, channel.gateway, KIND_GET_OK, queue, &entry, &message, NULL)
    record.consumer = request_id
    left = ready_count(queue)
    record.message_count = 0xFFFFFFFF if left > 0xFFFFFFFF else <uint32_t> left
    queue.delivered += 1
    if entry.delivery_count:
        queue.redelivered += 1
    if no_ack:
        engine.store.acked(&entry)
        queue.acknowledged += 1
    else:
        hold(engine, channel, queue, &entry, <uintptr_t> queue | OWNER_IS_QUEUE)
    return True
