"""What an open transaction holds. See transactions.pyx."""
from libc.stdint cimport uint8_t

from gateway.core.outgoing cimport Outgoing
from gateway.core.routes cimport Route
from gateway.core.state cimport ChannelState


cdef int hold_publish(ChannelState channel, const Outgoing *message, Route route) except -1
cdef uint8_t *hold_return(ChannelState channel, size_t n) except NULL
cdef int commit_publishes(ChannelState channel) except -1
cdef void forget_publishes(ChannelState channel) noexcept
