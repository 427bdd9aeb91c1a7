# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Settlement: a delivered message is done with, or goes back to its old position.

An unknown delivery sequence is ignored: the gateway has checked the client's tag, so it
can only be of a message that has gone with its queue.
"""
from libc.stdint cimport int64_t, uint16_t, uint64_t, uintptr_t
from libc.stdlib cimport free

from bus.records cimport OUTCOME_ACK, OUTCOME_REJECT, OUTCOME_REQUEUE, OUTCOME_REQUEUE_FAILED
from shards.engine.dying cimport DEATH_REJECTED, die
from shards.engine.returned_heap cimport push_returned
from shards.engine.returning cimport give_back
from shards.engine.single_active cimport faded
from shards.engine.state cimport (
    OWNER_IS_QUEUE, Channel, Consumer, EngineState, Queue, make_available, touch,
)
from shards.engine.unacked_ring cimport UnackedItem, UnackedRing, end_of_unacked, find_unacked, trim_unacked


cdef inline int release_owner(EngineState engine, UnackedItem *item) except -1:
    """The consumer may have its next message; a cancelled one goes with its last."""
    cdef Consumer *consumer
    if not item.owner & OWNER_IS_QUEUE:
        consumer = <Consumer *> item.owner
        consumer.unacked -= 1
        if consumer.cancelled:
            if consumer.unacked == 0:
                free(consumer)
        elif consumer.listed == NULL:
            if consumer.fading:
                if consumer.unacked == 0:
                    faded(engine, consumer)
            elif consumer.unacked < consumer.prefetch:
                make_available(engine, consumer)
    item.owner = 0
    return 0


cdef inline int finish(EngineState engine, Channel *channel, UnackedItem *item, uint16_t outcome) except -1:
    """One unsettled item. The caller trims when it is done."""
    cdef Queue *queue = queue_of(item)
    queue.unacked -= 1
    channel.unacked.count -= 1
    if queue.features != NULL and queue.features.stream != NULL:
        # Whatever the outcome: its consumer may have another, and the message stays.
        queue.acknowledged += outcome == OUTCOME_ACK
    elif outcome == OUTCOME_REQUEUE or outcome == OUTCOME_REQUEUE_FAILED:
        if queue.features != NULL:
            give_back(engine, queue, &item.entry, outcome == OUTCOME_REQUEUE_FAILED)
        else:
            push_returned(&queue.returned, &item.entry)
            if queue.open != NULL:
                touch(engine, queue)
    elif outcome == OUTCOME_REJECT:
        die(engine, queue, &item.entry, DEATH_REJECTED)
    else:
        engine.store.acked(&item.entry)
        queue.acknowledged += 1
    release_owner(engine, item)
    return 0


cdef int settle(EngineState engine, Channel *channel, uint64_t sequence, bint multiple, uint16_t outcome) except -1:
    cdef UnackedRing *ring = &channel.unacked
    cdef uint64_t i, end
    cdef int64_t found
    if not multiple:
        found = find_unacked(ring, sequence)
        if found < 0:
            return 0
        finish(engine, channel, &ring.items[found], outcome)
        trim_unacked(ring)
        return 0
    if sequence > channel.delivery_sequence:
        return 0
    end = end_of_unacked(ring, sequence)
    for i in range(ring.head, end):
        if ring.items[i].owner:
            finish(engine, channel, &ring.items[i], outcome)
    trim_unacked(ring)
    return 0


cdef int requeue_all(EngineState engine, Channel *channel, uint16_t outcome) except -1:
    """Everything that the channel holds goes back: OUTCOME_REQUEUE or OUTCOME_REQUEUE_FAILED."""
    cdef UnackedRing *ring = &channel.unacked
    cdef uint64_t i
    for i in range(ring.head, ring.tail):
        if ring.items[i].owner:
            finish(engine, channel, &ring.items[i], outcome)
    trim_unacked(ring)
    return 0


cdef int requeue_consumer(EngineState engine, Channel *channel, const Consumer *consumer) except -1:
    """All that one consumer holds goes back, as failed; one that was cancelled is gone with the last. The caller trims."""
    cdef UnackedRing *ring = &channel.unacked
    cdef uint64_t i
    for i in range(ring.head, ring.tail):
        if ring.items[i].owner == <uintptr_t> consumer:
            finish(engine, channel, &ring.items[i], OUTCOME_REQUEUE_FAILED)
    return 0


cdef int forget_queue(EngineState engine, Channel *channel, Queue *queue) except -1:
    """The queue goes, and what the channel holds of it is done with."""
    cdef UnackedRing *ring = &channel.unacked
    cdef UnackedItem *item
    cdef uint64_t i
    for i in range(ring.head, ring.tail):
        item = &ring.items[i]
        if item.owner and queue_of(item) == queue:
            engine.store.acked(&item.entry)
            queue.unacked -= 1
            ring.count -= 1
            release_owner(engine, item)
    trim_unacked(ring)
    return 0
