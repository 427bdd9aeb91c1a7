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

from bus.limits cimport ROOM_BODY_BYTES_MAX
from bus.records cimport KIND_EVENT
from bus.room cimport Room
from gateway.core.connection cimport drop_backlog, keep
from gateway.core.joining cimport JOIN_SPARE_BYTES, close_gap, collect_joined
from gateway.core.outgoing cimport append_json
from gateway.core.state cimport ConnectionState, GatewayState, unjoin

cdef enum:
    # A room with less than this left is full: what was kept and a frame of the usual size fit.
    READ_BYTES_MIN = 160 * 1024
    # As much as one read takes: more messages share the cost of a turn than with the buffer of all.
    READ_BYTES_MAX = 1024 * 1024
    # While there are floods: their publishers rest after each read (gateway/pacing.py), which is to bring no more than else.
    READ_BYTES_PACED = 256 * 1024
    # With less than this left, a body is not put together in its room any more.
    JOIN_READ_BYTES_MIN = 8 * 1024
    # So many reads of others go elsewhere, for a body that is being put together and does not grow.
    REFUSALS_MAX = 16


cdef Room room_for(ConnectionState connection):
    cdef GatewayState gateway = connection.gateway
    cdef list rooms
    cdef Room room, following, joins
    cdef uint64_t left, read_bytes
    cdef size_t backlog_bytes = connection.backlog_end - connection.backlog_start
    if (
        connection.large_shard == 0 or connection.large_shard > gateway.shard_count or connection.pauses
        or backlog_bytes > KEPT_BYTES_MAX or backlog_bytes and connection.room is not None and connection.room.kept_bytes
        or connection.is_closed or connection.is_deaf
    ):
        leave_room(connection)
        return None
    rooms = <list> gateway.rooms[connection.large_shard - 1]
    if connection.room is not None and (not rooms or connection.room is not rooms[0]):
        leave_room(connection)
        return None
    if not rooms:
        return None
    room = <Room> rooms[0]
    if room.outgrown_bytes and (room.owner is None or room.owner is connection):
        leave_room(connection)
        end_outgrown(gateway, rooms, room.outgrown_bytes)
        return None
    if room.owner is not None and room.owner is not connection:
        if (<ConnectionState> room.owner).join_room is not None and room.refusals < REFUSALS_MAX:
            room.refusals += 1
            return None
        leave_room(<ConnectionState> room.owner)
    joins = connection.join_room
    left = room.left()
    if joins is room:
        if left < JOIN_READ_BYTES_MIN:
            close_gap(room)
            left = room.left()
        if left < JOIN_READ_BYTES_MIN:
            leave_room(connection)
            return None
    elif joins is not None or left < READ_BYTES_MIN:
        following = <Room> rooms[1] if len(rooms) > 1 else None
        if following is None or joins is not None and joins is not following \
                or following.left() < room.kept_bytes + (JOIN_READ_BYTES_MIN if joins is not None else READ_BYTES_MIN):
            leave_room(connection)
            end_room(gateway, room)
            return None
        memcpy(following.data + following.next_read(), room.data + room.next_read() - room.kept_bytes, room.kept_bytes)
        following.kept_bytes = room.kept_bytes
        room.kept_bytes = 0
        room.gap_bytes = 0
        room.owner = None
        end_room(gateway, room)
        room = following
        left = room.left()
    if backlog_bytes:       # the beginning of a frame, of which the rest is read to where it then lies
        if left < backlog_bytes + (JOIN_READ_BYTES_MIN if joins is not None else READ_BYTES_MIN):
            return None
        memcpy(room.data + room.next_read(), connection.backlog + connection.backlog_start, backlog_bytes)
        room.kept_bytes += backlog_bytes
        left -= backlog_bytes
        drop_backlog(connection)
    room.owner = connection
    room.used = True
    connection.room = room
    read_bytes = READ_BYTES_PACED if gateway.flooded_count else READ_BYTES_MAX
    room.window_bytes = left if left < read_bytes else read_bytes
    return room


cdef int end_room(GatewayState gateway, Room room, uint64_t outgrown_bytes=0) except -1:
    (<list> gateway.rooms[room.shard]).remove(room)
    document = b'{"event":"room_end","file":%d,"body":%d}' % (room.number, outgrown_bytes)
    append_json(gateway, room.shard, KIND_EVENT, 0, document)
    return 0


cdef int leave_room(ConnectionState connection) except -1:
    cdef Room room = connection.room
    cdef uint64_t kept_bytes
    cdef const uint8_t *kept
    if room is None:
        return 0
    kept_bytes = room.kept_bytes
    kept = room.data + room.next_read() - kept_bytes
    try:
        if not connection.is_closed and not connection.is_deaf:
            collect_joined(connection)
            if kept_bytes:
                keep(connection, kept, kept_bytes, kept_bytes)
    finally:
        forget_kept(connection)
    return 0


cdef int forget_kept(ConnectionState connection) except -1:
    cdef Room room = connection.room
    unjoin(connection)
    if room is not None:
        room.kept_bytes = 0
        room.gap_bytes = 0
        room.owner = None
        connection.room = None
    return 0


cdef Room room_of(GatewayState gateway, uint32_t shard, const uint8_t *data, uint64_t n):
    cdef Room room = gateway.joined
    if room is not None:
        return room if room.shard == shard and data == room.data + room.position else None
    room = gateway.reading
    # where a body is being put together, it will need the place
    if (
        room is not None and room.shard == shard and not room.joining
        and data >= room.data + room.position and data < room.data + room.end
        and n <= <uint64_t> (room.data + room.end - data)
    ):
        return room
    return None


cdef bint wants_room(GatewayState gateway, uint32_t shard, uint64_t body_bytes) except -1:
    cdef list rooms = <list> gateway.rooms[shard]
    if body_bytes > ROOM_BODY_BYTES_MAX:
        return False
    if rooms and too_small(<Room> rooms[0], body_bytes):
        (<Room> rooms[0]).outgrown_bytes = body_bytes
    return True


cdef inline bint too_small(Room room, uint64_t body_bytes) noexcept:
    return room.end - room.start < body_bytes + JOIN_SPARE_BYTES


cdef int end_outgrown(GatewayState gateway, list rooms, uint64_t body_bytes) except -1:
    """The shard is told what they were too small for, and gives larger ones if it can."""
    cdef Room room
    for room in list(rooms):
        if too_small(room, body_bytes):
            if room.owner is not None:
                leave_room(<ConnectionState> room.owner)
            end_room(gateway, room, body_bytes)
    return 0


cdef int end_idle(GatewayState gateway) except -1:
    cdef uint32_t shard
    cdef Room room
    cdef bint used
    for shard in range(gateway.shard_count):
        used = False
        for one in <list> gateway.rooms[shard]:
            room = <Room> one
            used = used or room.used
            room.used = False
        if used:
            continue
        for one in list(<list> gateway.rooms[shard]):
            room = <Room> one
            if room.owner is not None:
                leave_room(<ConnectionState> room.owner)
            (<list> gateway.rooms[shard]).remove(room)
            document = b'{"event":"room_end","file":%d,"body":0,"back":true}' % room.number
            append_json(gateway, shard, KIND_EVENT, 0, document)
    return 0


cdef int drop_rooms(GatewayState gateway, uint32_t shard) except -1:
    cdef Room room
    for one in <list> gateway.rooms[shard]:
        room = <Room> one
        if room.owner is not None:
            leave_room(<ConnectionState> room.owner)
    gateway.rooms[shard] = []
    (<dict> gateway.room_files[shard]).clear()
    return 0
