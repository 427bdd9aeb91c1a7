"""Bodies that stay in the log. See lending.pyx."""
from libc.stdint cimport uint64_t

from bus.records cimport LentBody
from log.segment cimport Segment
from log.store cimport Entry, Message
from shards.engine.state cimport EngineState, Gateway


cdef class Loans:
    cdef readonly object files          # dict: the segments that the gateway was told of, the oldest first
    cdef list current                   # segments that the batch under construction names
    cdef object under_way               # deque of (position behind the batch on its link, segments)
    cdef dict rooms                     # segments that it reads into, by number: rooms.pyx
    cdef Segment recent_room            # the last one of them that it named
    cdef uint64_t largest_bytes         # of the bodies since it was last given a room
    cdef uint64_t former_bytes          # and of those before
    cdef bint refused                   # there was no memory for another one
    cdef uint64_t refused_at_ms


cdef inline Loans loans_of(const Gateway *gateway):
    return <Loans> gateway.loans



cdef int announce(EngineState engine, Gateway *gateway, Segment segment) except -1
cdef bint lend(EngineState engine, Gateway *gateway, const Entry *stored, const Message *message,
               LentBody *body) except -1
cdef int prepare_loans(Gateway *gateway) except -1
cdef int loans_sent(EngineState engine, Gateway *gateway, uint64_t position) except -1
cdef int loans_returned(EngineState engine, Gateway *gateway, uint64_t position) except -1
cdef int loans_dropped(EngineState engine, Gateway *gateway) except -1
cdef int forget_loans(EngineState engine, Gateway *gateway) except -1
cdef int end_loans(EngineState engine) except -1
