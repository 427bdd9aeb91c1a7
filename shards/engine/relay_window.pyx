# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The window of unanswered messages of one target. See relay_window.pxd."""
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, malloc

cdef enum:
    FIRST_CAPACITY = 64


cdef int reserve_item(RelayWindow *window) except -1:
    """A place for one more item."""
    cdef uint64_t capacity, sequence
    cdef RelayItem *grown
    if window.next - window.first < window.capacity:
        return 0
    capacity = window.capacity * 2 if window.capacity else FIRST_CAPACITY
    grown = <RelayItem *> malloc(capacity * sizeof(RelayItem))
    if grown == NULL:
        raise MemoryError()
    for sequence in range(window.first, window.next):
        grown[sequence & (capacity - 1)] = item_at(window, sequence)[0]
    free(window.items)
    window.items = grown
    window.capacity = capacity
    return 0


cdef void free_window(RelayWindow *window) noexcept:
    """The memory; what was in it is gone, and the numbers go on."""
    free(window.items)
    window.items = NULL
    window.capacity = 0
    window.first = window.next
    window.bytes = 0
