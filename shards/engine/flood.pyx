# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Floods: publishers without a confirm window outrun consumers that take all they can.

A queue is flooded when much is ready although one of its consumers waits for nothing but its connection:
its prefetch has room, or it needs none. Gateways are told, and read the queue's publishers at a measured pace until
it is over (gateway/pacing.py). A backlog that consumers leave because of their prefetch, or because there is none, is no
flood: to keep it is what a queue is for.
"""
from libc.stdint cimport uint32_t

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


cdef int begin_flood(EngineState engine, Queue *queue) except -1:
    if waits_for_connection(queue):
        queue.flooded = True
        tell(engine, queue)
    return 0


cdef int end_flood(EngineState engine, Queue *queue) except -1:
    queue.flooded = False
    return tell(engine, queue)
