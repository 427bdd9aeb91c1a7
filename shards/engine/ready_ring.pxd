"""The ready messages of a queue in their order: Entries of 24 bytes in a chain of blocks.

A chain instead of one array: a long backlog is never copied when it grows, costs 24 bytes
a message and gives its memory back block by block. An empty queue keeps one small block
at most, so that a hundred thousand idle queues cost little.
"""
from libc.stdint cimport uint32_t, uint64_t

from log.store cimport Entry


cdef struct ReadyBlock:
    ReadyBlock *next
    uint64_t capacity
    Entry entries[1]                # as many as capacity says


cdef struct ReadyRing:
    ReadyBlock *head
    ReadyBlock *tail
    uint32_t head_index             # first entry, in head
    uint32_t tail_index             # behind the last entry, in tail
    uint64_t count


cdef int grow_ready(ReadyRing *ring) except -1
cdef void next_block(ReadyRing *ring) noexcept
cdef void rewind_ready(ReadyRing *ring) noexcept
cdef void free_ready(ReadyRing *ring) noexcept
cdef uint64_t ready_memory_bytes(const ReadyRing *ring) noexcept


cdef inline int push_ready(ReadyRing *ring, const Entry *entry) except -1:
    """Entries come in ascending order of their numbers."""
    if ring.tail == NULL or ring.tail_index == ring.tail.capacity:
        grow_ready(ring)
    ring.tail.entries[ring.tail_index] = entry[0]
    ring.tail_index += 1
    ring.count += 1
    return 0


cdef inline Entry *first_ready(ReadyRing *ring) noexcept:
    """Only where count is not 0."""
    return &ring.head.entries[ring.head_index]


cdef inline void drop_first_ready(ReadyRing *ring) noexcept:
    ring.head_index += 1
    ring.count -= 1
    if ring.count == 0:
        rewind_ready(ring)
    elif ring.head_index == ring.head.capacity:
        next_block(ring)
