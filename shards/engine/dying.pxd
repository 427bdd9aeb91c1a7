"""The one way out for a message that is not acknowledged. See dying.pyx."""
from libc.stdint cimport uint8_t

from log.store cimport Entry, Message
from shards.engine.state cimport EngineState, Queue

cdef enum:
    # Why a message dies: what x-death calls it.
    DEATH_REJECTED = 0
    DEATH_EXPIRED = 1
    DEATH_MAXLEN = 2
    DEATH_DELIVERY_LIMIT = 3
    DEATH_REASONS = 4


cdef int die(EngineState engine, Queue *queue, const Entry *entry, uint8_t reason) except -1
cdef int die_unstored(EngineState engine, Queue *queue, const Message *message, uint8_t reason) except -1
