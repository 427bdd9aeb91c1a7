"""Handles: what the gateway calls its connections, channels and consumers on links. See handles.pyx."""
from libc.stdint cimport uint32_t

from bus.records cimport HANDLE_SLOT_BITS


cdef struct HandleSlot:
    void *value             # NULL: free
    uint32_t generation
    uint32_t next_free


cdef struct HandleTable:
    HandleSlot *slots
    uint32_t count          # slots ever used; slot 0 never is, so that no handle is 0
    uint32_t capacity
    uint32_t free_first
    uint32_t free_last
    uint32_t free_count


cdef uint32_t take_handle(HandleTable *table, void *value) except 0
cdef void free_handle(HandleTable *table, uint32_t handle) noexcept
cdef void free_table(HandleTable *table) noexcept


cdef inline void *handle_value(const HandleTable *table, uint32_t handle) noexcept nogil:
    """What the handle names, or NULL where it was freed since or never given."""
    cdef uint32_t slot = handle & ((1 << HANDLE_SLOT_BITS) - 1)
    if slot >= table.count or table.slots[slot].generation != handle >> HANDLE_SLOT_BITS:
        return NULL
    return table.slots[slot].value


# A growing list of handles: who is to be visited at the end of a call.
cdef struct HandleList:
    uint32_t *items
    uint32_t count
    uint32_t capacity


cdef int push_handle(HandleList *handles, uint32_t handle) except -1
