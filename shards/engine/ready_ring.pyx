# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The blocks of the ready ring: made, passed and given back. See ready_ring.pxd."""
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, malloc

cdef enum:
    FIRST_BLOCK_ENTRIES = 16        # what an idle queue keeps: 400 bytes
    BLOCK_GROWTH = 4
    BLOCK_ENTRIES_MAX = 1024        # 24 KiB


cdef int grow_ready(ReadyRing *ring) except -1:
    """A further block at the tail."""
    cdef uint64_t capacity = FIRST_BLOCK_ENTRIES
    cdef ReadyBlock *block
    if ring.tail != NULL:
        capacity = ring.tail.capacity * BLOCK_GROWTH
        if capacity > BLOCK_ENTRIES_MAX:
            capacity = BLOCK_ENTRIES_MAX
    block = <ReadyBlock *> malloc(sizeof(ReadyBlock) + (capacity - 1) * sizeof(Entry))
    if block == NULL:
        raise MemoryError()
    block.next = NULL
    block.capacity = capacity
    if ring.tail == NULL:
        ring.head = block
        ring.head_index = 0
    else:
        ring.tail.next = block
    ring.tail = block
    ring.tail_index = 0
    return 0


cdef void next_block(ReadyRing *ring) noexcept:
    """The first block is used up and another one follows."""
    cdef ReadyBlock *used = ring.head
    ring.head = used.next
    ring.head_index = 0
    free(used)


cdef void rewind_ready(ReadyRing *ring) noexcept:
    """The ring is empty: a small block is used again from its start, a large one goes."""
    ring.head_index = ring.tail_index = 0
    if ring.head.capacity > FIRST_BLOCK_ENTRIES:
        free(ring.head)
        ring.head = ring.tail = NULL


cdef void free_ready(ReadyRing *ring) noexcept:
    cdef ReadyBlock *block
    while ring.head != NULL:
        block = ring.head
        ring.head = block.next
        free(block)
    ring.tail = NULL
    ring.head_index = ring.tail_index = 0
    ring.count = 0


cdef uint64_t ready_memory_bytes(const ReadyRing *ring) noexcept:
    cdef uint64_t size = 0
    cdef const ReadyBlock *block = ring.head
    while block != NULL:
        size += sizeof(ReadyBlock) + (block.capacity - 1) * sizeof(Entry)
        block = block.next
    return size
