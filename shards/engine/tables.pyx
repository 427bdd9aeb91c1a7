# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Growth and removal of the engine's tables. See tables.pxd; it owns the arrays, never what they point to."""
from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from bus.records cimport HANDLE_SLOT_BITS

cdef enum:
    FIRST_CAPACITY = 64


cdef int put_queue(QueueTable *table, uint32_t queue_id, void *queue) except -1:
    """An id that is not in the table."""
    cdef QueuePlace *places
    cdef uint32_t capacity, i
    if (table.count + 1) * 2 > table.capacity:
        capacity = table.capacity * 2 if table.capacity else FIRST_CAPACITY
        places = <QueuePlace *> calloc(capacity, sizeof(QueuePlace))
        if places == NULL:
            raise MemoryError()
        for i in range(table.capacity):
            if table.places[i].queue != NULL:
                insert(places, capacity, table.places[i].queue_id, table.places[i].queue)
        free(table.places)
        table.places = places
        table.capacity = capacity
    insert(table.places, table.capacity, queue_id, queue)
    table.count += 1
    return 0


cdef void insert(QueuePlace *places, uint32_t capacity, uint32_t queue_id, void *queue) noexcept:
    cdef uint32_t i = place_of(queue_id, capacity)
    while places[i].queue != NULL:
        i = (i + 1) & (capacity - 1)
    places[i].queue_id = queue_id
    places[i].queue = queue


cdef void *take_queue(QueueTable *table, uint32_t queue_id) noexcept:
    """Removes and returns it; NULL where it is not there. What was displaced by it moves up."""
    cdef uint32_t mask = table.capacity - 1
    cdef uint32_t hole, i, home
    cdef void *taken
    if table.capacity == 0:
        return NULL
    hole = place_of(queue_id, table.capacity)
    while table.places[hole].queue_id != queue_id or table.places[hole].queue == NULL:
        if table.places[hole].queue == NULL:
            return NULL
        hole = (hole + 1) & mask
    taken = table.places[hole].queue
    i = (hole + 1) & mask
    while table.places[i].queue != NULL:
        home = place_of(table.places[i].queue_id, table.capacity)
        if ((i - home) & mask) >= ((i - hole) & mask):
            table.places[hole] = table.places[i]
            hole = i
        i = (i + 1) & mask
    table.places[hole].queue = NULL
    table.count -= 1
    return taken


cdef void free_queues(QueueTable *table) noexcept:
    free(table.places)
    table.places = NULL
    table.capacity = table.count = 0


cdef int put_handle(HandleTable *table, void *named) except -1:
    """Into the slot of its handle, which is free."""
    cdef uint32_t slot = (<uint32_t *> named)[0] & ((1 << HANDLE_SLOT_BITS) - 1)
    cdef uint32_t capacity = table.capacity
    cdef void **slots
    if slot >= capacity:
        capacity = capacity if capacity else FIRST_CAPACITY
        while capacity <= slot:
            capacity *= 2
        slots = <void **> realloc(table.slots, capacity * sizeof(void *))
        if slots == NULL:
            raise MemoryError()
        memset(slots + table.capacity, 0, (capacity - table.capacity) * sizeof(void *))
        table.slots = slots
        table.capacity = capacity
    table.slots[slot] = named
    return 0


cdef void take_handle(HandleTable *table, const void *named) noexcept:
    """Out of its slot, if it is in there."""
    cdef uint32_t slot = (<const uint32_t *> named)[0] & ((1 << HANDLE_SLOT_BITS) - 1)
    if slot < table.capacity and table.slots[slot] == named:
        table.slots[slot] = NULL


cdef void free_handles(HandleTable *table) noexcept:
    free(table.slots)
    table.slots = NULL
    table.capacity = 0
