# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Bodies of several frames are put together where they are read: in a room (rooms.pyx), for which they are then one piece.

The header says how long the body will be. If there is so much left of the room, the place where the payload of the first
frame will be read becomes the body's, and the payload of each frame after it moves up, by the few bytes of the heads
between them; where there is not, the body goes to the room that comes next. Exchange, routing key and properties are
collected as ever (content.pyx), as is the body of every other channel that comes at the same time.

While it grows, the body lies behind the room's position, `joined_bytes` of it; behind these is a gap as large as what
was between the payloads, and then what is kept. Nothing is named to the shard before the body is whole. Where
the connection has to leave the room, the body goes with it (`collect_joined`), so it holds up nobody.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove

from amqp091.scanner cimport FRAME_HEAD_BYTES
from bus.limits cimport LENT_BODY_BYTES_MIN
from bus.room cimport Room
from gateway.core.content cimport make_room
from gateway.core.rooms cimport end_room
from gateway.core.state cimport ChannelState, ConnectionState, Content, GatewayState, channel_at, unjoin


cdef bint begin_join(ChannelState channel, uint64_t body_bytes, const uint8_t *behind) except -1:
    cdef ConnectionState connection = channel.connection
    cdef GatewayState gateway = channel.gateway
    cdef Room room = gateway.reading
    cdef list rooms
    cdef uint64_t position
    if connection.join_room is not None or body_bytes < LENT_BODY_BYTES_MIN or channel.is_transactional:
        return False
    if room is None:
        room = take_room(connection, body_bytes)
        if room is None:
            return False
        position = room.position
    else:
        if connection.room is not room or behind < room.data + room.start or behind > room.data + room.end:
            return False
        position = <uint64_t> (behind - room.data) + FRAME_HEAD_BYTES
        if not fits(room, position, body_bytes):
            rooms = <list> gateway.rooms[room.shard]
            if len(rooms) < 2 or rooms[0] is not room:
                return False
            room = <Room> rooms[1]
            position = room.position
            if room.owner is not None or room.joining or not fits(room, position, body_bytes):
                return False
    room.position = position
    room.joining = True
    room.joined_bytes = 0
    room.gap_bytes = 0
    room.refusals = 0
    connection.join_room = room
    connection.join_channel = channel.number
    channel.content.joins = True
    return True


cdef Room take_room(ConnectionState connection, uint64_t body_bytes):
    """For a connection that has read its header elsewhere: the room of its large messages, if nobody uses it, for what
    comes from now on. One that has no place for the body any more is ended."""
    cdef list rooms
    cdef Room room
    if connection.large_shard == 0 or connection.large_shard > connection.gateway.shard_count or connection.room is not None:
        return None
    rooms = <list> connection.gateway.rooms[connection.large_shard - 1]
    while rooms:
        room = <Room> rooms[0]
        if room.owner is not None or room.joining or room.outgrown_bytes or not fits(room, room.start, body_bytes):
            return None
        if fits(room, room.position, body_bytes):
            room.owner = connection
            room.used = True
            connection.room = room
            room.kept_bytes = room.window_bytes = 0
            return room
        if len(rooms) < 2:
            return None
        end_room(connection.gateway, room)
    return None


cdef inline bint fits(Room room, uint64_t position, uint64_t body_bytes) noexcept:
    return position <= room.end and body_bytes <= room.end - position and \
        JOIN_SPARE_BYTES <= room.end - position - body_bytes


cdef int add_joined(ChannelState channel, const uint8_t *data, uint32_t n) except -1:
    cdef Room room = channel.connection.join_room
    cdef uint8_t *place
    if room is None or n > channel.content.body_bytes - room.joined_bytes:
        raise ValueError("a body is joined beyond its end")
    place = room.data + room.position + room.joined_bytes
    if place != data:
        memmove(place, data, n)
    room.joined_bytes += n
    room.refusals = 0
    return 0


cdef int collect_joined(ConnectionState connection) except -1:
    cdef Room room = connection.join_room
    cdef ChannelState channel
    cdef Content *content
    if room is None:
        return 0
    channel = channel_at(connection, connection.join_channel)
    if channel is not None and channel.content.joins:
        content = &channel.content
        make_room(channel.gateway, content, content.used + room.joined_bytes)
        memcpy(content.data + content.used, room.data + room.position, room.joined_bytes)
        content.used += room.joined_bytes
        content.joins = False
    unjoin(connection)
    return 0


cdef void close_gap(Room room) noexcept:
    cdef uint8_t *place = room.data + room.position + room.joined_bytes
    if room.gap_bytes > 0:
        memmove(place, place + room.gap_bytes, room.kept_bytes)
        room.gap_bytes = 0
