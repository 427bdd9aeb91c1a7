"""The deliveries of a channel that the client has not settled. See unacked.pyx."""
from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef enum:
    # Unacked.place: delivery sequence in the low bits, then the shard, then flags; 0: settled
    SEQUENCE_BITS = 40
    SHARD_BITS = 12
    FLAGS_SHIFT = SEQUENCE_BITS + SHARD_BITS

    FLAG_GET = 1                # came by basic.get: a channel-wide prefetch does not count it
    FLAG_STALE = 2              # its shard died: settling it tells nobody
    FLAG_HELD = 4               # settled in an open transaction
    HELD_OUTCOME_SHIFT = 3      # and how: OUTCOME_* of bus.records, two bits


cdef struct Unacked:
    uint64_t tag
    uint64_t place


# Ascending by tag; settled ones stay as gaps (place 0) until they are squeezed out.
cdef struct UnackedRing:
    Unacked *entries
    uint32_t head
    uint32_t tail
    uint32_t capacity
    uint32_t count              # settled ones not counted, held ones counted
    uint32_t held
    uint32_t gets               # of `count`


cdef int push_unacked(UnackedRing *ring, uint64_t tag, uint32_t shard, uint64_t sequence, uint64_t flags) except -1
cdef int64_t find_unacked(const UnackedRing *ring, uint64_t tag) noexcept nogil
cdef void drop_unacked(UnackedRing *ring, uint32_t index) noexcept nogil
cdef void trim_unacked(UnackedRing *ring) noexcept nogil
cdef void release_held(UnackedRing *ring) noexcept nogil
cdef void mark_stale(UnackedRing *ring, uint32_t shard) noexcept nogil
cdef void free_unacked(UnackedRing *ring) noexcept nogil


cdef inline uint64_t sequence_of(uint64_t place) noexcept nogil:
    return place & ((<uint64_t> 1 << SEQUENCE_BITS) - 1)


cdef inline uint32_t shard_of(uint64_t place) noexcept nogil:
    return <uint32_t> (place >> SEQUENCE_BITS) & ((1 << SHARD_BITS) - 1)


cdef inline uint64_t flags_of(uint64_t place) noexcept nogil:
    return place >> FLAGS_SHIFT
