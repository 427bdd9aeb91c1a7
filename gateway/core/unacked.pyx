# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The unacked ring: delivery tag to (shard, delivery sequence), 16 bytes each.

Tags only grow, so the entries are sorted as they come and a tag is found by where it must be at the
latest. Clients mostly settle from the front; a client that keeps one old delivery for days while
it settles millions behind it costs no memory, as gaps are squeezed out before the array grows.

Per channel and shard the delivery sequences ascend with the tags; settling with `multiple`
therefore needs one record per shard, with the highest sequence among the settled.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc

cdef enum:
    FIRST_CAPACITY = 16
    KEPT_CAPACITY_MAX = 128         # a larger array is given back when it is empty
    CAPACITY_MAX = 1 << 30


cdef int make_room(UnackedRing *ring) except -1:
    """Squeezes the gaps out where they are at least half of the array, else grows it."""
    cdef uint32_t i, kept = 0
    cdef uint32_t capacity
    cdef Unacked *grown
    if ring.capacity and ring.count <= ring.capacity // 2:
        for i in range(ring.head, ring.tail):
            if ring.entries[i].place:
                ring.entries[kept] = ring.entries[i]
                kept += 1
        ring.head = 0
        ring.tail = kept
        return 0
    if ring.capacity >= CAPACITY_MAX:
        raise MemoryError("too many unacknowledged deliveries on one channel")
    capacity = ring.capacity * 2 if ring.capacity else FIRST_CAPACITY
    grown = <Unacked *> realloc(ring.entries, <size_t> capacity * sizeof(Unacked))
    if grown == NULL:
        raise MemoryError()
    ring.entries = grown
    ring.capacity = capacity
    return 0


cdef int push_unacked(UnackedRing *ring, uint64_t tag, uint32_t shard, uint64_t sequence, uint64_t flags) except -1:
    """`tag` is above all before it; `sequence` from 1."""
    if ring.tail == ring.capacity:
        make_room(ring)
    ring.entries[ring.tail].tag = tag
    ring.entries[ring.tail].place = flags << FLAGS_SHIFT | <uint64_t> shard << SEQUENCE_BITS | sequence
    ring.tail += 1
    ring.count += 1
    if flags & FLAG_GET:
        ring.gets += 1
    return 0


cdef int64_t find_unacked(const UnackedRing *ring, uint64_t tag) noexcept nogil:
    """Where the tag is, or -1: never given, settled, or settled in the open transaction."""
    cdef uint32_t low = ring.head, high = ring.tail, middle
    cdef uint64_t distance
    if low == high or tag < ring.entries[low].tag:
        return -1
    distance = tag - ring.entries[low].tag
    if distance < high - low:
        high = low + <uint32_t> distance + 1    # tags ascend by at least one
        low = high - 1 if ring.entries[high - 1].tag == tag else low
    while low < high:
        middle = low + (high - low) // 2
        if ring.entries[middle].tag < tag:
            low = middle + 1
        else:
            high = middle
    if low == ring.tail or ring.entries[low].tag != tag:
        return -1
    if ring.entries[low].place == 0 or flags_of(ring.entries[low].place) & FLAG_HELD:
        return -1
    return low


cdef void drop_unacked(UnackedRing *ring, uint32_t index) noexcept nogil:
    """Settles an entry that is not settled yet. The caller trims when it is done."""
    cdef uint64_t flags = flags_of(ring.entries[index].place)
    ring.entries[index].place = 0
    ring.count -= 1
    if flags & FLAG_GET:
        ring.gets -= 1
    if flags & FLAG_HELD:
        ring.held -= 1


cdef void trim_unacked(UnackedRing *ring) noexcept nogil:
    """Forgets settled entries at the front, and the array when it is empty and large."""
    while ring.head < ring.tail and ring.entries[ring.head].place == 0:
        ring.head += 1
    if ring.head == ring.tail:
        if ring.capacity > KEPT_CAPACITY_MAX:
            free_unacked(ring)
        else:
            ring.head = ring.tail = 0


cdef void release_held(UnackedRing *ring) noexcept nogil:
    """Rollback: what was settled in the transaction is unacknowledged again."""
    cdef uint32_t i
    cdef uint64_t flags
    if not ring.held:
        return
    for i in range(ring.head, ring.tail):
        flags = flags_of(ring.entries[i].place)
        if flags & FLAG_HELD:
            flags &= FLAG_GET | FLAG_STALE
            ring.entries[i].place = ring.entries[i].place & ((<uint64_t> 1 << FLAGS_SHIFT) - 1) | flags << FLAGS_SHIFT
    ring.held = 0


cdef void mark_stale(UnackedRing *ring, uint32_t shard) noexcept nogil:
    """The shard died: it will deliver these messages again by itself."""
    cdef uint32_t i
    for i in range(ring.head, ring.tail):
        if ring.entries[i].place and shard_of(ring.entries[i].place) == shard:
            ring.entries[i].place |= <uint64_t> FLAG_STALE << FLAGS_SHIFT


cdef void free_unacked(UnackedRing *ring) noexcept nogil:
    free(ring.entries)
    ring.entries = NULL
    ring.head = ring.tail = ring.capacity = 0
    ring.count = ring.held = ring.gets = 0
