"""What was handed to another shard and is not answered yet: a ring of items, by their publish sequence numbers.

Numbers are given from 1 on, one after the other, and never start anew: what a target says of an earlier link names
nothing. Items are answered in any order (a refusal names one) and leave in their own.
"""
from libc.stdint cimport uint64_t


cdef struct RelayItem:
    uint64_t batch                  # it rides in this batch of the link
    uint64_t ticket                 # whose hands it was taken from
    uint64_t record_bytes           # 0: answered


cdef struct RelayWindow:
    RelayItem *items
    uint64_t first                  # publish sequence number of the oldest item; with next: none
    uint64_t next                   # of the next item
    uint64_t capacity               # a power of two
    uint64_t bytes                  # records that are not answered


cdef int reserve_item(RelayWindow *window) except -1
cdef void free_window(RelayWindow *window) noexcept


cdef inline RelayItem *item_at(const RelayWindow *window, uint64_t sequence) noexcept:
    """`sequence` is one from first on and before next."""
    return &window.items[sequence & (window.capacity - 1)]


cdef inline void push_item(RelayWindow *window, uint64_t batch, uint64_t ticket, uint64_t record_bytes) noexcept:
    """Into the place that reserve_item made."""
    cdef RelayItem *item = item_at(window, window.next)
    item.batch = batch
    item.ticket = ticket
    item.record_bytes = record_bytes
    window.bytes += record_bytes
    window.next += 1


cdef inline void answer_item(RelayWindow *window, RelayItem *item) noexcept:
    window.bytes -= item.record_bytes
    item.record_bytes = 0
