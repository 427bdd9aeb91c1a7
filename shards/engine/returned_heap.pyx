# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The heap of returned messages. See returned_heap.pxd.

A channel that ends gives its messages back in ascending order, which a heap takes in
constant time each.
"""
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, realloc

cdef enum:
    FIRST_CAPACITY = 16
    SHRINK_FACTOR = 4               # an array that is used to less than a quarter is halved


cdef int resize(ReturnedHeap *heap, uint64_t capacity) except -1:
    cdef Entry *moved = <Entry *> realloc(heap.entries, capacity * sizeof(Entry))
    if moved == NULL:
        raise MemoryError()
    heap.entries = moved
    heap.capacity = capacity
    return 0


cdef int push_returned(ReturnedHeap *heap, const Entry *entry) except -1:
    cdef uint64_t i, parent
    cdef Entry *entries
    if heap.count == heap.capacity:
        resize(heap, heap.capacity * 2 if heap.capacity else FIRST_CAPACITY)
    entries = heap.entries
    i = heap.count
    heap.count += 1
    while i:
        parent = (i - 1) // 2
        if entries[parent].number <= entry.number:
            break
        entries[i] = entries[parent]
        i = parent
    entries[i] = entry[0]
    return 0


cdef void drop_first_returned(ReturnedHeap *heap) noexcept:
    """Only where count is not 0."""
    cdef uint64_t i = 0, child
    cdef Entry *entries = heap.entries
    cdef Entry *moved
    cdef Entry last
    heap.count -= 1
    if heap.count == 0:
        if heap.capacity > FIRST_CAPACITY:
            free_returned(heap)
        return
    last = entries[heap.count]
    while True:
        child = 2 * i + 1
        if child >= heap.count:
            break
        if child + 1 < heap.count and entries[child + 1].number < entries[child].number:
            child += 1
        if entries[child].number >= last.number:
            break
        entries[i] = entries[child]
        i = child
    entries[i] = last
    if heap.capacity > FIRST_CAPACITY and heap.count < heap.capacity // SHRINK_FACTOR:
        # Where even this cannot be had, the larger array serves on.
        moved = <Entry *> realloc(heap.entries, heap.capacity // 2 * sizeof(Entry))
        if moved != NULL:
            heap.entries = moved
            heap.capacity //= 2


cdef void free_returned(ReturnedHeap *heap) noexcept:
    free(heap.entries)
    heap.entries = NULL
    heap.count = heap.capacity = 0
