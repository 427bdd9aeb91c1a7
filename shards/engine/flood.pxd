"""Queues that fill faster than their consumers' connections take from them. See flood.pyx."""
from libc.stdint cimport uint64_t

from shards.engine.state cimport EngineState, Queue, ready_count

cdef enum:
    # Ready messages of a queue whose consumers are as fast as their connections let them: more than a hundredth of a
    # second of what a core can carry is a backlog that only adds to the latency. It ends well below where it began.
    FLOOD_BEGINS_MESSAGES = 20_000
    FLOOD_ENDS_MESSAGES = 4_000


cdef int begin_flood(EngineState engine, Queue *queue) except -1
cdef int end_flood(EngineState engine, Queue *queue) except -1


cdef inline int watch_flood(EngineState engine, Queue *queue) except -1:
    """After a dispatch of the queue, or what takes messages or consumers from it."""
    if queue.flooded:
        if ready_count(queue) < FLOOD_ENDS_MESSAGES or queue.consumer_count == 0:
            end_flood(engine, queue)
    elif ready_count(queue) > FLOOD_BEGINS_MESSAGES:
        begin_flood(engine, queue)
    return 0
