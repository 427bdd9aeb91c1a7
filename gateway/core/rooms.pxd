"""Reading into rooms of shards. See rooms.pyx."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from bus.room cimport Room
from gateway.core.state cimport ConnectionState, GatewayState

cdef enum:
    # What a connection may leave in a room between two reads: the rest is its backlog's.
    KEPT_BYTES_MAX = 256 * 1024


# Where the connection's next read goes, with its window; None: to the buffer of all.
cdef Room room_for(ConnectionState connection)
# What it has left in a room becomes its backlog: it reads elsewhere, or somebody else there.
cdef int leave_room(ConnectionState connection) except -1
# It is gone.
cdef int forget_kept(ConnectionState connection) except -1
# The room of the shard in which the body that is being handled lies, and may stay; or None.
cdef Room room_of(GatewayState gateway, uint32_t shard, const uint8_t *data, uint64_t n)
# Whether such a body can be read into a room. Where those that there are are too small, there will be others.
cdef bint wants_room(GatewayState gateway, uint32_t shard, uint64_t body_bytes) except -1
# Rooms of shards into which nothing was read since this was last called go back to them.
cdef int end_idle(GatewayState gateway) except -1
# Nothing more is read to a room: its shard is told, and what it was too small for, if that is why.
cdef int end_room(GatewayState gateway, Room room, uint64_t outgrown_bytes=*) except -1
# The shard is down, and with it its rooms.
cdef int drop_rooms(GatewayState gateway, uint32_t shard) except -1
