"""Messages of a queue by their positions: found wherever they are, and taken out of the middle. See picking.pyx."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from log.store cimport Entry
from shards.engine.state cimport EngineState, Queue

cdef enum:
    # Where a message is; several of them are a sum.
    STATE_READY = 1
    STATE_UNACKED = 2
    STATE_DELAYED = 4
    STATES_ALL = 7


cdef struct Picked:
    Entry entry
    uint64_t ready_at_ms            # of a delayed one
    uint8_t state


# The lowest positions that were offered, as many as there is room for: a heap with the highest on top.
cdef struct Selection:
    Picked *items
    uint32_t count
    uint32_t capacity


cdef int select_messages(EngineState engine, Queue *queue, uint64_t first, uint64_t last, uint32_t states,
                         Selection *selection) except -1
cdef uint32_t take_out(EngineState engine, Queue *queue, const uint64_t *positions, uint32_t count,
                       Picked *taken) except? 0xFFFFFFFF
cdef int put_back_at(EngineState engine, Queue *queue, const Picked *picked) except -1
