# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Floods: publishers outrun consumers that take all they are given at once.

Reading publishes is cheaper than delivering, so where cores are few publishers get the time, and the backlog grows for
as long as they go on. A queue is flooded when its consumers have lately taken messages at a high rate and still have
more before them than they take in some milliseconds. What such a consumer waits for, its connection or its own
acknowledgements, makes no difference. One that is not fast, as it shares its core with many, is outrun too if it waits
for nothing but its connection, and the backlog is long, in messages or in bytes. Gateways are told, and let the queue's publishers rest
until it is over (gateway/pacing.py).

A backlog that slow consumers leave because of their prefetch, or because there are none, is no flood: to keep it is
what a queue is for.
"""
from libc.stdint cimport uint32_t, uint64_t

from shards.engine.state cimport Consumer

cdef enum:
    # Consumers of a queue that are looked at: with many, those in front are as good as any.
    LOOKED_AT_MAX = 16


cdef bint waits_for_connection(const Queue *queue) noexcept:
    """Whether a consumer could take more, if only its connection or its gateway took it."""
    cdef Consumer *consumer = queue.consumers
    cdef int i
    for i in range(LOOKED_AT_MAX):
        if consumer == NULL:
            return False
        if consumer.listed != NULL and (
                consumer.listed == &consumer.channel.connection.waiting
                or consumer.listed == &consumer.channel.gateway.waiting):
            return True
        consumer = consumer.queue_next
    return False


cdef int tell(EngineState engine, const Queue *queue) except -1:
    cdef uint32_t gateway
    document = b'{"event":"flood","queue_id":%d,"on":%s}' % (queue.queue_id, b"true" if queue.flooded else b"false")
    for gateway in range(engine.sender_count - engine.shard_count):
        (<object> engine).event(gateway, document)
    return 0


cdef int measure(EngineState engine, Queue *queue) except -1:
    """Counts anew, and says by what was counted from how many messages on fast consumers are outrun (0: not fast)."""
    cdef uint64_t elapsed_ms = engine.now_ms - queue.measured_at_ms
    cdef uint64_t taken = queue.delivered - queue.measured_delivered
    cdef uint64_t taken_bytes = queue.delivered_bytes - queue.measured_bytes
    cdef uint64_t much
    queue.measured_at_ms = engine.now_ms
    queue.measured_delivered = queue.delivered
    queue.measured_bytes = queue.delivered_bytes
    queue.flood_begins = 0
    if taken:
        queue.waiting_flood_begins = max(
            <uint64_t> WAITING_FLOOD_BEGINS_LARGE_MIN,
            min(<uint64_t> WAITING_FLOOD_BEGINS_MESSAGES, WAITING_FLOOD_BEGINS_BYTES // (taken_bytes // taken + 1)))
    if (taken + taken_bytes // LARGE_BYTES) // elapsed_ms >= FAST_MESSAGES_PER_MS:
        much = FLOOD_BEGINS_BYTES_MIN // (taken_bytes // taken + 1) if taken else 0
        much = max(<uint64_t> FLOOD_BEGINS_LARGE_MIN, min(<uint64_t> FLOOD_BEGINS_MESSAGES_MIN, much))
        queue.flood_begins = max(FLOOD_BEGINS_MS * taken // elapsed_ms, much)
    elif queue.flooded and not waits_for_connection(queue):
        end_flood(engine, queue)
    return 0


cdef int begin_flood(EngineState engine, Queue *queue) except -1:
    """More is ready than there should be; that it is a flood is still to be seen."""
    if queue.consumer_count and (queue.flood_begins or waits_for_connection(queue)):
        queue.flooded = True
        tell(engine, queue)
    return 0


cdef int end_flood(EngineState engine, Queue *queue) except -1:
    queue.flooded = False
    return tell(engine, queue)
