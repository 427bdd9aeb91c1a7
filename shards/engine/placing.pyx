# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Queues with features: TTL, length limits, priorities, delay. A plain queue never comes here.

The order of things, as in RabbitMQ: a publish is refused or not by the length that the queue would have
(admit); then it goes to a consumer, if one waits, or becomes ready (take_in); then the head is dropped
until the limits hold (enforce_limits). Only the head of a queue expires (of a priority queue: the head of each
priority), when its time has come or when it is looked at for a delivery.
"""
from libc.stdint cimport uint32_t, uint64_t

from log.formats cimport ENTRY_DELAYED, ENTRY_EXPIRES, ENTRY_RETURNED, NO_TTL
from log.store cimport Entry, Message
from shards.engine.deduplication cimport forget_old
from shards.engine.delayed_heap cimport DelayedHeap, drop_first_delayed, free_delayed, push_delayed
from shards.engine.dispatch cimport delivered_at_once, dispatch_queue
from shards.engine.dying cimport DEATH_EXPIRED, DEATH_MAXLEN, die, die_unstored
from shards.engine.features cimport (
    OVERFLOW_DROP_HEAD, OVERFLOW_REJECT_DLX, TYPE_QUORUM, UNLIMITED, Features, Lane, Lanes, limits_length, new_features,
)
from shards.engine.ready cimport drop_first, drop_from_lane, first_entry, lowest_bit, push_back, push_last
from shards.engine.ready_ring cimport ReadyBlock, first_ready
from shards.engine.retaining cimport append_to_stream, drop_stream, load_into_stream, retain
from shards.engine.returning cimport recover_failures
from shards.engine.state cimport Consumer, EngineState, Queue, ready_count, touch
from shards.engine.timers cimport lower_timer, set_timer

cdef enum:
    # What becomes of one queue in one go when its time has come; the rest has its turn soon.
    DUE_AT_ONCE_MAX = 4096


cdef Features *features_for(EngineState engine, Queue *queue) except NULL:
    """Its features; a plain queue gets them, since one message of it has a time."""
    if queue.features == NULL:
        queue.features = new_features()
    return queue.features


cdef inline bint too_long(const Features *features, uint64_t count, uint64_t size_bytes) noexcept:
    return count > features.max_length or size_bytes > features.max_length_bytes


cdef uint64_t stored_body_bytes(EngineState engine, const Entry *entry) except? 0:
    cdef Message message
    return message.body_bytes if engine.store.read(entry, &message) else 0


# -- coming

cdef bint is_full(const Queue *queue, const Message *message) noexcept:
    """Whether the queue refuses messages that would be ready at once, and has no room for this one."""
    cdef const Features *features = queue.features
    return features.overflow != OVERFLOW_DROP_HEAD and not message.delayed and too_long(
        features, ready_count(queue) + 1, features.ready_bytes + message.body_bytes)


cdef int admit(EngineState engine, Queue *queue, const Message *message) except -1:
    """Whether the queue takes a message at all: ADMITTED, REFUSED or IGNORED."""
    if is_full(queue, message):
        # One that another shard moves here stays with that, alive.
        if queue.features.overflow == OVERFLOW_REJECT_DLX and not message.handed_over:
            die_unstored(engine, queue, message, DEATH_MAXLEN)
        return REFUSED
    return ADMITTED


cdef int admit_dead(EngineState engine, Queue *queue, const Message *message) except -1:
    """The same of a dead letter. One that has no room may die here once more: nobody else would keep it."""
    if is_full(queue, message) and queue.features.overflow == OVERFLOW_REJECT_DLX:
        return ADMITTED
    return admit(engine, queue, message)


cdef bint takes_directly(const Queue *queue, const Message *message) noexcept:
    """Whether a message may pass to a consumer without acks without having been stored."""
    return not message.delayed and queue.features.stream == NULL and queue.features.window == NULL


cdef int take_in(EngineState engine, Queue *queue, Entry *entry, const Message *message) except -1:
    """A message that was stored: to a consumer, to the ready ones, or aside until its time. A stream takes it at once."""
    if queue.features.stream != NULL:
        return append_to_stream(engine, queue, entry, message)
    if entry.flags & ENTRY_DELAYED:
        if message.received_at_ms > engine.now_ms:
            push_delayed(&queue.features.delayed, message.received_at_ms, entry)
            return lower_timer(engine, queue, message.received_at_ms)
        end_delay(engine, entry)
    return enter(engine, queue, entry, message)


cdef int take_in_dead(EngineState engine, Queue *queue, Entry *entry, const Message *message) except -1:
    """A dead letter that was stored. See admit_dead."""
    if is_full(queue, message):
        return die(engine, queue, entry, DEATH_MAXLEN)
    return take_in(engine, queue, entry, message)


cdef int end_delay(EngineState engine, Entry *entry) except -1:
    """From now on its TTL counts."""
    entry.flags &= ~ENTRY_DELAYED
    if engine.store.expires_at(entry) != NO_TTL:
        entry.flags |= ENTRY_EXPIRES
    return 0


cdef int enter(EngineState engine, Queue *queue, Entry *entry, const Message *message) except -1:
    """As the last of the queue."""
    cdef Features *features = queue.features
    if entry.flags & ENTRY_EXPIRES and ready_count(queue):
        # It may have no time to wait for the end of the turn: those before it go now.
        dispatch_queue(engine, queue)
    if delivered_at_once(engine, queue, entry, message):
        return 0
    push_last(queue, entry)
    if features.counts_bytes:
        features.ready_bytes += message.body_bytes
    if limits_length(features):
        enforce_limits(engine, queue)
    if entry.flags & ENTRY_EXPIRES:
        watch_head(engine, queue)
    if queue.open != NULL or queue.flooded:
        touch(engine, queue)
    return 0


cdef int take_back(EngineState engine, Queue *queue, Entry *entry) except -1:
    """A message that was delivered and not settled is ready again, where it was."""
    cdef Features *features = queue.features
    push_back(queue, entry)
    if features.counts_bytes:
        features.ready_bytes += stored_body_bytes(engine, entry)
    if limits_length(features):
        enforce_limits(engine, queue)
    watch_head(engine, queue)
    if queue.open != NULL:
        touch(engine, queue)
    return 0


cdef int load_entry(EngineState engine, Queue *queue, const Entry *entry) except -1:
    """A message that recovery has found. One whose delay is over by now has the place that it was published to."""
    cdef Features *features = queue.features
    cdef Entry loaded = entry[0]
    cdef uint64_t ready_at_ms
    if features.stream != NULL:
        return load_into_stream(engine, queue, entry)
    if features.queue_type == TYPE_QUORUM:
        recover_failures(&loaded)
    if loaded.flags & ENTRY_DELAYED:
        ready_at_ms = engine.store.not_before(&loaded)
        if ready_at_ms > engine.now_ms:
            push_delayed(&features.delayed, ready_at_ms, &loaded)
            return lower_timer(engine, queue, ready_at_ms)
        end_delay(engine, &loaded)
    push_last(queue, &loaded)
    if features.counts_bytes:
        features.ready_bytes += stored_body_bytes(engine, &loaded)
    return 0


# -- going

cdef int left_ready(EngineState engine, Queue *queue, uint64_t body_bytes) except -1:
    """One that was ready has been taken out."""
    cdef Features *features = queue.features
    if features.counts_bytes:
        features.ready_bytes -= body_bytes if body_bytes < features.ready_bytes else features.ready_bytes
    return 0


cdef inline bint is_over(EngineState engine, const Entry *entry) except -1:
    """Whether its time is."""
    return entry.flags & ENTRY_EXPIRES != 0 and engine.store.expires_at(entry) <= engine.now_ms


cdef int drop_head(EngineState engine, Queue *queue, int reason) except -1:
    """The first of the queue dies."""
    cdef Entry entry = first_entry(queue)[0]
    drop_first(queue)
    if queue.features.counts_bytes:
        left_ready(engine, queue, stored_body_bytes(engine, &entry))
    return die(engine, queue, &entry, reason)


cdef int enforce_limits(EngineState engine, Queue *queue) except -1:
    """Drops the head until the queue is short enough, unless it refuses what comes instead.

    Where the head's time is over anyway, that is what it dies of.
    """
    cdef Features *features = queue.features
    cdef Entry *first
    if features.stream != NULL:
        return retain(engine, queue)
    if features.overflow != OVERFLOW_DROP_HEAD or not too_long(features, ready_count(queue), features.ready_bytes):
        return 0
    while too_long(features, ready_count(queue), features.ready_bytes):
        first = first_entry(queue)
        if first == NULL:
            break
        drop_head(engine, queue, DEATH_EXPIRED if is_over(engine, first) else DEATH_MAXLEN)
    return watch_head(engine, queue)


cdef bint drop_expired(EngineState engine, Queue *queue) except -1:
    """Drops the head as long as its time is over: before a delivery. True where a message is left."""
    cdef Entry *first
    while True:
        first = first_entry(queue)
        if first == NULL:
            return False
        if not is_over(engine, first):
            return True
        drop_head(engine, queue, DEATH_EXPIRED)


cdef uint64_t drop_all_ready(EngineState engine, Queue *queue) except? 0:
    """All that is ready is done with, nothing of it dies; returns how many that were."""
    cdef uint64_t count = 0
    cdef Entry *first = first_entry(queue)
    if queue.features.stream != NULL:
        return drop_stream(engine, queue)
    while first != NULL:
        engine.store.acked(first)
        drop_first(queue)
        count += 1
        first = first_entry(queue)
    queue.features.ready_bytes = 0
    return count


cdef int drop_delayed(EngineState engine, Queue *queue) except -1:
    """What waits for its time is done with: the queue goes."""
    cdef DelayedHeap *heap = &queue.features.delayed
    cdef uint64_t i
    for i in range(heap.count):
        engine.store.acked(&heap.items[i].entry)
    free_delayed(heap)
    return 0


cdef uint64_t bytes_of_lane(EngineState engine, Lane *lane) except? 0:
    """Of the bodies in a lane, read from the log."""
    cdef ReadyBlock *block = lane.ready.head
    cdef uint64_t size_bytes = 0, i
    cdef uint64_t first = lane.ready.head_index, end
    while block != NULL:
        end = lane.ready.tail_index if block == lane.ready.tail else block.capacity
        for i in range(first, end):
            size_bytes += stored_body_bytes(engine, &block.entries[i])
        block = block.next
        first = 0
    for i in range(lane.returned.count):
        size_bytes += stored_body_bytes(engine, &lane.returned.entries[i])
    return size_bytes


cdef int count_bytes(EngineState engine, Queue *queue) except -1:
    """The queue's bytes count from now on, and have not been counted so far."""
    cdef Features *features = queue.features
    cdef Lane plain
    cdef uint32_t i
    features.counts_bytes = True
    features.ready_bytes = 0
    if features.lanes != NULL:
        for i in range(features.lanes.count):
            features.ready_bytes += bytes_of_lane(engine, &features.lanes.lane[i])
        return 0
    plain.ready = queue.ready
    plain.returned = queue.returned
    features.ready_bytes = bytes_of_lane(engine, &plain)
    return 0


# -- time

cdef inline Entry *head_of(Lane *lane) noexcept:
    return lane.returned.entries if lane.returned.count else first_ready(&lane.ready)


cdef int watch_head(EngineState engine, Queue *queue) except -1:
    """The first message (of each priority) may be another one: the queue is looked at no later than that expires."""
    cdef Lanes *lanes = queue.features.lanes
    cdef Entry *first
    cdef uint64_t bits
    cdef int word
    if lanes != NULL:
        for word in range(4):
            bits = lanes.filled[word]
            while bits:
                first = head_of(&lanes.lane[64 * word + lowest_bit(bits)])
                bits &= bits - 1
                if first.flags & ENTRY_EXPIRES:
                    lower_timer(engine, queue, engine.store.expires_at(first))
        return 0
    first = first_entry(queue)
    if first != NULL and first.flags & ENTRY_EXPIRES:
        lower_timer(engine, queue, engine.store.expires_at(first))
    return 0


cdef uint64_t expire_lanes(EngineState engine, Queue *queue, uint64_t *budget) except? 0:
    """Drops expired heads of all priorities; returns when the next one expires."""
    cdef Lanes *lanes = queue.features.lanes
    cdef Lane *lane
    cdef Entry entry
    cdef uint64_t bits, at_ms, next_ms = UNLIMITED
    cdef int word
    for word in range(4):
        bits = lanes.filled[word]
        while bits:
            lane = &lanes.lane[64 * word + lowest_bit(bits)]
            bits &= bits - 1
            while lane.ready.count or lane.returned.count:
                entry = head_of(lane)[0]
                if not entry.flags & ENTRY_EXPIRES:
                    break
                at_ms = engine.store.expires_at(&entry)
                if at_ms > engine.now_ms or budget[0] == 0:
                    next_ms = min(next_ms, at_ms)
                    break
                budget[0] -= 1
                drop_from_lane(lanes, lane)
                if queue.features.counts_bytes:
                    left_ready(engine, queue, stored_body_bytes(engine, &entry))
                die(engine, queue, &entry, DEATH_EXPIRED)
    return next_ms


cdef uint64_t expire_head(EngineState engine, Queue *queue, uint64_t *budget) except? 0:
    """The same of a queue without priorities."""
    cdef Entry *first
    cdef uint64_t at_ms
    while True:
        first = first_entry(queue)
        if first == NULL or not first.flags & ENTRY_EXPIRES:
            return UNLIMITED
        at_ms = engine.store.expires_at(first)
        if at_ms > engine.now_ms or budget[0] == 0:
            return at_ms
        budget[0] -= 1
        drop_head(engine, queue, DEATH_EXPIRED)


cdef int release_delayed(EngineState engine, Queue *queue, uint64_t *budget) except -1:
    """What is due becomes ready: as the last of the queue, or where it was if it has come back."""
    cdef Features *features = queue.features
    cdef Entry entry
    cdef Message message
    while features.delayed.count and features.delayed.items[0].ready_at_ms <= engine.now_ms and budget[0]:
        budget[0] -= 1
        entry = features.delayed.items[0].entry
        drop_first_delayed(&features.delayed)
        if entry.flags & ENTRY_RETURNED:
            entry.flags &= ~ENTRY_RETURNED
            take_back(engine, queue, &entry)
            continue
        if not engine.store.read(&entry, &message):
            engine.store.acked(&entry)
            continue
        # The order of a queue is that of its numbers; the log goes on knowing it by its first one.
        entry.number = queue.next_number
        queue.next_number += 1
        end_delay(engine, &entry)
        enter(engine, queue, &entry, &message)
    return 0


cdef int on_time(EngineState engine, Queue *queue) except -1:
    """The queue's timer has gone off: does what is due, and sets it for what is due next."""
    cdef Features *features = queue.features
    cdef uint64_t budget = DUE_AT_ONCE_MAX
    cdef uint64_t next_ms
    set_timer(engine, queue, UNLIMITED)
    if features.stream != NULL:
        return retain(engine, queue)
    release_delayed(engine, queue, &budget)
    next_ms = expire_lanes(engine, queue, &budget) if features.lanes != NULL else expire_head(engine, queue, &budget)
    if features.delayed.count:
        next_ms = min(next_ms, features.delayed.items[0].ready_at_ms)
    if features.window != NULL:
        next_ms = min(next_ms, forget_old(engine, features.window, &budget))
    if features.expires_ms != UNLIMITED and queue.consumer_count == 0:
        if features.used_at_ms + features.expires_ms <= engine.now_ms:
            engine.expired_queues.append(queue.queue_id)
        else:
            next_ms = min(next_ms, features.used_at_ms + features.expires_ms)
    return lower_timer(engine, queue, next_ms)


cdef int now_unused(EngineState engine, Queue *queue) except -1:
    """Its x-expires counts from here."""
    cdef Features *features = queue.features
    features.used_at_ms = engine.now_ms
    if features.expires_ms != UNLIMITED and queue.consumer_count == 0:
        lower_timer(engine, queue, engine.now_ms + features.expires_ms)
    return 0
