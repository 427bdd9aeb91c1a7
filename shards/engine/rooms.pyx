# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Rooms: parts of the log that gateways read their sockets into, so that large bodies need not be copied there.

A room is the beginning of a transient segment in memory (Store.open_room). It belongs to one gateway, which maps it for
writing, uses it from its start to its end, and says when it is done with it:

    {"event": "room", "file": 7, "path": "/dev/shm/.../00000007.data", "bytes": 4263936, "start": 4160, "end": 4198464,
     "beginning": "57524e..."}
    {"event": "room_end", "file": 7, "body": 0}     (from the gateway; else the size of a body that it was too small for)
    {"event": "room_end", "file": 7, "body": 0, "back": true}       (it has no use for another one now)

A publish from a room says where its body lies (PUBLISH_APART). The gateway never writes to these bytes again, so they
can stay where they are for as long as the message lives. What else the gateway has read there is nobody's.

A gateway has a room and another one for when that is full, each as large as the bodies that came lately need
(Store.open_room). Where it goes away without a word, or its link is made anew, it
may still be about to read into a room: so that segment goes with its last message, and nothing else is ever written to it.
"""
import json

from libc.stdint cimport uint32_t, uint64_t

from bus.limits cimport ROOM_BODY_BYTES_MAX
from bus.records cimport KIND_EVENT, LentBody
from log.segment cimport ROOM_START, Segment
from log.store cimport Message
from shards.engine.lending cimport Loans, announce, loans_of
from shards.engine.state cimport EngineState, Gateway
from shards.engine.telling cimport tell

cdef enum:
    ROOMS_MAX = 2
    # Where there was no memory for a room, or the gateway had no use for it, it is not asked for again so soon.
    REFUSED_MS = 1000


cdef int want_room(EngineState engine, Gateway *gateway, uint64_t body_bytes) except -1:
    cdef Loans loans = loans_of(gateway)
    if body_bytes <= ROOM_BODY_BYTES_MAX and body_bytes > loans.largest_bytes:
        loans.largest_bytes = body_bytes
    if (
        not gateway.borrows or gateway.index >= engine.sender_count - engine.shard_count or loans.rooms
        # unsigned: a clock that was set back ends the wait, too
        or loans.refused and engine.now_ms - loans.refused_at_ms < REFUSED_MS
    ):
        return 0
    while len(loans.rooms) < ROOMS_MAX and give_room(engine, gateway):
        pass
    return 0


cdef bint give_room(EngineState engine, Gateway *gateway) except -1:
    cdef Loans loans = loans_of(gateway)
    cdef Segment segment = engine.store.open_room(max(loans.largest_bytes, loans.former_bytes))
    loans.refused = segment is None
    if segment is None:
        loans.refused_at_ms = engine.now_ms
        return False
    loans.rooms[segment.number] = segment
    if segment.borrowers is None or gateway.index not in segment.borrowers:
        announce(engine, gateway, segment)      # it hears of the file's end then
    event = {
        "event": "room", "file": segment.number, "path": segment.paths()[0], "bytes": segment.data_mapped_bytes,
        "start": <uint64_t> ROOM_START, "end": ROOM_START + segment.room_bytes, "beginning": segment.beginning.hex(),
    }
    tell(engine, gateway, KIND_EVENT, 0, json.dumps(event).encode())
    return True


cdef bint find_in_room(Gateway *gateway, const LentBody *place, Message *message) except -1:
    cdef Loans loans = loans_of(gateway)
    cdef Segment segment = loans.recent_room
    cdef uint64_t end
    if segment is None or segment.number != place.file:
        segment = loans.rooms.get(place.file)
        if segment is None:
            return False
        loans.recent_room = segment
    end = ROOM_START + segment.room_bytes
    if place.position < ROOM_START or place.position > end or message.body_bytes > end - place.position:
        return False
    if message.body_bytes > loans.largest_bytes:
        loans.largest_bytes = message.body_bytes
    message.apart = segment.data + place.position
    message.room = <void *> segment
    return True


cdef bint end_room(EngineState engine, Gateway *gateway, uint64_t number, uint64_t body_bytes, bint back) except -1:
    cdef Loans loans = loans_of(gateway)
    cdef Segment segment = loans.rooms.pop(number, None)
    loans.recent_room = None
    if segment is None:
        return False
    engine.store.close_room(segment, False)
    if body_bytes <= ROOM_BODY_BYTES_MAX and body_bytes > loans.largest_bytes:
        loans.largest_bytes = body_bytes
    if back:
        loans.refused = True
        loans.refused_at_ms = engine.now_ms
    else:
        give_room(engine, gateway)
    loans.former_bytes = loans.largest_bytes
    loans.largest_bytes = 0
    return True


cdef int forget_rooms(EngineState engine, Gateway *gateway) except -1:
    cdef Loans loans = loans_of(gateway)
    cdef dict rooms = loans.rooms
    loans.rooms = {}
    loans.recent_room = None
    for segment in rooms.values():
        engine.store.close_room(<Segment> segment, True)
    return 0
