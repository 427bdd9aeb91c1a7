# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Single active consumer: one consumer of the queue gets its messages, the others wait for its place.

The one that is active is a consumer like any other. The others are in the list `standby` of their level, in the order
in which they came. When the active one goes, the first of the highest level follows at once, also where the old one
leaves unsettled messages behind.

In a quorum queue a higher priority takes the place over: the active one *fades*, that is, gets nothing more, and
gives way as soon as it holds no unsettled message. In a classic queue it stays until it goes.

After a restart of the shard the gateways attach their consumers again in any order, with the numbers that they came
by, and say which one was active. Until all have done so (EngineState.attaching) only that one is.
"""
from libc.stdint cimport uint64_t

from bus.records cimport KIND_EVENT
from shards.engine.features cimport TYPE_QUORUM, Features
from shards.engine.state cimport Level, make_available, touch, unlist
from shards.engine.telling cimport tell

cdef enum:
    # Arrivals within one millisecond. An arrival is the time and a counter, so that it is above all those of the
    # shard's former incarnations.
    ARRIVALS_SHIFT = 10


cdef int say(EngineState engine, const Consumer *consumer, bint active) except -1:
    return tell(engine, consumer.channel.gateway, KIND_EVENT, 0, b'{"event":"active","consumer":%d,"active":%s}' % (
        consumer.handle, b"true" if active else b"false"))


cdef uint64_t next_arrival(EngineState engine) noexcept:
    engine.last_arrival = max(engine.last_arrival + 1, engine.now_ms << ARRIVALS_SHIFT)
    return engine.last_arrival


cdef void stand_by(EngineState engine, Consumer *consumer) noexcept:
    """Into the list of those that wait, by arrival."""
    cdef Level *level = consumer.level
    cdef Consumer *first
    cdef Consumer *after
    unlist(consumer)
    if consumer.asking:
        # levels below need not wait for its answer any more
        consumer.asking = False
        level.asking -= 1
        touch(engine, consumer.queue)
    consumer.listed = &level.standby
    first = level.standby.first
    if first == NULL:
        consumer.next = consumer.previous = consumer
        level.standby.first = consumer
        return
    after = first.previous
    while after.arrival > consumer.arrival and after != first:
        after = after.previous
    if after.arrival > consumer.arrival:
        # before all of them
        level.standby.first = consumer
        after = first.previous
    consumer.previous = after
    consumer.next = after.next
    after.next.previous = consumer
    after.next = consumer


cdef Consumer *successor(const Queue *queue) noexcept:
    """The first of the highest level that waits, or NULL."""
    cdef const Level *level = queue.levels
    while level != NULL:
        if level.standby.first != NULL:
            return level.standby.first
        level = level.lower
    return NULL


cdef int activate(EngineState engine, Queue *queue, Consumer *consumer) except -1:
    queue.features.active = consumer
    make_available(engine, consumer)
    return say(engine, consumer, True)


cdef int fill_place(EngineState engine, Queue *queue) except -1:
    """Somebody becomes active, if nobody is and somebody waits."""
    cdef Consumer *consumer
    if queue.features.active == NULL:
        consumer = successor(queue)
        if consumer != NULL:
            activate(engine, queue, consumer)
    return 0


cdef int give_way(EngineState engine, Queue *queue) except -1:
    """The active one steps back for whoever follows: now, or when it has settled what it holds."""
    cdef Consumer *active = <Consumer *> queue.features.active
    if active.unacked:
        unlist(active)
        if active.asking:
            active.asking = False
            active.level.asking -= 1
        active.fading = True
        return 0
    stand_by(engine, active)
    queue.features.active = NULL
    say(engine, active, False)
    return fill_place(engine, queue)


cdef int faded(EngineState engine, Consumer *consumer) except -1:
    """A fading consumer has settled its last message."""
    consumer.fading = False
    return give_way(engine, consumer.queue)


cdef int joined(EngineState engine, Consumer *consumer, uint64_t arrival, bint was_active) except -1:
    """A new consumer, in no list yet. `arrival` is 0, or what it was before the shard was restarted."""
    cdef Queue *queue = consumer.queue
    cdef Features *features = queue.features
    cdef Consumer *active = <Consumer *> features.active
    consumer.arrival = arrival if arrival else next_arrival(engine)
    stand_by(engine, consumer)
    if active == NULL:
        if was_active:
            return activate(engine, queue, consumer)
        return 0 if engine.attaching else fill_place(engine, queue)
    if features.queue_type == TYPE_QUORUM and consumer.level.priority > active.level.priority and not active.fading:
        give_way(engine, queue)
    return 0


cdef int left(EngineState engine, Queue *queue, const Consumer *consumer) except -1:
    """A consumer has gone from the queue's lists."""
    cdef Consumer *active = <Consumer *> queue.features.active
    cdef Consumer *waiting
    if active == consumer:
        queue.features.active = NULL
        return fill_place(engine, queue)
    if active != NULL and active.fading:
        waiting = successor(queue)
        if waiting == NULL or waiting.level.priority <= active.level.priority:
            # whom it was to make place for has gone
            active.fading = False
            make_available(engine, active)
    return 0
