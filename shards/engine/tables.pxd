"""Tables of the engine: queues by id, and what gateways name by handles."""
from libc.stdint cimport uint32_t, uint64_t

from bus.records cimport HANDLE_SLOT_BITS


# Open addressing over queue ids; a place is free where `queue` is NULL.
cdef struct QueuePlace:
    uint32_t queue_id
    void *queue


cdef struct QueueTable:
    QueuePlace *places
    uint32_t capacity               # a power of two, or 0
    uint32_t count


# By the slot of the handle. What it points to begins with the whole handle (uint32_t).
cdef struct HandleTable:
    void **slots
    uint32_t capacity


cdef int put_queue(QueueTable *table, uint32_t queue_id, void *queue) except -1
cdef void *take_queue(QueueTable *table, uint32_t queue_id) noexcept
cdef void free_queues(QueueTable *table) noexcept
cdef int put_handle(HandleTable *table, void *named) except -1
cdef void take_handle(HandleTable *table, const void *named) noexcept
cdef void free_handles(HandleTable *table) noexcept


cdef inline uint32_t place_of(uint32_t queue_id, uint32_t capacity) noexcept:
    # ids are counted up: a product spreads them over the upper bits, whatever shard has which
    return <uint32_t> ((<uint64_t> queue_id * 0x9E3779B97F4A7C15ULL) >> 32) & (capacity - 1)


cdef inline void *queue_at(const QueueTable *table, uint32_t queue_id) noexcept:
    """The queue, or NULL."""
    cdef uint32_t i
    if table.capacity == 0:
        return NULL
    i = place_of(queue_id, table.capacity)
    while table.places[i].queue != NULL:
        if table.places[i].queue_id == queue_id:
            return table.places[i].queue
        i = (i + 1) & (table.capacity - 1)
    return NULL


cdef inline void *handle_slot(const HandleTable *table, uint32_t handle) noexcept:
    """Whatever has the slot of this handle, of any generation; or NULL."""
    cdef uint32_t slot = handle & ((1 << HANDLE_SLOT_BITS) - 1)
    return table.slots[slot] if slot < table.capacity else NULL


cdef inline void *handle_at(const HandleTable *table, uint32_t handle) noexcept:
    """What has this very handle, or NULL."""
    cdef void *named = handle_slot(table, handle)
    if named != NULL and (<uint32_t *> named)[0] == handle:
        return named
    return NULL
