# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Tables that give out handles of 32 bits: slot in the low HANDLE_SLOT_BITS bits, generation above.

A table owns its slots, never what they point to. A slot is used again only when FREE_SLOTS_MIN
others wait as well, oldest first: the 12 bits of a generation then last for millions of
handles, and a record that names a closed channel does not reach a new one.
"""
from libc.stdint cimport uint32_t
from libc.stdlib cimport free, realloc

cdef enum:
    FIRST_CAPACITY_SLOTS = 16
    FREE_SLOTS_MIN = 1024
    SLOT_COUNT_MAX = 1 << HANDLE_SLOT_BITS
    GENERATION_MASK = (1 << (32 - HANDLE_SLOT_BITS)) - 1


cdef uint32_t take_handle(HandleTable *table, void *value) except 0:
    cdef uint32_t slot, capacity
    cdef HandleSlot *grown
    if table.free_count > FREE_SLOTS_MIN or (table.free_count and table.count == SLOT_COUNT_MAX):
        slot = table.free_first
        table.free_first = table.slots[slot].next_free
        table.free_count -= 1
    else:
        if table.count == 0:
            table.count = 1
        if table.count == SLOT_COUNT_MAX:
            raise MemoryError("all handles of this gateway are in use")
        if table.count >= table.capacity:
            capacity = table.capacity * 2 if table.capacity else FIRST_CAPACITY_SLOTS
            grown = <HandleSlot *> realloc(table.slots, capacity * sizeof(HandleSlot))
            if grown == NULL:
                raise MemoryError()
            if table.capacity == 0:
                grown[0].value = NULL
                grown[0].generation = GENERATION_MASK + 1
            table.slots = grown
            table.capacity = capacity
        slot = table.count
        table.count += 1
        table.slots[slot].generation = 0
    table.slots[slot].value = value
    return table.slots[slot].generation << HANDLE_SLOT_BITS | slot


cdef void free_handle(HandleTable *table, uint32_t handle) noexcept:
    """Nothing happens where the handle is not in use."""
    cdef uint32_t slot = handle & (SLOT_COUNT_MAX - 1)
    cdef HandleSlot *freed
    if handle_value(table, handle) == NULL:
        return
    freed = &table.slots[slot]
    freed.value = NULL
    freed.generation = (freed.generation + 1) & GENERATION_MASK
    if table.free_count:
        table.slots[table.free_last].next_free = slot
    else:
        table.free_first = slot
    table.free_last = slot
    table.free_count += 1


cdef void free_table(HandleTable *table) noexcept:
    free(table.slots)
    table.slots = NULL
    table.count = table.capacity = table.free_count = 0


cdef int push_handle(HandleList *handles, uint32_t handle) except -1:
    cdef uint32_t capacity
    cdef uint32_t *grown
    if handles.count == handles.capacity:
        capacity = handles.capacity * 2 if handles.capacity else FIRST_CAPACITY_SLOTS
        grown = <uint32_t *> realloc(handles.items, capacity * sizeof(uint32_t))
        if grown == NULL:
            raise MemoryError()
        handles.items = grown
        handles.capacity = capacity
    handles.items[handles.count] = handle
    handles.count += 1
    return 0
