# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The memory of dead letters: lists, slots and rings, made and freed. Decides nothing. See burial_state.pxd."""
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memset

from amqp091.property_edit cimport free_scratch
from shards.engine.death cimport free_template
from shards.engine.memory cimport resized
from shards.engine.ready_ring cimport free_ready
from shards.engine.state cimport Queue

cdef enum:
    FIRST_CAPACITY = 64
    # Letters under way that are not buried in one go, about 100 bytes each. What dies beyond it waits in its queue.
    BURIALS_MAX = 1 << 16


# -- lists of queues

cdef inline DeadLetters *letters_of(void *queue) noexcept:
    return (<Queue *> queue).features.letters


cdef void append_queue(QueueList *list, void *queue) noexcept:
    """The queue is in no list."""
    cdef DeadLetters *letters = letters_of(queue)
    letters.next = NULL
    letters.previous = list.last
    if list.last == NULL:
        list.first = queue
    else:
        letters_of(list.last).next = queue
    list.last = queue


cdef void remove_from(QueueList *list, void *queue) noexcept:
    """The queue is in this list."""
    cdef DeadLetters *letters = letters_of(queue)
    if letters.previous == NULL:
        list.first = letters.next
    else:
        letters_of(letters.previous).next = letters.next
    if letters.next == NULL:
        list.last = letters.previous
    else:
        letters_of(letters.next).previous = letters.previous
    letters.next = letters.previous = NULL


# -- burials

cdef int64_t take_slot(BurialTable *table) except -2:
    cdef uint32_t capacity, i
    cdef Burial *grown
    if table.free == 0:
        if table.capacity == BURIALS_MAX:
            return -1
        capacity = table.capacity * 2 if table.capacity else FIRST_CAPACITY
        grown = <Burial *> realloc(table.slots, capacity * sizeof(Burial))
        if grown == NULL:
            raise MemoryError()
        table.slots = grown
        for i in range(capacity, table.capacity, -1):
            memset(&grown[i - 1], 0, sizeof(Burial))
            grown[i - 1].next = table.free
            table.free = i
        table.capacity = capacity
    i = table.free - 1
    table.free = table.slots[i].next
    memset(&table.slots[i], 0, sizeof(Burial))
    table.used += 1
    return i


cdef void free_slot(BurialTable *table, uint32_t slot) noexcept:
    """It is in no list."""
    cdef Burial *burial = &table.slots[slot]
    free(burial.targets)
    memset(burial, 0, sizeof(Burial))
    burial.next = table.free
    table.free = slot + 1
    table.used -= 1


cdef void append_burial(BurialTable *table, BurialList *list, uint32_t slot) noexcept:
    """It is in no list."""
    table.slots[slot].next = 0
    table.slots[slot].listed = True
    if list.last:
        table.slots[list.last - 1].next = slot + 1
    else:
        list.first = slot + 1
    list.last = slot + 1


cdef uint32_t take_first(BurialTable *table, BurialList *list) noexcept:
    """The slot of the first one, which is in no list any more. Only where there is one."""
    cdef uint32_t slot = list.first - 1
    list.first = table.slots[slot].next
    if list.first == 0:
        list.last = 0
    table.slots[slot].next = 0
    table.slots[slot].listed = False
    return slot


# -- entries that wait for the disk

cdef int push_settling(SettlingRing *ring, uint64_t position, const Entry *entry) except -1:
    cdef uint64_t capacity, i
    cdef SettlingItem *grown
    cdef SettlingItem *item
    if ring.next - ring.first == ring.capacity:
        capacity = ring.capacity * 2 if ring.capacity else FIRST_CAPACITY
        grown = <SettlingItem *> malloc(capacity * sizeof(SettlingItem))
        if grown == NULL:
            raise MemoryError()
        for i in range(ring.first, ring.next):
            grown[i & (capacity - 1)] = ring.items[i & (ring.capacity - 1)]
        free(ring.items)
        ring.items = grown
        ring.capacity = capacity
    item = &ring.items[ring.next & (ring.capacity - 1)]
    item.position = position
    item.entry = entry[0]
    ring.next += 1
    return 0


# -- all of it

cdef int reserve_work(Burying *burying, uint32_t targets) except -1:
    """Room for the targets of one letter."""
    if targets <= burying.work_capacity:
        return 0
    burying.local_ids = <uint32_t *> resized(burying.local_ids, targets * sizeof(uint32_t))
    burying.targets = <LetterTarget *> resized(burying.targets, targets * sizeof(LetterTarget))
    burying.work_capacity = targets
    return 0


cdef void free_letters(DeadLetters *letters) noexcept:
    """The queue is in no list."""
    if letters == NULL:
        return
    free_ready(&letters.dying)
    free_template(&letters.template)
    free(letters.text)
    free(letters)


cdef void free_burying(Burying *burying) noexcept:
    cdef uint32_t i
    for i in range(burying.burials.capacity):
        free(burying.burials.slots[i].targets)
    free(burying.burials.slots)
    for i in range(burying.routes.capacity):
        free(burying.routes.places[i])
    free(burying.routes.places)
    free(burying.settling.items)
    free(burying.local_ids)
    free(burying.targets)
    free_scratch(&burying.letter)
    free_scratch(&burying.fields)
    free_scratch(&burying.keys)
