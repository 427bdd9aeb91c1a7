# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The unacked ring of a channel at a shard. See unacked_ring.pxd."""
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, realloc

cdef enum:
    FIRST_CAPACITY = 16
    KEPT_CAPACITY_MAX = 128         # a larger array is given back when it is empty
    SHRINK_FACTOR = 8               # an array that is used to less than this part is halved


cdef int make_room(UnackedRing *ring) except -1:
    """Squeezes the gaps out where they are at least half of the array, else grows it."""
    cdef uint64_t i, kept = 0
    cdef uint64_t capacity
    cdef UnackedItem *grown
    if ring.capacity and ring.count <= ring.capacity // 2:
        for i in range(ring.head, ring.tail):
            if ring.items[i].owner:
                ring.items[kept] = ring.items[i]
                kept += 1
        ring.head = 0
        ring.tail = kept
        if kept < ring.capacity // SHRINK_FACTOR and ring.capacity > KEPT_CAPACITY_MAX:
            # Where even this cannot be had, the larger array serves on.
            grown = <UnackedItem *> realloc(ring.items, ring.capacity // 2 * sizeof(UnackedItem))
            if grown != NULL:
                ring.items = grown
                ring.capacity //= 2
        return 0
    capacity = ring.capacity * 2 if ring.capacity else FIRST_CAPACITY
    grown = <UnackedItem *> realloc(ring.items, capacity * sizeof(UnackedItem))
    if grown == NULL:
        raise MemoryError()
    ring.items = grown
    ring.capacity = capacity
    return 0


cdef uint64_t end_of_unacked(const UnackedRing *ring, uint64_t sequence) noexcept:
    """The index behind the last item whose sequence is not above `sequence`."""
    cdef uint64_t low = ring.head, high = ring.tail, middle, distance
    if low == high or sequence < ring.items[low].sequence:
        return low
    distance = sequence - ring.items[low].sequence
    if distance < high - low:
        # Sequences ascend by at least one; without gaps the item is right there.
        high = low + distance + 1
        if ring.items[high - 1].sequence == sequence:
            return high
    while low < high:
        middle = low + (high - low) // 2
        if ring.items[middle].sequence <= sequence:
            low = middle + 1
        else:
            high = middle
    return low


cdef int64_t find_unacked(const UnackedRing *ring, uint64_t sequence) noexcept:
    """Where the sequence is, or -1: never given, or settled."""
    cdef uint64_t end = end_of_unacked(ring, sequence)
    if end == ring.head or ring.items[end - 1].sequence != sequence or ring.items[end - 1].owner == 0:
        return -1
    return <int64_t> end - 1


cdef void trim_unacked(UnackedRing *ring) noexcept:
    """Forgets settled items at the front, and the array when it is empty and large."""
    if ring.count == 0:
        if ring.capacity > KEPT_CAPACITY_MAX:
            free_unacked(ring)
        else:
            ring.head = ring.tail = 0
        return
    while ring.items[ring.head].owner == 0:
        ring.head += 1


cdef void free_unacked(UnackedRing *ring) noexcept:
    free(ring.items)
    ring.items = NULL
    ring.head = ring.tail = ring.capacity = ring.count = 0
