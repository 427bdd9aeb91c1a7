"""A binary heap in an array, for the two kinds of items that a queue has in one: messages that came back
(returned_heap.pxd) and delayed messages (delayed_heap.pxd). Their modules own the arrays; this is how they move in them.
"""
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, realloc

from log.store cimport Entry
from shards.engine.delayed_heap cimport DelayedItem
from shards.engine.memory cimport resized

cdef enum:
    FIRST_CAPACITY = 16
    SHRINK_FACTOR = 4               # an array that is used to less than a quarter is halved

ctypedef fused Item:
    Entry
    DelayedItem


cdef inline bint goes_before(const Item *one, const Item *other) noexcept:
    if Item is Entry:
        return one.number < other.number
    else:
        return one.ready_at_ms < other.ready_at_ms or (
            one.ready_at_ms == other.ready_at_ms and one.entry.number < other.entry.number)


cdef inline int push_item(Item **array, uint64_t *count, uint64_t *capacity, const Item *item) except -1:
    cdef uint64_t i, parent
    cdef Item *items
    if count[0] == capacity[0]:
        i = capacity[0] * 2 if capacity[0] else FIRST_CAPACITY
        array[0] = <Item *> resized(array[0], i * sizeof(Item))
        capacity[0] = i
    items = array[0]
    i = count[0]
    count[0] += 1
    while i:
        parent = (i - 1) // 2
        if goes_before(&items[parent], item):
            break
        items[i] = items[parent]
        i = parent
    items[i] = item[0]
    return 0


cdef inline void drop_first_item(Item **array, uint64_t *count, uint64_t *capacity) noexcept:
    """Only where count is not 0."""
    cdef uint64_t i = 0, child
    cdef Item *items = array[0]
    cdef Item *moved
    cdef Item last
    count[0] -= 1
    if count[0] == 0:
        if capacity[0] > FIRST_CAPACITY:
            free(items)
            array[0] = NULL
            capacity[0] = 0
        return
    last = items[count[0]]
    while True:
        child = 2 * i + 1
        if child >= count[0]:
            break
        if child + 1 < count[0] and goes_before(&items[child + 1], &items[child]):
            child += 1
        if not goes_before(&items[child], &last):
            break
        items[i] = items[child]
        i = child
    items[i] = last
    if capacity[0] > FIRST_CAPACITY and count[0] < capacity[0] // SHRINK_FACTOR:
        # Where even this cannot be had, the larger array serves on.
        moved = <Item *> realloc(items, capacity[0] // 2 * sizeof(Item))
        if moved != NULL:
            array[0] = moved
            capacity[0] //= 2
