"""Messages moved by an operator from one queue to others. See moving.pyx."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from amqp091.property_edit cimport Scratch
from log.store cimport Entry, Message
from shards.engine.picking cimport Picked
from shards.engine.state cimport EngineState, Queue

cdef extern from *:
    """
    #define WARREN_MOVE_TICKET UINT64_C(0x8000000000000000)
    """
    const uint64_t MOVE_TICKET "WARREN_MOVE_TICKET"     # the bit of a relay's ticket that says whose it is


# Some messages of one queue, with the same targets.
cdef class Move:
    cdef EngineState engine
    cdef object done
    cdef uint32_t queue_id
    cdef uint64_t number                # in tickets
    cdef Picked *items                  # in the order of their positions
    cdef uint32_t *unanswered           # of each: shards that have not said whether they took it
    cdef uint8_t *failed                # of each: one of them did not
    cdef uint32_t count
    cdef list remote                    # (shard, queue ids as array)
    cdef object local                   # queue ids as array
    cdef bytes exchange                 # None: each keeps its own
    cdef bytes routing_key
    cdef Scratch content                # of the message in hand
    cdef readonly uint32_t moved
    cdef readonly uint32_t under_way
    cdef readonly list returned         # positions of those that went back
    cdef readonly object stopped        # why not all of them; None

    cdef int start(self, Queue *queue, const uint64_t[::1] positions) except -1
    cdef int hand_over(self, uint32_t i, const Message *message) except -1
    cdef bint ready(self) except -1
    cdef int answered(self, uint32_t i, int answer) except -1
    cdef int finish(self, uint32_t i) except -1
    cdef object write_here(self, uint32_t i, const Message *message)
    cdef int put_back(self, uint32_t i) except -1
    cdef bint fill(self, const Entry *entry, Message *message) except -1


cdef Move move_messages(EngineState engine, uint32_t queue_id, positions, local, remote, exchange, routing_key, done)
cdef int move_answered(EngineState engine, uint64_t ticket, int answer) except -1
