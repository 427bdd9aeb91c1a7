# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The heap of delayed messages. See delayed_heap.pxd."""
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, realloc

from log.store cimport Entry

cdef enum:
    FIRST_CAPACITY = 16
    SHRINK_FACTOR = 4               # an array that is used to less than a quarter is halved


cdef inline bint before(const DelayedItem *one, uint64_t ready_at_ms, uint64_t number) noexcept:
    return one.ready_at_ms < ready_at_ms or one.ready_at_ms == ready_at_ms and one.entry.number < number


cdef int resize(DelayedHeap *heap, uint64_t capacity) except -1:
    cdef DelayedItem *moved = <DelayedItem *> realloc(heap.items, capacity * sizeof(DelayedItem))
    if moved == NULL:
        raise MemoryError()
    heap.items = moved
    heap.capacity = capacity
    return 0


cdef int push_delayed(DelayedHeap *heap, uint64_t ready_at_ms, const Entry *entry) except -1:
    cdef uint64_t i, parent
    cdef DelayedItem *items
    if heap.count == heap.capacity:
        resize(heap, heap.capacity * 2 if heap.capacity else FIRST_CAPACITY)
    items = heap.items
    i = heap.count
    heap.count += 1
    while i:
        parent = (i - 1) // 2
        if before(&items[parent], ready_at_ms, entry.number):
            break
        items[i] = items[parent]
        i = parent
    items[i].ready_at_ms = ready_at_ms
    items[i].entry = entry[0]
    return 0


cdef void drop_first_delayed(DelayedHeap *heap) noexcept:
    """Only where count is not 0."""
    cdef uint64_t i = 0, child
    cdef DelayedItem *items = heap.items
    cdef DelayedItem last
    cdef DelayedItem *moved
    heap.count -= 1
    if heap.count == 0:
        if heap.capacity > FIRST_CAPACITY:
            free_delayed(heap)
        return
    last = items[heap.count]
    while True:
        child = 2 * i + 1
        if child >= heap.count:
            break
        if child + 1 < heap.count and before(
                &items[child + 1], items[child].ready_at_ms, items[child].entry.number):
            child += 1
        if not before(&items[child], last.ready_at_ms, last.entry.number):
            break
        items[i] = items[child]
        i = child
    items[i] = last
    if heap.capacity > FIRST_CAPACITY and heap.count < heap.capacity // SHRINK_FACTOR:
        # Where even this cannot be had, the larger array serves on.
        moved = <DelayedItem *> realloc(heap.items, heap.capacity // 2 * sizeof(DelayedItem))
        if moved != NULL:
            heap.items = moved
            heap.capacity //= 2


cdef void free_delayed(DelayedHeap *heap) noexcept:
    free(heap.items)
    heap.items = NULL
    heap.count = heap.capacity = 0
