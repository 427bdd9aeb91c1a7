"""Queues that fill faster than they are emptied although their consumers take all they are given. See flood.pyx."""
from libc.stdint cimport uint64_t

from shards.engine.state cimport EngineState, Queue, ready_count

cdef enum:
    # How long what consumers take is counted before it is judged: longer than one acknowledgement of a full prefetch
    # makes a slow consumer look fast, short enough that little gathers until then.
    MEASURED_MS = 20
    # Consumers that take this much are fast: more than what RabbitMQ's queues carry altogether, so that
    # a publisher that is slowed down to their pace still is faster than there.
    FAST_MESSAGES_PER_MS = 100
    # So many bytes of bodies count as one more message: 64 KiB are 17, as they cost some 20 times what 100 bytes do.
    # Consumers of large messages are fast from 400 MB a second on.
    LARGE_BYTES = 4096
    # A flood begins when fast consumers have this much work before them, and ends when they have half of it.
    FLOOD_BEGINS_MS = 2
    FLOOD_BEGINS_MESSAGES_MIN = 1000
    # ... or fewer, where they are large: what lies in the caches is cheaper to deliver than what does not.
    FLOOD_BEGINS_BYTES_MIN = 4 << 20
    FLOOD_BEGINS_LARGE_MIN = 32
    # The same for consumers that are not fast and wait for their connections alone: where many share a core, none is.
    WAITING_FLOOD_BEGINS_MESSAGES = 20_000
    # ... or fewer, where they are large: so many bytes, by what the consumers were given lately.
    WAITING_FLOOD_BEGINS_BYTES = 64 << 20
    WAITING_FLOOD_BEGINS_LARGE_MIN = 8
    WAITING_FLOOD_ENDS_PART = 5     # when so small a part is left


cdef int measure(EngineState engine, Queue *queue) except -1
cdef int begin_flood(EngineState engine, Queue *queue) except -1
cdef int end_flood(EngineState engine, Queue *queue) except -1


cdef inline uint64_t waiting_flood_begins(const Queue *queue) noexcept nogil:
    return queue.waiting_flood_begins if queue.waiting_flood_begins else WAITING_FLOOD_BEGINS_MESSAGES


cdef inline int watch_flood(EngineState engine, Queue *queue) except -1:
    """After a dispatch of the queue, or what takes messages or consumers from it."""
    # unsigned: a clock that was set back ends the count, too
    if engine.now_ms - queue.measured_at_ms >= MEASURED_MS:
        measure(engine, queue)
    if queue.flooded:
        if queue.consumer_count == 0 or ready_count(queue) <= (
                queue.flood_begins // 2 if queue.flood_begins
                else waiting_flood_begins(queue) // WAITING_FLOOD_ENDS_PART):
            end_flood(engine, queue)
    elif ready_count(queue) > (queue.flood_begins if queue.flood_begins else waiting_flood_begins(queue)):
        begin_flood(engine, queue)
    return 0
