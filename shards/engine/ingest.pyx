# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The records of a batch, applied in order: publishes, settlements, credit.

Every length is checked before it is used. What becomes of a publish: accepting.pyx.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from bus.limits cimport CONNECTION_WINDOW_BYTES, LENT_BODY_BYTES_MIN
from bus.records cimport (
    KIND_CREDIT, KIND_EVENT, KIND_GET, KIND_PUBLISH, KIND_REFUSED, KIND_REQUEST, KIND_RESPONSE, KIND_SETTLE,
    OUTCOME_REQUEUE_FAILED, PUBLISH_APART, PUBLISH_CONFIRM, PUBLISH_DELAYED, PUBLISH_DIED, PUBLISH_PERSISTENT, PUBLISH_ROOMLESS,
    RECORD_ALIGNMENT,
    SETTLE_CONFIRM, SETTLE_MULTIPLE, CreditRecord, LentBody, PublishRecord, RecordHeader, RefusedRecord, SettleRecord, aligned,
)
from log.store cimport Message
from shards.engine.accepting cimport ACCEPT_NOBODY, ACCEPT_NO_ROOM, ACCEPT_REFUSED, accept
from shards.engine.expecting cimport expect_queues
from shards.engine.rooms cimport find_in_room, want_room
from shards.engine.settling cimport settle
from shards.engine.state cimport Channel, Connection, EngineState, Gateway, outgoing_of, wake
from shards.engine.tables cimport handle_at

from bus.bad_record import BadRecord


cdef size_t apply_records(EngineState engine, Gateway *gateway, const uint8_t *data, size_t start, size_t end) except? 0:
    """Applies records from `start` on; returns where it stopped: at `end`, a record in JSON or a GET."""
    cdef size_t position = start
    cdef size_t expected = start            # what records before it need was asked for
    cdef const RecordHeader *header
    cdef uint32_t record_bytes
    while position != end:
        if end - position < sizeof(RecordHeader):
            raise BadRecord("a batch ends within a record")
        header = <const RecordHeader *> (data + position)
        record_bytes = header.record_bytes
        if record_bytes < sizeof(RecordHeader) or record_bytes % RECORD_ALIGNMENT or record_bytes > end - position:
            raise BadRecord(f"a record of {record_bytes} bytes where {end - position} are left")
        if header.kind == KIND_PUBLISH:
            if position >= expected and is_for_another(engine, <const PublishRecord *> header):
                expected = expect_queues(engine, data, position, end)
            publish(engine, gateway, <const PublishRecord *> header)
        elif header.kind == KIND_SETTLE:
            settle_record(engine, gateway, <const SettleRecord *> header)
        elif header.kind == KIND_CREDIT:
            credit(engine, gateway, <const CreditRecord *> header)
        elif (
            header.kind == KIND_REQUEST or header.kind == KIND_EVENT or header.kind == KIND_RESPONSE
            or header.kind == KIND_GET
        ):
            return position
        else:
            raise BadRecord(f"a record of unknown kind {header.kind}")
        position += record_bytes
    return position


cdef inline bint is_for_another(EngineState engine, const PublishRecord *record) noexcept:
    """Than the queue of the last publish, going by the first that is named. Says nothing where lengths lie."""
    return (
        record.record_bytes >= sizeof(PublishRecord) + sizeof(uint32_t) and not record.flags & PUBLISH_APART
        and (engine.recent == NULL or engine.recent.queue_id != (<const uint32_t *> (record + 1))[0]))


cdef int publish(EngineState engine, Gateway *gateway, const PublishRecord *record) except -1:
    """A message for one or more queues, of which those that do not exist any more are left out."""
    cdef const uint32_t *queue_ids
    cdef const LentBody *place = NULL
    cdef Message message
    cdef size_t prefix, total
    cdef int answer
    if record.record_bytes < sizeof(PublishRecord):
        raise BadRecord("a publish without its fields")
    prefix = sizeof(PublishRecord) + aligned(<size_t> record.queue_count * sizeof(uint32_t))
    queue_ids = <const uint32_t *> (record + 1)
    message.delayed = record.flags & PUBLISH_DELAYED != 0
    if message.delayed:
        prefix += sizeof(uint64_t)
        queue_ids += 2
    message.apart = NULL
    message.room = NULL
    if record.flags & PUBLISH_APART:
        place = <const LentBody *> queue_ids
        prefix += sizeof(LentBody)
        queue_ids += sizeof(LentBody) // sizeof(uint32_t)
    message.content_bytes = (
        <size_t> record.exchange_bytes + record.routing_key_bytes + record.properties_bytes + record.body_bytes
    )
    total = prefix + message.content_bytes
    if place != NULL:
        total -= record.body_bytes
    if total > record.record_bytes:
        raise BadRecord(f"a publish of {record.record_bytes} bytes claims to have {total}")
    message.content = (<const uint8_t *> record) + prefix
    message.properties_bytes = record.properties_bytes
    message.body_bytes = record.body_bytes
    if place != NULL:
        if not find_in_room(gateway, place, &message):
            raise BadRecord(f"a body of {record.body_bytes} bytes at {place.position} of {place.file}, which is no room")
    elif record.body_bytes >= LENT_BODY_BYTES_MIN and not record.flags & PUBLISH_ROOMLESS:
        want_room(engine, gateway, record.body_bytes)
    message.exchange_bytes = record.exchange_bytes
    message.routing_key_bytes = record.routing_key_bytes
    message.priority = record.priority
    message.persistent = record.flags & PUBLISH_PERSISTENT
    if record.flags & PUBLISH_CONFIRM:
        engine.confirm_asked = True
        if not message.persistent:
            engine.early_confirm_asked = True
    message.handed_over = gateway.index >= engine.sender_count - engine.shard_count
    message.died = record.flags & PUBLISH_DIED != 0
    message.ttl_ms = record.ttl_ms
    message.received_at_ms = engine.now_ms
    if message.delayed:
        message.received_at_ms = (<const uint64_t *> (record + 1))[0]

    answer = accept(engine, &message, queue_ids, record.queue_count, NULL)
    if answer & (ACCEPT_REFUSED | ACCEPT_NO_ROOM):
        refuse(engine, gateway, record)
    if answer & ACCEPT_NOBODY:
        engine.dropped_count += 1
    if answer & ACCEPT_NO_ROOM:
        engine.refused_count += 1
    return 0


cdef int refuse(EngineState engine, Gateway *gateway, const PublishRecord *record) except -1:
    """A queue or the store has no room: who waits for a confirm is told."""
    cdef RefusedRecord *refused
    if record.flags & PUBLISH_CONFIRM:
        refused = <RefusedRecord *> outgoing_of(gateway).reserve(sizeof(RefusedRecord))
        refused.record_bytes = sizeof(RefusedRecord)
        refused.kind = KIND_REFUSED
        refused.flags = 0
        refused.reserved = 0
        refused.channel = record.channel
        refused.reserved2 = 0
        refused.publish_sequence = record.publish_sequence
    return 0


cdef int settle_record(EngineState engine, Gateway *gateway, const SettleRecord *record) except -1:
    cdef Channel *channel
    if record.record_bytes < sizeof(SettleRecord) or record.outcome > OUTCOME_REQUEUE_FAILED:
        raise BadRecord("a settlement without its fields")
    if record.flags & SETTLE_CONFIRM:
        engine.confirm_asked = engine.early_confirm_asked = True
    channel = <Channel *> handle_at(&gateway.channels, record.channel)
    if channel != NULL:
        settle(engine, channel, record.delivery_sequence, record.flags & SETTLE_MULTIPLE, record.outcome)
    return 0


cdef int credit(EngineState engine, Gateway *gateway, const CreditRecord *record) except -1:
    cdef Connection *connection
    if record.record_bytes < sizeof(CreditRecord):
        raise BadRecord("credit without its fields")
    connection = <Connection *> handle_at(&gateway.connections, record.connection)
    if connection == NULL or record.delivered_bytes > connection.delivered_bytes:
        return 0
    connection.credited_bytes = record.delivered_bytes
    if connection.delivered_bytes - connection.credited_bytes < CONNECTION_WINDOW_BYTES:
        wake(engine, &connection.waiting)
    return 0
