# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The heap of returned messages. See returned_heap.pxd.

A channel that ends gives its messages back in ascending order, which a heap takes in
constant time each.
"""
from libc.stdlib cimport free

from log.store cimport Entry
from shards.engine.message_heap cimport drop_first_item, push_item


cdef int push_returned(ReturnedHeap *heap, const Entry *entry) except -1:
    return push_item[Entry](&heap.entries, &heap.count, &heap.capacity, entry)


cdef void drop_first_returned(ReturnedHeap *heap) noexcept:
    """Only where count is not 0."""
    drop_first_item[Entry](&heap.entries, &heap.count, &heap.capacity)


cdef void free_returned(ReturnedHeap *heap) noexcept:
    free(heap.entries)
    heap.entries = NULL
    heap.count = heap.capacity = 0
