# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Consumer timeout: who holds a message longer than its queue allows loses its consumer, and the message comes back.

No message has a time. A channel that holds messages of such queues is watched: a few times a second its delivery sequence is
noted with the time (a checkpoint), so what was delivered before a checkpoint is at least as old as that. The older they
are the fewer are kept. The watch ends when the channel holds nothing. A message is never found too early, and late by
two looks and a thirtieth of the timeout at most.

The time is the engine's own: it goes on from look to look, by LOOK_GAP_MS_MAX at most, so that neither a wall clock that is
set nor a process that stood still makes messages old.

A live consumer is cancelled and all it holds comes back. What came by basic.get, or belongs to a consumer that was
cancelled before, has nobody to be cancelled: the gateway closes the channel.
"""
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, realloc

from bus.records cimport KIND_EVENT
from shards.engine.features cimport UNLIMITED
from shards.engine.members cimport remove_consumer
from shards.engine.settling cimport queue_of, requeue_consumer
from shards.engine.state cimport OWNER_IS_QUEUE, Channel, Consumer, EngineState, Gateway, Queue
from shards.engine.telling cimport tell
from shards.engine.unacked_ring cimport UnackedItem, UnackedRing, trim_unacked
from shards.engine.watch cimport Checkpoint, Watch, free_watch

cdef enum:
    # Between two looks: a part of the least timeout, within these.
    LOOKS_PER_TIMEOUT = 8
    LOOK_INTERVAL_MS_MIN = 50
    LOOK_INTERVAL_MS_MAX = 1000
    LOOK_GAP_MS_MAX = 5000
    # Checkpoints lie at most this part of their age apart, beyond the looks. So they are a few hundred at most.
    AGE_PARTS = 32
    FIRST_CHECKPOINTS = 16


cdef uint64_t interval_ms(uint64_t timeout_ms) noexcept:
    return min(max(timeout_ms // LOOKS_PER_TIMEOUT, <uint64_t> LOOK_INTERVAL_MS_MIN), <uint64_t> LOOK_INTERVAL_MS_MAX)


# -- which channels are watched

cdef int watch(EngineState engine, Channel *channel, uint64_t timeout_ms) except -1:
    """The channel holds messages that are to be settled within this time."""
    cdef Watch *own = channel.watch
    if own == NULL:
        own = <Watch *> calloc(1, sizeof(Watch))
        if own == NULL:
            raise MemoryError()
        if engine.watches == NULL:
            engine.looked_at_ms = engine.now_ms
            engine.look_at_ms = UNLIMITED
        else:
            engine.watches.previous = own
        own.channel = channel
        own.next = engine.watches
        own.timeout_ms = UNLIMITED
        engine.watches = channel.watch = own
        note(own, clock_ms(engine), channel.delivery_sequence)
    if timeout_ms < own.timeout_ms:
        own.timeout_ms = timeout_ms
        engine.look_at_ms = min(engine.look_at_ms, engine.now_ms + interval_ms(timeout_ms))
    return 0


cdef void unwatch(EngineState engine, Channel *channel) noexcept:
    cdef Watch *own = channel.watch
    if own == NULL:
        return
    if own.previous == NULL:
        engine.watches = own.next
    else:
        own.previous.next = own.next
    if own.next != NULL:
        own.next.previous = own.previous
    channel.watch = NULL
    free_watch(own)


cdef int watch_holders(EngineState engine, uint64_t timeout_ms) except -1:
    """A queue has this timeout from now on: whoever holds anything is watched, until it shows whether it is of that."""
    cdef uint32_t i, slot
    cdef Gateway *gateway
    cdef Channel *channel
    for i in range(engine.sender_count):
        gateway = &engine.gateways[i]
        for slot in range(gateway.channels.capacity):
            channel = <Channel *> gateway.channels.slots[slot]
            if channel != NULL and channel.unacked.count:
                watch(engine, channel, timeout_ms)
    return 0


# -- checkpoints

cdef uint64_t clock_ms(EngineState engine) noexcept:
    """The engine's own time."""
    cdef uint64_t passed = engine.now_ms - engine.looked_at_ms if engine.now_ms > engine.looked_at_ms else 0
    return engine.look_clock_ms + min(passed, <uint64_t> LOOK_GAP_MS_MAX)


cdef void merge(Watch *watch, uint64_t now_ms) noexcept:
    """Leaves checkpoints out whose neighbours tell as much, but for a small part of their age."""
    cdef Checkpoint *points = watch.checkpoints
    cdef uint32_t i, kept = 1
    for i in range(1, watch.count - 1):
        if points[i + 1].at_ms - points[kept - 1].at_ms > (now_ms - points[i + 1].at_ms) // AGE_PARTS:
            points[kept] = points[i]
            kept += 1
    points[kept] = points[watch.count - 1]
    watch.count = kept + 1


cdef int note(Watch *watch, uint64_t now_ms, uint64_t sequence) except -1:
    """What has been delivered by now."""
    cdef uint32_t capacity
    cdef Checkpoint *grown
    if watch.count and watch.checkpoints[watch.count - 1].sequence == sequence:
        return 0
    if watch.count == watch.capacity:
        if watch.count > FIRST_CHECKPOINTS:
            merge(watch, now_ms)
        if watch.count > watch.capacity // 2 or watch.capacity == 0:
            capacity = watch.capacity * 2 if watch.capacity else FIRST_CHECKPOINTS
            grown = <Checkpoint *> realloc(watch.checkpoints, capacity * sizeof(Checkpoint))
            if grown == NULL:
                raise MemoryError()
            watch.checkpoints = grown
            watch.capacity = capacity
    watch.checkpoints[watch.count].at_ms = now_ms
    watch.checkpoints[watch.count].sequence = sequence
    watch.count += 1
    return 0


cdef uint64_t delivered_before(const Watch *watch, uint64_t now_ms, uint64_t age_ms) noexcept:
    """The last delivery sequence that is known to be of this age at least; 0: none."""
    cdef uint32_t i = watch.count
    while i and watch.checkpoints[i - 1].at_ms + age_ms > now_ms:
        i -= 1
    return watch.checkpoints[i - 1].sequence if i else 0


# -- looks

cdef bint look_is_due(EngineState engine, uint64_t now_ms) noexcept:
    """Also where the wall clock was set back."""
    return engine.watches != NULL and (now_ms >= engine.look_at_ms or now_ms < engine.looked_at_ms)


cdef int look(EngineState engine) except -1:
    """At all channels that are watched."""
    cdef uint64_t least_ms = UNLIMITED
    cdef Watch *one = engine.watches
    cdef Watch *following
    cdef Channel *channel
    engine.look_clock_ms = clock_ms(engine)
    engine.looked_at_ms = engine.now_ms
    while one != NULL:
        following = one.next
        channel = <Channel *> one.channel
        look_at(engine, channel)
        if channel.unacked.count == 0:
            unwatch(engine, channel)
        else:
            note(one, engine.look_clock_ms, channel.delivery_sequence)
            least_ms = min(least_ms, one.timeout_ms)
        one = following
    engine.look_at_ms = engine.now_ms + interval_ms(least_ms)
    return 0


cdef inline uint64_t timeout_of(const UnackedItem *item) noexcept:
    cdef Queue *queue = queue_of(item)
    return UNLIMITED if queue.features == NULL else queue.features.consumer_timeout_ms


cdef int look_at(EngineState engine, Channel *channel) except -1:
    """Only what is older than the least timeout is looked at one by one."""
    cdef Watch *own = channel.watch
    cdef UnackedRing *ring = &channel.unacked
    cdef UnackedItem *item
    cdef uint64_t last = delivered_before(own, engine.look_clock_ms, own.timeout_ms)
    cdef uint64_t i = ring.head, timeout_ms, known_ms = 0, known_last = 0
    if ring.count == 0:
        return 0
    while i < ring.tail and ring.items[i].sequence <= last:
        item = &ring.items[i]
        i += 1
        if not item.owner:
            continue
        timeout_ms = timeout_of(item)
        if timeout_ms == UNLIMITED:
            continue
        if timeout_ms != known_ms:
            known_ms = timeout_ms
            known_last = delivered_before(own, engine.look_clock_ms, timeout_ms)
        if item.sequence <= known_last:
            time_out(engine, channel, item, timeout_ms)
    trim_unacked(ring)
    return 0


cdef int time_out(EngineState engine, Channel *channel, UnackedItem *item, uint64_t timeout_ms) except -1:
    """Its consumer is cancelled and all it holds goes back; without one the gateway is told, once."""
    cdef Consumer *consumer = NULL
    cdef uint32_t handle
    if not item.owner & OWNER_IS_QUEUE and not (<Consumer *> item.owner).cancelled:
        consumer = <Consumer *> item.owner
    if consumer == NULL:
        if not channel.watch.told:
            channel.watch.told = True
            tell(engine, channel.gateway, KIND_EVENT, 0, b'{"event":"timed_out","channel":%d,"timeout":%d}' % (
                channel.handle, timeout_ms))
        return 0
    handle = consumer.handle
    remove_consumer(engine, consumer, engine.deserted_queues)
    requeue_consumer(engine, channel, consumer)
    return tell(
        engine, channel.gateway, KIND_EVENT, 0, b'{"event":"timed_out","channel":%d,"consumer":%d,"timeout":%d}' % (
            channel.handle, handle, timeout_ms))
