# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Floods: publishers outrun consumers that take all they are given at once.

Reading publishes is cheaper than delivering, so where cores are few publishers get the time, and the backlog grows for
as long as they go on. A queue is flooded when its consumers have lately taken messages at a high rate and still have
more before them than they take in some milliseconds. Gateways are told, and let the queue's publishers rest
until it is over (gateway/pacing.py).

A backlog that slow consumers leave, or none, or those whose prefetch is small for what they do, is no flood: to keep it
is what a queue is for. What a consumer waits for, its connection or its own acknowledgements, makes no difference.
"""
from libc.stdint cimport uint32_t, uint64_t


cdef int tell(EngineState engine, const Queue *queue) except -1:
    cdef uint32_t gateway
    document = b'{"event":"flood","queue_id":%d,"on":%s}' % (queue.queue_id, b"true" if queue.flooded else b"false")
    for gateway in range(engine.sender_count - engine.shard_count):
        (<object> engine).event(gateway, document)
    return 0


cdef int measure(EngineState engine, Queue *queue) except -1:
    """Counts anew, and says by what was counted from how many messages on it is a flood (0: never)."""
    cdef uint64_t elapsed_ms = engine.now_ms - queue.measured_at_ms
    cdef uint64_t taken = queue.delivered - queue.measured_delivered
    queue.measured_at_ms = engine.now_ms
    queue.measured_delivered = queue.delivered
    queue.flood_begins = 0
    if taken // elapsed_ms >= FAST_MESSAGES_PER_MS:
        queue.flood_begins = max(FLOOD_BEGINS_MS * taken // elapsed_ms, FLOOD_BEGINS_MESSAGES_MIN)
    return 0


cdef int begin_flood(EngineState engine, Queue *queue) except -1:
    queue.flooded = True
    return tell(engine, queue)


cdef int end_flood(EngineState engine, Queue *queue) except -1:
    queue.flooded = False
    return tell(engine, queue)
