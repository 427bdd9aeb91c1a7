# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The heap of queues that wait for a time: one place per queue, so time costs by what is due, not by what waits.

A queue's timer is never later than the first thing that is due in it, but may be earlier: it is
lowered at once and raised only when it goes off and finds nothing. So a queue whose messages all have
the same TTL, and are consumed in time, pays one look per TTL.
"""
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport realloc

from shards.engine.features cimport NO_TIMER, UNLIMITED

cdef enum:
    FIRST_CAPACITY = 64


cdef inline uint64_t time_at(EngineState engine, uint32_t place) noexcept:
    return engine.timers[place].features.timer_at_ms


cdef inline void put(EngineState engine, uint32_t place, Queue *queue) noexcept:
    engine.timers[place] = queue
    queue.features.timer_place = place


cdef void sift_up(EngineState engine, uint32_t place, Queue *queue) noexcept:
    while place > 1 and time_at(engine, place // 2) > queue.features.timer_at_ms:
        put(engine, place, engine.timers[place // 2])
        place //= 2
    put(engine, place, queue)


cdef void sift_down(EngineState engine, uint32_t place, Queue *queue) noexcept:
    cdef uint32_t child
    while True:
        child = 2 * place
        if child > engine.timer_count:
            break
        if child < engine.timer_count and time_at(engine, child + 1) < time_at(engine, child):
            child += 1
        if time_at(engine, child) >= queue.features.timer_at_ms:
            break
        put(engine, place, engine.timers[child])
        place = child
    put(engine, place, queue)


cdef int set_timer(EngineState engine, Queue *queue, uint64_t at_ms) except -1:
    """The queue is looked at then; UNLIMITED: never. It has features."""
    cdef uint32_t capacity
    cdef Queue **moved
    if at_ms == UNLIMITED:
        clear_timer(engine, queue)
        return 0
    if queue.features.timer_place == NO_TIMER:
        if engine.timer_count + 1 >= engine.timer_capacity:
            capacity = engine.timer_capacity * 2 if engine.timer_capacity else FIRST_CAPACITY
            moved = <Queue **> realloc(engine.timers, capacity * sizeof(Queue *))
            if moved == NULL:
                raise MemoryError()
            engine.timers = moved
            engine.timer_capacity = capacity
        engine.timer_count += 1
        queue.features.timer_at_ms = at_ms
        sift_up(engine, engine.timer_count, queue)
    elif at_ms < queue.features.timer_at_ms:
        queue.features.timer_at_ms = at_ms
        sift_up(engine, queue.features.timer_place, queue)
    else:
        queue.features.timer_at_ms = at_ms
        sift_down(engine, queue.features.timer_place, queue)
    return 0


cdef int lower_timer(EngineState engine, Queue *queue, uint64_t at_ms) except -1:
    """Something of the queue is due then: it is looked at no later."""
    if at_ms < queue.features.timer_at_ms:
        set_timer(engine, queue, at_ms)
    return 0


cdef void clear_timer(EngineState engine, Queue *queue) noexcept:
    cdef uint32_t place = queue.features.timer_place
    cdef Queue *last
    queue.features.timer_place = NO_TIMER
    queue.features.timer_at_ms = UNLIMITED
    if place == NO_TIMER:
        return
    last = engine.timers[engine.timer_count]
    engine.timer_count -= 1
    if last == queue:
        return
    if place > 1 and time_at(engine, place // 2) > last.features.timer_at_ms:
        sift_up(engine, place, last)
    else:
        sift_down(engine, place, last)
