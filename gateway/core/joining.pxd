"""Bodies of several frames are put together in a room. See joining.pyx."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from bus.room cimport Room
from gateway.core.state cimport ChannelState, ConnectionState

cdef enum:
    # Behind the place of a body: for heads of frames, which a read brings along, and for what the last one brings behind it.
    JOIN_SPARE_BYTES = 32 * 1024


# A body of so many bytes is to come, of which the frames begin at `behind`: whether a room has a place for it. It is the
# one body of its connection that has.
cdef bint begin_join(ChannelState channel, uint64_t body_bytes, const uint8_t *behind) except -1
# The next of its bytes, no more than were announced.
cdef int add_joined(ChannelState channel, const uint8_t *data, uint32_t n) except -1
# What is there of it goes on in the channel's own memory, and the room has nothing of it.
cdef int collect_joined(ConnectionState connection) except -1
# What is kept in the room moves up to the body.
cdef void close_gap(Room room) noexcept
