# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Writes PUBLISH, SETTLE, CREDIT, GET and JSON records (bus/records.pxd) into the shards' outgoing batches.

Knows the formats alone: what is sent, when and to whom is decided by its callers.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from amqp091.scanner cimport DELIVERY_MODE_PERSISTENT, ContentHeader
from bus.batch cimport Batch
from bus.limits cimport LENT_BODY_BYTES_MIN
from bus.records cimport (
    GET_NO_ACK, KIND_CREDIT, KIND_GET, KIND_PUBLISH, KIND_SETTLE, PUBLISH_APART, PUBLISH_CONFIRM, PUBLISH_DELAYED, PUBLISH_PERSISTENT,
    PUBLISH_ROOMLESS,
    CreditRecord, GetRecord, JsonRecord, LentBody, PublishRecord, SettleRecord, aligned,
)
from bus.ring cimport RingEnd
from gateway.core.routes cimport Route, RouteGroup
from gateway.core.state cimport GatewayState

cdef enum:
    QUEUE_ID_BYTES = 4
    TIME_BYTES = 8
    # A batch of this size does not wait for the end of the turn: links have a limit for one, and no room for many.
    BATCH_BYTES_MAX = 1 << 20


cdef uint8_t *reserve_outgoing(GatewayState gateway, uint32_t shard, size_t n) except NULL:
    """Room for a publish in the shard's batch, or in its ring: shard.reserved_batch is the number of the batch that it
    will be in. May send what is in the batch: the next one has another number then."""
    cdef uint8_t *place
    if n >= LENT_BODY_BYTES_MIN and gateway.rings[shard] is not None:
        place = reserve_in_ring(gateway, shard, <RingEnd> gateway.rings[shard], n)
        if place != NULL:
            return place
    if (<Batch> gateway.batches[shard]).size >= BATCH_BYTES_MAX and gateway.shards[shard].up:
        (<object> gateway).send_outgoing(shard)
    gateway.shards[shard].reserved_batch = gateway.shards[shard].next_batch
    return (<Batch> gateway.batches[shard]).reserve(n)


cdef uint8_t *reserve_in_ring(GatewayState gateway, uint32_t shard, RingEnd ring, size_t n) except? NULL:
    """Room for a large publish where the shard will read it, behind all that was sent; NULL where there is none.

    Several share a batch, which goes before the outgoing one: what is small and comes later waits in that.
    """
    cdef uint8_t *place
    if (<Batch> gateway.batches[shard]).size:
        (<object> gateway).send_outgoing(shard)
        if (<Batch> gateway.batches[shard]).size:
            return NULL
    place = ring.extend(n)
    if place != NULL:
        gateway.shards[shard].reserved_batch = ring.next_batch_number
        gateway.shards[shard].next_batch = ring.next_batch_number + 1
    return place


cdef size_t publish_record_bytes(const Outgoing *message, const RouteGroup *group) noexcept nogil:
    return (
        sizeof(PublishRecord)
        + (TIME_BYTES if not_before_for(message, group) else 0)
        + aligned(<size_t> group.queue_count * QUEUE_ID_BYTES)
        + aligned(<size_t> message.publish.exchange_bytes + message.publish.routing_key_bytes
                  + header_for(message, group).properties_bytes + (0 if message.apart else message.body_bytes))
        + (sizeof(LentBody) if message.apart else 0)
    )


cdef inline uint8_t *put(uint8_t *out, const void *source, size_t n) noexcept nogil:
    memcpy(out, source, n)
    return out + n


cdef void write_publish(uint8_t *out, const Outgoing *message, Route route, const RouteGroup *group) noexcept:
    """Fills the room that publish_record_bytes told."""
    cdef PublishRecord *record = <PublishRecord *> out
    cdef size_t record_bytes = publish_record_bytes(message, group)
    cdef size_t queues_bytes = <size_t> group.queue_count * QUEUE_ID_BYTES
    cdef const ContentHeader *header = header_for(message, group)
    cdef uint64_t not_before_ms = not_before_for(message, group)
    cdef uint8_t *end = out + record_bytes
    memset(end - 8, 0, 8)
    record.record_bytes = <uint32_t> record_bytes
    record.kind = KIND_PUBLISH
    record.flags = 0
    if header.delivery_mode == DELIVERY_MODE_PERSISTENT:
        record.flags |= PUBLISH_PERSISTENT
    if message.publish_sequence:
        record.flags |= PUBLISH_CONFIRM
    if message.roomless:
        record.flags |= PUBLISH_ROOMLESS
    record.queue_count = group.queue_count
    record.channel = message.channel
    record.properties_bytes = header.properties_bytes
    record.publish_sequence = message.publish_sequence
    record.body_bytes = message.body_bytes
    record.exchange_bytes = message.publish.exchange_bytes
    record.routing_key_bytes = message.publish.routing_key_bytes
    record.priority = header.priority
    record.reserved = 0
    record.ttl_ms = message.ttl_ms
    out += sizeof(PublishRecord)
    if not_before_ms:
        record.flags |= PUBLISH_DELAYED
        out = put(out, &not_before_ms, TIME_BYTES)
    if message.apart:
        record.flags |= PUBLISH_APART
        out = put(out, &message.place, sizeof(LentBody))
    out = put(out, route.queue_ids + group.first_queue, queues_bytes)
    if queues_bytes & 4:
        memset(out, 0, QUEUE_ID_BYTES)
        out += QUEUE_ID_BYTES
    out = put(out, message.publish.exchange, message.publish.exchange_bytes)
    out = put(out, message.publish.routing_key, message.publish.routing_key_bytes)
    out = put(out, header.properties, header.properties_bytes)
    if message.body_bytes and not message.apart:
        put(out, message.body, message.body_bytes)


cdef int append_settle(
    GatewayState gateway, uint32_t shard, uint32_t channel, uint64_t sequence, uint16_t outcome, uint16_t flags
) except -1:
    cdef SettleRecord *record = <SettleRecord *> (<Batch> gateway.batches[shard]).reserve(sizeof(SettleRecord))
    record.record_bytes = sizeof(SettleRecord)
    record.kind = KIND_SETTLE
    record.flags = flags
    record.outcome = outcome
    record.channel = channel
    record.reserved = 0
    record.delivery_sequence = sequence
    return 0


cdef int append_credit(GatewayState gateway, uint32_t shard, uint32_t connection, uint64_t delivered_bytes) except -1:
    cdef CreditRecord *record = <CreditRecord *> (<Batch> gateway.batches[shard]).reserve(sizeof(CreditRecord))
    record.record_bytes = sizeof(CreditRecord)
    record.kind = KIND_CREDIT
    record.flags = 0
    record.reserved = 0
    record.connection = connection
    record.reserved2 = 0
    record.delivered_bytes = delivered_bytes
    return 0


cdef int append_get(
    GatewayState gateway, uint32_t shard, uint32_t request_id, uint32_t queue_id, uint32_t channel, uint32_t connection,
    bint no_ack
) except -1:
    cdef GetRecord *record = <GetRecord *> (<Batch> gateway.batches[shard]).reserve(sizeof(GetRecord))
    record.record_bytes = sizeof(GetRecord)
    record.kind = KIND_GET
    record.flags = GET_NO_ACK if no_ack else 0
    record.reserved = 0
    record.request_id = request_id
    record.queue_id = queue_id
    record.channel = channel
    record.connection = connection
    return 0


cdef int append_json(
    GatewayState gateway, uint32_t shard, uint8_t kind, uint32_t request_id, const uint8_t[::1] document
) except -1:
    cdef size_t json_bytes = document.shape[0]
    cdef size_t record_bytes = sizeof(JsonRecord) + aligned(json_bytes)
    cdef uint8_t *out
    cdef JsonRecord *record
    if record_bytes > 0xFFFFFFFF:
        raise ValueError("the document does not fit a record")
    out = (<Batch> gateway.batches[shard]).reserve(record_bytes)
    record = <JsonRecord *> out
    memset(out + record_bytes - 8, 0, 8)
    record.record_bytes = <uint32_t> record_bytes
    record.kind = kind
    record.flags = 0
    record.reserved = 0
    record.request_id = request_id
    record.json_bytes = <uint32_t> json_bytes
    if json_bytes:
        memcpy(out + sizeof(JsonRecord), &document[0], json_bytes)
    return 0
