# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Rooms: large bodies are read from the socket to where their shard keeps them (bus/room.pyx).

A connection that has published a large message reads into a room of that message's shard from then on, until a read
brings nothing large. Frames are handled where they lie, as in the buffer that all connections read into otherwise; a
publish names its body's place instead of carrying it along (`lies_in_room`). Small messages are copied as always.

A room has one user at a time. What a read leaves incomplete stays there, so that the next read goes right behind it;
where somebody else comes first, or the room ends, it is moved: so nobody waits for a slow client, and a room lasts
until it is full. Everything that was named to the shard lies before the room's position, where nothing is read to again.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from bus.records cimport KIND_EVENT
from bus.room cimport Room
from gateway.core.connection cimport keep
from gateway.core.outgoing cimport append_json
from gateway.core.state cimport ConnectionState, GatewayState

cdef enum:
    # A room with less than this left is full: what was kept and a frame of the usual size fit.
    READ_BYTES_MIN = 160 * 1024
    # As much as one read takes: more messages share the cost of a turn than with the buffer of all.
    READ_BYTES_MAX = 1024 * 1024
    # While there are floods: their publishers rest after each read (gateway/pacing.py), which is to bring no more than else.
    READ_BYTES_PACED = 256 * 1024


cdef Room room_for(ConnectionState connection):
    cdef GatewayState gateway = connection.gateway
    cdef list rooms
    cdef Room room, following
    cdef uint64_t left, read_bytes
    if connection.large_shard == 0 or connection.large_shard > gateway.shard_count or connection.pauses \
            or connection.backlog_end != connection.backlog_start or connection.is_closed or connection.is_deaf:
        leave_room(connection)
        return None
    rooms = <list> gateway.rooms[connection.large_shard - 1]
    if connection.room is not None and (not rooms or connection.room is not rooms[0]):
        leave_room(connection)
        return None
    if not rooms:
        return None
    room = <Room> rooms[0]
    if room.owner is not None and room.owner is not connection:
        leave_room(<ConnectionState> room.owner)
    left = room.end - room.position - room.kept_bytes
    if left < READ_BYTES_MIN:
        following = <Room> rooms[1] if len(rooms) > 1 else None
        if following is None or following.end - following.position < room.kept_bytes + READ_BYTES_MIN:
            leave_room(connection)
            end_room(gateway, room)
            return None
        memcpy(following.data + following.position, room.data + room.position, room.kept_bytes)
        following.kept_bytes = room.kept_bytes
        room.kept_bytes = 0
        room.owner = None
        end_room(gateway, room)
        room = following
        left = room.end - room.position - room.kept_bytes
    room.owner = connection
    connection.room = room
    read_bytes = READ_BYTES_PACED if gateway.flooded_count else READ_BYTES_MAX
    room.window_bytes = left if left < read_bytes else read_bytes
    return room


cdef int end_room(GatewayState gateway, Room room) except -1:
    (<list> gateway.rooms[room.shard]).remove(room)
    document = b'{"event":"room_end","file":%d}' % room.number
    append_json(gateway, room.shard, KIND_EVENT, 0, document)
    return 0


cdef int leave_room(ConnectionState connection) except -1:
    cdef Room room = connection.room
    cdef uint64_t kept_bytes
    if room is None:
        return 0
    kept_bytes = room.kept_bytes
    room.kept_bytes = 0
    room.owner = None
    connection.room = None
    if kept_bytes and not connection.is_closed and not connection.is_deaf:
        keep(connection, room.data + room.position, kept_bytes, kept_bytes)
    return 0


cdef int forget_kept(ConnectionState connection) except -1:
    cdef Room room = connection.room
    if room is not None:
        room.kept_bytes = 0
        room.owner = None
        connection.room = None
    return 0


cdef bint lies_in_room(GatewayState gateway, uint32_t shard, const uint8_t *data, uint64_t n) noexcept:
    cdef Room room = gateway.reading
    return (
        room is not None and room.shard == shard and data >= room.data + room.position and data < room.data + room.end
        and n <= <uint64_t> (room.data + room.end - data)
    )


cdef int drop_rooms(GatewayState gateway, uint32_t shard) except -1:
    cdef Room room
    for one in <list> gateway.rooms[shard]:
        room = <Room> one
        if room.owner is not None:
            leave_room(<ConnectionState> room.owner)
    gateway.rooms[shard] = []
    (<dict> gateway.room_files[shard]).clear()
    return 0
