"""One open channel. See channel.pyx and channel.pyi."""
from gateway.core.state cimport ChannelState


cdef class ChannelCore(ChannelState):
    cdef int check_initialised(self) except -1
