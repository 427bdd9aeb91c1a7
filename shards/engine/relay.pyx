# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The relay: this shard as a client of other shards, as a gateway is one of this.

A message goes out as a PUBLISH record in confirm mode and is answered by the target's watermarks and refusals; the
durable watermark counts for all. Functions in C are for the engine (relay.pxd), those in Python for shards/relay.py,
which owns the links. Every length and number from a target is checked before it is used.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from bus.batch cimport Batch
from bus.limits cimport LINK_BATCH_BYTES_MAX
from bus.records cimport (
    KIND_PUBLISH, KIND_REFUSED, KIND_WATERMARK, NO_TTL, PUBLISH_CONFIRM, PUBLISH_DELAYED, PUBLISH_PERSISTENT,
    RECORD_ALIGNMENT, PublishRecord, RecordHeader, RefusedRecord, WatermarkRecord, aligned,
)
from log.store cimport Message, body_of, head_bytes_of
from shards.engine.relay_window cimport (
    RelayItem, RelayWindow, answer_item, free_window, item_at, push_item, reserve_item,
)
from shards.engine.state cimport FIRST_SEQUENCE, EngineState, RelayTarget

from bus.bad_record import BadRecord

TAKEN = RELAY_TAKEN
REFUSED = RELAY_REFUSED
LOST = RELAY_LOST
BYTES_MAX = RELAY_BYTES_MAX
MESSAGES_MAX = RELAY_MESSAGES_MAX

cdef enum:
    QUEUES_MAX = 0xFFFF                 # PublishRecord.queue_count


cdef RelayTarget *target_at(EngineState engine, uint32_t shard) except NULL:
    if shard >= engine.shard_count:
        raise IndexError(f"no shard {shard}")
    return &engine.targets[shard]


cdef inline Batch outgoing_of(const RelayTarget *target):
    return <Batch> target.outgoing


cdef inline bint has_room(const RelayTarget *target, uint64_t divisor) noexcept:
    """Within 1/divisor of the limits."""
    return (
        target.window.bytes < RELAY_BYTES_MAX // divisor
        and target.window.next - target.window.first < RELAY_MESSAGES_MAX // divisor
    )


cdef bint relay_has_news(EngineState engine) noexcept:
    """Something is to be sent to another shard, or a link to one is wanted."""
    cdef uint32_t i
    for i in range(engine.shard_count):
        if outgoing_of(&engine.targets[i]).size or engine.targets[i].awaited and not engine.targets[i].up:
            return True
    return False


cdef bint relay_ready(EngineState engine, uint32_t shard) except -1:
    cdef RelayTarget *target = target_at(engine, shard)
    if engine.relay_closed:
        return False
    if target.up and has_room(target, 1):
        return True
    target.awaited = True
    return False


cdef bint relay_publish(EngineState engine, uint32_t shard, const Message *message, uint8_t flags,
                        const uint32_t *queue_ids, uint32_t queue_count, uint64_t ticket) except -1:
    cdef RelayTarget *target
    cdef size_t queues_bytes = aligned(<size_t> queue_count * sizeof(uint32_t))
    cdef size_t time_bytes = sizeof(uint64_t) if message.delayed else 0
    cdef size_t used = sizeof(PublishRecord) + time_bytes + queues_bytes + message.content_bytes
    cdef size_t record_bytes = aligned(used)
    cdef PublishRecord *record
    cdef uint8_t *place
    if queue_count == 0 or queue_count > QUEUES_MAX:
        raise ValueError(f"a message for {queue_count} queues")
    if record_bytes > LINK_BATCH_BYTES_MAX - RELAY_BYTES_MAX:
        raise ValueError(f"a message of {message.content_bytes} bytes does not fit a link")
    if not relay_ready(engine, shard):
        return False
    target = target_at(engine, shard)
    reserve_item(&target.window)
    place = outgoing_of(target).reserve(record_bytes)
    record = <PublishRecord *> place
    record.record_bytes = <uint32_t> record_bytes
    record.kind = KIND_PUBLISH
    record.flags = flags | PUBLISH_CONFIRM
    if message.persistent:
        record.flags |= PUBLISH_PERSISTENT
    if message.delayed:
        record.flags |= PUBLISH_DELAYED
    record.queue_count = <uint16_t> queue_count
    record.channel = 0
    record.properties_bytes = message.properties_bytes
    record.publish_sequence = target.window.next
    record.body_bytes = message.body_bytes
    record.exchange_bytes = message.exchange_bytes
    record.routing_key_bytes = message.routing_key_bytes
    record.priority = message.priority
    record.reserved = 0
    record.ttl_ms = message.ttl_ms
    place += sizeof(PublishRecord)
    if message.delayed:
        (<uint64_t *> place)[0] = message.received_at_ms
        place += time_bytes
    memset(place + queues_bytes - RECORD_ALIGNMENT, 0, RECORD_ALIGNMENT)
    memcpy(place, queue_ids, <size_t> queue_count * sizeof(uint32_t))
    place += queues_bytes
    if message.content_bytes:
        memcpy(place, message.content, head_bytes_of(message))
        memcpy(place + head_bytes_of(message), body_of(message), message.body_bytes)
    memset(place + message.content_bytes, 0, record_bytes - used)
    push_item(&target.window, target.next_batch, ticket, record_bytes)
    return True


# -- what a target answers

cdef int reach(EngineState engine, uint32_t shard, const WatermarkRecord *record) except -1:
    cdef RelayTarget *target = &engine.targets[shard]
    cdef RelayWindow *window = &target.window
    cdef uint64_t durable_batch = record.durable_batch, ticket
    cdef RelayItem *item
    cdef bint answered
    if durable_batch >= target.next_batch:
        raise BadRecord(f"shard {shard} has batch {durable_batch}, and {target.next_batch} was not sent yet")
    while window.first != window.next:
        item = item_at(window, window.first)
        if item.batch > durable_batch:
            break
        answered = item.record_bytes == 0
        ticket = item.ticket
        answer_item(window, item)
        window.first += 1
        if not answered:
            target.taken += 1
            engine.relayed(shard, ticket, RELAY_TAKEN)
    return 0


cdef int refused(EngineState engine, uint32_t shard, const RefusedRecord *record) except -1:
    cdef RelayTarget *target = &engine.targets[shard]
    cdef uint64_t sequence = record.publish_sequence
    cdef RelayItem *item
    if sequence < target.window.first:
        return 0
    if sequence >= target.window.next:
        raise BadRecord(f"shard {shard} refuses message {sequence}, which it was not sent")
    item = item_at(&target.window, sequence)
    if item.batch >= target.next_batch:
        raise BadRecord(f"shard {shard} refuses message {sequence}, which was not sent yet")
    if item.record_bytes:
        answer_item(&target.window, item)
        target.refused += 1
        engine.relayed(shard, item.ticket, RELAY_REFUSED)
    return 0


cdef int reopen(EngineState engine, uint32_t shard) except -1:
    """Tells who waits for the target that it is ready; not before half of what it had is gone."""
    cdef RelayTarget *target = &engine.targets[shard]
    if target.awaited and target.up and has_room(target, 2) and not engine.relay_closed:
        target.awaited = False
        engine.relay_opened(shard)
    return 0


# -- for shards/relay.py

def up(EngineState engine not None, uint32_t shard, uint64_t next_batch):
    """The link to the shard is there; `next_batch`: the number that its next batch will have."""
    cdef RelayTarget *target = target_at(engine, shard)
    if target.up:
        down(engine, shard)
    target.next_batch = next_batch
    target.up = True
    reopen(engine, shard)


def down(EngineState engine not None, uint32_t shard):
    """The link is gone: nobody knows what became of what was under way."""
    cdef RelayTarget *target = target_at(engine, shard)
    cdef RelayWindow gone = target.window
    cdef uint64_t sequence
    cdef RelayItem *item
    target.up = False
    outgoing_of(target).clear()
    target.window.items = NULL
    free_window(&target.window)
    try:
        for sequence in range(gone.first, gone.next):
            item = item_at(&gone, sequence)
            if item.record_bytes:
                target.lost += 1
                engine.relayed(shard, item.ticket, RELAY_LOST)
    finally:
        free_window(&gone)


def close(EngineState engine not None):
    """Nothing more is handed over: this process stops. What is under way is still answered."""
    engine.relay_closed = True


def receive(EngineState engine not None, uint32_t shard, const uint8_t[::1] batch not None):
    """What the shard answers: watermarks and refusals. BadRecord where it is anything else."""
    cdef size_t position = 0, end = batch.shape[0]
    cdef const RecordHeader *header
    target_at(engine, shard)
    while position != end:
        if end - position < sizeof(RecordHeader):
            raise BadRecord("a batch ends within a record")
        header = <const RecordHeader *> &batch[position]
        if (
            header.record_bytes < sizeof(RecordHeader) or header.record_bytes % RECORD_ALIGNMENT
            or header.record_bytes > end - position
        ):
            raise BadRecord(f"a record of {header.record_bytes} bytes where {end - position} are left")
        if header.kind == KIND_WATERMARK:
            if header.record_bytes < sizeof(WatermarkRecord):
                raise BadRecord("a watermark without its fields")
            reach(engine, shard, <const WatermarkRecord *> header)
        elif header.kind == KIND_REFUSED:
            if header.record_bytes < sizeof(RefusedRecord):
                raise BadRecord("a refusal without its fields")
            refused(engine, shard, <const RefusedRecord *> header)
        else:
            raise BadRecord(f"a record of kind {header.kind} from a shard that was only handed messages")
        position += header.record_bytes
    reopen(engine, shard)


def outgoing(EngineState engine not None, uint32_t shard) -> Batch:
    """What waits to be sent to the shard; `sent` when it was."""
    return outgoing_of(target_at(engine, shard))


def sent(EngineState engine not None, uint32_t shard, uint64_t next_batch):
    """The outgoing batch was given to the link; `next_batch`: the number of the one after it."""
    cdef RelayTarget *target = target_at(engine, shard)
    outgoing_of(target).clear()
    target.next_batch = next_batch


def pending(EngineState engine not None) -> list:
    """The shards whose outgoing batch is not empty."""
    cdef uint32_t i
    return [i for i in range(engine.shard_count) if outgoing_of(&engine.targets[i]).size]


def wanted(EngineState engine not None) -> list:
    """The shards that something waits for and that there is no link to."""
    cdef uint32_t i
    return [i for i in range(engine.shard_count) if engine.targets[i].awaited and not engine.targets[i].up]


def under_way(EngineState engine not None, uint32_t shard) -> tuple:
    """(messages, bytes) that the shard has not answered."""
    cdef RelayTarget *target = target_at(engine, shard)
    return target.window.next - target.window.first, target.window.bytes


def idle(EngineState engine not None) -> bool:
    """Nothing is under way to any shard."""
    cdef uint32_t i
    for i in range(engine.shard_count):
        if engine.targets[i].window.next != engine.targets[i].window.first:
            return False
    return True


def statistics(EngineState engine not None) -> list:
    """Of each shard that something was handed over to, since this process was started."""
    cdef uint32_t i
    cdef RelayTarget *target
    rows = []
    for i in range(engine.shard_count):
        target = &engine.targets[i]
        if target.window.next != FIRST_SEQUENCE:
            rows.append({
                "shard": i,
                "up": bool(target.up),
                "messages": target.window.next - target.window.first,
                "bytes": target.window.bytes,
                "taken": target.taken,
                "refused": target.refused,
                "lost": target.lost,
            })
    return rows


def ready(EngineState engine not None, uint32_t shard) -> bool:
    """relay_ready."""
    return relay_ready(engine, shard)


def publish(EngineState engine not None, uint32_t shard, uint64_t ticket, queue_ids, bytes exchange not None,
            bytes routing_key not None, bytes properties not None, bytes body not None, *, bint persistent=False,
            uint8_t priority=0, ttl_ms=None, not_before_ms=None) -> bool:
    """relay_publish for one message, from Python."""
    cdef bytes content = exchange + routing_key + properties + body
    cdef Batch ids = Batch()
    cdef uint32_t queue_id
    cdef Message message
    if len(exchange) > 255 or len(routing_key) > 255:
        raise ValueError("a name of more than 255 bytes")
    for one in queue_ids:
        queue_id = one
        ids.append(&queue_id, sizeof(queue_id))
    memset(&message, 0, sizeof(Message))
    message.content = content
    message.content_bytes = len(content)
    message.properties_bytes = <uint32_t> len(properties)
    message.body_bytes = <uint32_t> len(body)
    message.exchange_bytes = <uint8_t> len(exchange)
    message.routing_key_bytes = <uint8_t> len(routing_key)
    message.priority = priority
    message.persistent = persistent
    message.ttl_ms = NO_TTL if ttl_ms is None else <uint64_t> ttl_ms
    if not_before_ms is not None:
        message.delayed = True
        message.received_at_ms = not_before_ms
    return relay_publish(
        engine, shard, &message, 0, <const uint32_t *> ids.data, <uint32_t> (ids.size // sizeof(uint32_t)), ticket)
