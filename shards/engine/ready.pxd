"""The ready messages of a queue, whatever keeps them: one ring and one heap, or a lane of both per priority.

The highest priority goes first; inside one, what came back goes before what has not been delivered yet.
Nothing here looks at lengths, times or limits: that is placing.pyx.
"""
from libc.stdint cimport uint32_t, uint64_t

from log.store cimport Entry
from shards.engine.features cimport Lane, Lanes
from shards.engine.ready_ring cimport drop_first_ready, first_ready, push_ready
from shards.engine.returned_heap cimport drop_first_returned, push_returned
from shards.engine.state cimport Queue

cdef extern from *:
    """
    #define warren_highest_bit(word) (63 - __builtin_clzll(word))
    """
    uint32_t highest_bit "warren_highest_bit"(uint64_t word) nogil      # not of 0
    uint32_t lowest_bit "__builtin_ctzll"(uint64_t word) nogil          # not of 0


cdef inline Lane *first_lane(Lanes *lanes) noexcept:
    """The lane of the highest priority that has a message, or NULL."""
    cdef int word
    for word in range(3, -1, -1):
        if lanes.filled[word]:
            return &lanes.lane[64 * word + highest_bit(lanes.filled[word])]
    return NULL


cdef inline Lane *lane_of(Lanes *lanes, const Entry *entry) noexcept:
    """A priority above the highest counts as that."""
    return &lanes.lane[entry.priority if entry.priority < lanes.count else lanes.count - 1]


cdef inline Entry *first_entry(Queue *queue) noexcept:
    """The message whose turn it is, or NULL."""
    cdef Lane *lane
    if queue.features != NULL and queue.features.lanes != NULL:
        lane = first_lane(queue.features.lanes)
        if lane == NULL:
            return NULL
        return lane.returned.entries if lane.returned.count else first_ready(&lane.ready)
    if queue.returned.count:
        return queue.returned.entries
    if queue.ready.count:
        return first_ready(&queue.ready)
    return NULL


cdef inline void drop_from_lane(Lanes *lanes, Lane *lane) noexcept:
    """The first of a lane that is not empty."""
    cdef uint32_t i
    if lane.returned.count:
        drop_first_returned(&lane.returned)
    else:
        drop_first_ready(&lane.ready)
    lanes.messages -= 1
    if lane.ready.count == 0 and lane.returned.count == 0:
        i = <uint32_t> (lane - &lanes.lane[0])
        lanes.filled[i >> 6] &= ~(<uint64_t> 1 << (i & 63))


cdef inline void drop_first(Queue *queue) noexcept:
    """Only where first_entry has found one."""
    if queue.features != NULL and queue.features.lanes != NULL:
        drop_from_lane(queue.features.lanes, first_lane(queue.features.lanes))
    elif queue.returned.count:
        drop_first_returned(&queue.returned)
    else:
        drop_first_ready(&queue.ready)


cdef inline void fill_lane(Lanes *lanes, const Lane *lane) noexcept:
    cdef uint32_t i = <uint32_t> (lane - &lanes.lane[0])
    lanes.filled[i >> 6] |= <uint64_t> 1 << (i & 63)
    lanes.messages += 1


cdef inline int push_last(Queue *queue, const Entry *entry) except -1:
    """Behind all others of its priority; its number is above theirs."""
    cdef Lane *lane
    if queue.features != NULL and queue.features.lanes != NULL:
        lane = lane_of(queue.features.lanes, entry)
        push_ready(&lane.ready, entry)
        fill_lane(queue.features.lanes, lane)
        return 0
    return push_ready(&queue.ready, entry)


cdef inline int push_back(Queue *queue, const Entry *entry) except -1:
    """To where it was before it was taken."""
    cdef Lane *lane
    if queue.features != NULL and queue.features.lanes != NULL:
        lane = lane_of(queue.features.lanes, entry)
        push_returned(&lane.returned, entry)
        fill_lane(queue.features.lanes, lane)
        return 0
    return push_returned(&queue.returned, entry)
