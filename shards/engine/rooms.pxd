"""Rooms: where gateways read large bodies to. See rooms.pyx."""
from libc.stdint cimport uint32_t, uint64_t

from bus.records cimport LentBody
from log.store cimport Message
from shards.engine.state cimport EngineState, Gateway


# A large body of so many bytes was copied along: the gateway gets a room, if it may have one.
cdef int want_room(EngineState engine, Gateway *gateway, uint64_t body_bytes) except -1
# The message has its body where the record says, which is checked; False where the gateway has no such place.
cdef bint find_in_room(Gateway *gateway, const LentBody *place, Message *message) except -1
# The gateway's word that it is done with a room; False where it has none of that number. It gets another one,
# with a place for a body of so many bytes, which the last one did not have, or 0; none where it gives that `back` unused.
cdef bint end_room(EngineState engine, Gateway *gateway, uint64_t number, uint64_t body_bytes, bint back) except -1
# The gateway is gone, or is not heard any more.
cdef int forget_rooms(EngineState engine, Gateway *gateway) except -1
