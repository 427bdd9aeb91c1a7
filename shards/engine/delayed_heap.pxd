"""Messages that are not ready before a time: a heap by that time, 32 bytes a message.

Of equal times the lower entry number comes first, so that what was published first is ready first.
"""
from libc.stdint cimport uint64_t

from log.store cimport Entry


cdef struct DelayedItem:
    uint64_t ready_at_ms
    Entry entry


cdef struct DelayedHeap:
    DelayedItem *items              # the first is the next to be ready
    uint64_t count
    uint64_t capacity


cdef int push_delayed(DelayedHeap *heap, uint64_t ready_at_ms, const Entry *entry) except -1
cdef void drop_first_delayed(DelayedHeap *heap) noexcept
cdef void free_delayed(DelayedHeap *heap) noexcept
