# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The heap of delayed messages. See delayed_heap.pxd."""
from libc.stdint cimport uint64_t
from libc.stdlib cimport free

from log.store cimport Entry
from shards.engine.message_heap cimport drop_first_item, push_item


cdef int push_delayed(DelayedHeap *heap, uint64_t ready_at_ms, const Entry *entry) except -1:
    cdef DelayedItem item
    item.ready_at_ms = ready_at_ms
    item.entry = entry[0]
    return push_item[DelayedItem](&heap.items, &heap.count, &heap.capacity, &item)


cdef void drop_first_delayed(DelayedHeap *heap) noexcept:
    """Only where count is not 0."""
    drop_first_item[DelayedItem](&heap.items, &heap.count, &heap.capacity)


cdef void free_delayed(DelayedHeap *heap) noexcept:
    free(heap.items)
    heap.items = NULL
    heap.count = heap.capacity = 0
