# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The steps of recovery that look at each entry: what NumPy does in a pass for each field is one pass here.

Works on arrays that it is given, whose sizes it checks. Opens no file, knows no queue.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

import numpy as np

from log.formats cimport IndexEntry
from log.store cimport Entry

from log.formats import ENTRY_DELAYED, ENTRY_DTYPE, ENTRY_EXPIRES, INDEX_DELAYED, INDEX_DTYPE

cdef uint8_t DELAYED_IN_INDEX = INDEX_DELAYED
cdef uint32_t DELAYED = ENTRY_DELAYED
cdef uint32_t EXPIRES = ENTRY_EXPIRES


def gather(index, acks, wanted, uint32_t place, entries, queue_ids) -> int:
    """The wanted entries of a segment with their queue ids, in the order of the index; returns how many.

    `index` (INDEX_DTYPE), `acks` and `wanted` are of one length; `entries` (ENTRY_DTYPE) and `queue_ids` have room.
    """
    cdef const uint8_t[::1] raw_index = index.view("u1")
    cdef const uint8_t[::1] counts = acks
    cdef const uint8_t[::1] is_wanted = wanted.view("u1")
    cdef uint8_t[::1] raw_entries = entries.view("u1")
    cdef uint32_t[::1] ids = queue_ids
    cdef size_t count = is_wanted.shape[0], room = ids.shape[0], slot, end = 0
    cdef const IndexEntry *source
    cdef Entry *target
    if index.dtype != INDEX_DTYPE or entries.dtype != ENTRY_DTYPE:
        raise ValueError("entries of another form")
    if len(index) != <Py_ssize_t> count or counts.shape[0] != <Py_ssize_t> count or len(entries) != <Py_ssize_t> room:
        raise ValueError("arrays of different lengths")
    if count == 0:
        return 0
    source = <const IndexEntry *> &raw_index[0]
    for slot in range(count):
        if not is_wanted[slot]:
            continue
        if end == room:
            raise ValueError("more entries than there is room for")
        target = <Entry *> &raw_entries[end * sizeof(Entry)]
        target.number = source[slot].entry_number
        target.segment = place
        target.slot = <uint32_t> slot
        target.position8 = source[slot].position8
        target.flags = <uint16_t> (
            DELAYED if source[slot].flags & DELAYED_IN_INDEX else EXPIRES if source[slot].expires_at_ms else 0)
        target.delivery_count = counts[slot]
        target.priority = source[slot].priority
        ids[end] = source[slot].queue_id
        end += 1
    return end


def deal(entries, queue_ids, uint32_t lowest, uint32_t highest):
    """The entries by their queues: (entries, bounds, unsorted).

    Those of the queue `lowest + n` are bounds[n] to bounds[n + 1], in the order in which they were; `unsorted[n]` tells
    that this is not the order of their numbers. ValueError for an id that is not from `lowest` to `highest`.
    """
    cdef size_t count = len(queue_ids), span, i
    cdef const uint32_t[::1] ids = queue_ids
    cdef const uint8_t[::1] raw = entries.view("u1")
    if entries.dtype != ENTRY_DTYPE or len(entries) != <Py_ssize_t> count or highest < lowest:
        raise ValueError("entries of another form, or arrays of different lengths")
    span = <size_t> (highest - lowest) + 1
    dealt = np.empty(count, ENTRY_DTYPE)
    bounds = np.zeros(span + 1, np.int64)
    unsorted = np.zeros(span, np.bool_)
    if count == 0:
        return dealt, bounds, unsorted
    cdef uint8_t[::1] raw_dealt = dealt.view("u1")
    cdef int64_t[::1] starts = bounds
    cdef uint8_t[::1] out_of_order = unsorted.view("u1")
    cdef const Entry *source = <const Entry *> &raw[0]
    cdef Entry *target = <Entry *> &raw_dealt[0]
    cdef size_t queue
    cdef int64_t place
    for i in range(count):
        if ids[i] < lowest or ids[i] > highest:
            raise ValueError(f"the queue id {ids[i]} is not between {lowest} and {highest}")
        starts[ids[i] - lowest + 1] += 1
    for i in range(span):
        starts[i + 1] += starts[i]
    free_places = bounds[:span].copy()
    cdef int64_t[::1] free = free_places
    for i in range(count):
        queue = ids[i] - lowest
        place = free[queue]
        free[queue] = place + 1
        target[place] = source[i]
        if place > starts[queue] and target[place - 1].number >= target[place].number:
            out_of_order[queue] = 1
    return dealt, bounds, unsorted


def queue_id_range(index):
    """(lowest, highest) queue id of the entries of a segment that have a message; None where there are none."""
    cdef const uint8_t[::1] raw = index.view("u1")
    cdef size_t slot, count = len(index)
    cdef uint32_t lowest = 0xFFFFFFFF, highest = 0
    cdef const IndexEntry *source
    if index.dtype != INDEX_DTYPE:
        raise ValueError("entries of another form")
    if count == 0:
        return None
    source = <const IndexEntry *> &raw[0]
    for slot in range(count):
        if source[slot].position8:
            lowest = min(lowest, source[slot].queue_id)
            highest = max(highest, source[slot].queue_id)
    return (lowest, highest) if lowest <= highest else None


def raise_to_highest(index, uint32_t lowest, table) -> None:
    """table[n] becomes the highest number of an entry of the queue `lowest + n`, where that is higher.

    ValueError for a queue id that the table has no place for.
    """
    cdef const uint8_t[::1] raw = index.view("u1")
    cdef uint64_t[::1] highest = table
    cdef size_t slot, count = len(index), span = highest.shape[0]
    cdef const IndexEntry *source
    if index.dtype != INDEX_DTYPE:
        raise ValueError("entries of another form")
    if count == 0:
        return
    source = <const IndexEntry *> &raw[0]
    for slot in range(count):
        if source[slot].position8 == 0:
            continue
        if source[slot].queue_id < lowest or source[slot].queue_id - lowest >= span:
            raise ValueError(f"the queue id {source[slot].queue_id} has no place")
        if source[slot].entry_number > highest[source[slot].queue_id - lowest]:
            highest[source[slot].queue_id - lowest] = source[slot].entry_number
