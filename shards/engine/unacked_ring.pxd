"""What a channel holds of this shard's messages: delivery sequence to (entry, owner), 40 bytes each.

The owner is the consumer that the message went to, or, for basic.get, the queue it came
from (marked by the lowest bit). Sequences only grow, so the items are sorted as they come
and one is found by where it must be at the latest. A client that keeps one old delivery
while it settles millions behind it costs no memory: gaps are squeezed out before the
array grows.
"""
from libc.stdint cimport int64_t, uint64_t, uintptr_t

from log.store cimport Entry


cdef packed struct UnackedItem:
    uint64_t sequence
    Entry entry
    uintptr_t owner                 # 0: settled


cdef struct UnackedRing:
    UnackedItem *items
    uint64_t head                   # first item that may be unsettled
    uint64_t tail                   # behind the last
    uint64_t capacity
    uint64_t count                  # unsettled ones


cdef int make_room(UnackedRing *ring) except -1
cdef int64_t find_unacked(const UnackedRing *ring, uint64_t sequence) noexcept
cdef uint64_t end_of_unacked(const UnackedRing *ring, uint64_t sequence) noexcept
cdef void trim_unacked(UnackedRing *ring) noexcept
cdef void free_unacked(UnackedRing *ring) noexcept


cdef inline int push_unacked(UnackedRing *ring, uint64_t sequence, const Entry *entry, uintptr_t owner) except -1:
    """`sequence` is above all before it."""
    cdef UnackedItem *item
    if ring.tail == ring.capacity:
        make_room(ring)
    item = &ring.items[ring.tail]
    item.sequence = sequence
    item.entry = entry[0]
    item.owner = owner
    ring.tail += 1
    ring.count += 1
    return 0
