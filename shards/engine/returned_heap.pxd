"""Messages that came back to their queue: a heap by Entry.number.

Whatever comes back was taken from the front of the ready ring, so everything in here
goes before everything in the ring, and the lowest number goes first.
"""
from libc.stdint cimport uint64_t

from log.store cimport Entry


cdef struct ReturnedHeap:
    Entry *entries
    uint64_t count
    uint64_t capacity


cdef int push_returned(ReturnedHeap *heap, const Entry *entry) except -1
cdef void drop_first_returned(ReturnedHeap *heap) noexcept
cdef void free_returned(ReturnedHeap *heap) noexcept
