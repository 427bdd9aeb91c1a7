# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A message for queues of this shard: stored once, then each queue has an entry of it.

It comes from a gateway or another shard (ingest.pyx), or out of a queue of this shard in which it died (burying.pyx).
A message whose queue is idle goes straight to the consumer whose turn it is, without the detour over the ready ring;
to a consumer without acks even without the store, as nothing of it remains (unless it is large: lending.pyx).
"""
from libc.stdint cimport uint32_t, uint64_t

from log.formats cimport NO_TTL, RECORD_QUEUE_SETTLED, ttl_attribute
from log.store cimport Entry, Message
from shards.engine.deduplication cimport is_duplicate, remember
from shards.engine.dispatch cimport deliver_unstored, delivered_at_once, next_consumer, worth_lending
from shards.engine.features cimport Features
from shards.engine.placing cimport (
    ADMITTED, REFUSED, admit, admit_dead, features_for, take_in, take_in_dead, takes_directly,
)
from shards.engine.ready_ring cimport push_ready
from shards.engine.state cimport Consumer, EngineState, Queue, grow_scratch, ready_count, touch
from shards.engine.tables cimport queue_at


cdef inline bint idle_with_no_ack(const Queue *queue) noexcept:
    """Whether the next message goes to a consumer without acks, if that can take it."""
    return queue.open != NULL and queue.open.available.first.no_ack and ready_count(queue) == 0


cdef int accept_plain(EngineState engine, Queue *queue, const Message *message) except -1:
    """What accept does, for one queue without features and a message without a time."""
    cdef bint durable = queue.durable and message.persistent
    cdef Consumer *consumer
    cdef Entry entry
    if idle_with_no_ack(queue):
        consumer = next_consumer(engine, queue)
        if consumer != NULL and consumer.no_ack and not worth_lending(consumer, message):
            return deliver_unstored(engine, consumer, message)
    if message.content_bytes >= engine.refused_bytes[durable]:
        return ACCEPT_NO_ROOM
    try:
        engine.store.append(durable, message, &queue.queue_id, &queue.next_number, NULL, 1, &entry)
    except OSError as error:
        engine.refusal = error
        engine.refused_bytes[durable] = message.content_bytes
        return ACCEPT_NO_ROOM
    queue.next_number += 1
    queue.published += 1
    push_or_deliver(engine, queue, &entry, message)
    return ACCEPT_DURABLE if durable else 0


cdef inline int push_or_deliver(EngineState engine, Queue *queue, Entry *entry, const Message *message) except -1:
    """A message that was stored, of a queue without features."""
    if delivered_at_once(engine, queue, entry, message):
        return 0
    push_ready(&queue.ready, entry)
    if queue.open != NULL or queue.flooded:
        touch(engine, queue)
    return 0


cdef int accept(EngineState engine, const Message *message, const uint32_t *queue_ids, uint32_t queue_count,
                const Origin *origin) except -1:
    """Queues that do not exist (any more) are left out. With an origin it comes from a queue of this shard."""
    cdef Queue *queue
    if queue_count == 1 and origin == NULL and message.ttl_ms == NO_TTL and not message.delayed:
        queue = engine.recent
        if queue == NULL or queue.queue_id != queue_ids[0]:
            queue = <Queue *> queue_at(&engine.queues, queue_ids[0])
            if queue == NULL:
                return ACCEPT_NOBODY
            engine.recent = queue
        if queue.features == NULL:
            return accept_plain(engine, queue, message)
    return accept_any(engine, message, queue_ids, queue_count, origin)


cdef int accept_any(EngineState engine, const Message *message, const uint32_t *queue_ids, uint32_t queue_count,
                    const Origin *origin) except -1:
    """What accept says, for any message and any queues."""
    cdef Message copied
    cdef Queue **queues
    cdef uint32_t *ids
    cdef uint64_t *numbers
    cdef uint32_t *attributes
    cdef Queue *queue
    cdef Features *features
    cdef Consumer *consumer
    cdef int verdict, answer = ACCEPT_NOBODY
    cdef Entry *entry
    cdef uint32_t i, stored = 0, identified = 0
    cdef bint durable = False
    cdef bint attributed = False
    if queue_count >= engine.scratch_capacity:
        grow_scratch(engine, queue_count + 1)
    queues = engine.scratch_queues
    ids = engine.scratch_ids
    numbers = engine.scratch_numbers
    attributes = engine.scratch_attributes
    for i in range(queue_count):
        queue = engine.recent
        if queue == NULL or queue.queue_id != queue_ids[i]:
            queue = <Queue *> queue_at(&engine.queues, queue_ids[i])
            if queue == NULL:
                continue
            engine.recent = queue
        answer &= ~ACCEPT_NOBODY
        attributes[stored] = 0
        if queue.features != NULL or message.ttl_ms != NO_TTL or message.delayed:
            features = features_for(engine, queue)
            if features.window != NULL and is_duplicate(engine, features.window, message, origin != NULL):
                continue
            verdict = admit_dead(engine, queue, message) if message.died else admit(engine, queue, message)
            if verdict != ADMITTED:
                if verdict == REFUSED:
                    answer |= ACCEPT_REFUSED
                continue
            if features.message_ttl_ms != NO_TTL:
                attributes[stored] = ttl_attribute(features.message_ttl_ms)
                attributed = True
            durable |= features.keeps_all
            identified += features.window != NULL and features.window.identified
        if origin == NULL and idle_with_no_ack(queue) and (
                queue.features == NULL or takes_directly(queue, message)):
            consumer = next_consumer(engine, queue)
            if consumer != NULL and consumer.no_ack and not worth_lending(consumer, message):
                deliver_unstored(engine, consumer, message)
                continue
        if queue.durable and message.persistent:
            durable = True
        queues[stored] = queue
        ids[stored] = queue.queue_id
        numbers[stored] = queue.next_number
        stored += 1
    if stored == 0:
        return answer

    if message.content_bytes >= engine.refused_bytes[durable]:
        return answer | ACCEPT_NO_ROOM
    if origin != NULL:
        # after the others: those have the first places of scratch_entries
        ids[stored] = origin.queue_id
        numbers[stored] = origin.entry_number
        attributes[stored] = RECORD_QUEUE_SETTLED
        attributed = True
    if identified and message.room != NULL:
        # its ids lie in the same segment, which the room has no place for
        copied = message[0]
        copied.room = NULL
        message = &copied
    try:
        if identified:
            engine.store.make_room(durable, message.content_bytes, stored + (origin != NULL), identified)
        engine.store.append(
            durable, message, ids, numbers, attributes if attributed else NULL, stored + (origin != NULL),
            engine.scratch_entries)
    except OSError as error:
        # Smaller ones may still fit; the others of this batch need not try.
        engine.refusal = error
        engine.refused_bytes[durable] = message.content_bytes
        return answer | ACCEPT_NO_ROOM
    if identified:
        remember(engine, queues, engine.scratch_entries, stored, durable)
    if durable:
        answer |= ACCEPT_DURABLE
    for i in range(stored):
        queue = queues[i]
        entry = &engine.scratch_entries[i]
        queue.next_number += 1
        queue.published += 1
        if queue.features != NULL:
            if message.died:
                take_in_dead(engine, queue, entry, message)
            else:
                take_in(engine, queue, entry, message)
            continue
        push_or_deliver(engine, queue, entry, message)
    return answer
