"""Content that comes in several reads or frames. See content.pyx."""
from libc.stdint cimport uint64_t

from amqp091.scanner cimport Frame, Publish
from gateway.core.state cimport ChannelState, Content, GatewayState


cdef int begin_content(ChannelState channel, const Publish *method) except -1
cdef int add_header(ChannelState channel, const Frame *frame) except -1
cdef int add_body(ChannelState channel, const Frame *frame) except -1
cdef int check_body_size(GatewayState gateway, uint64_t body_bytes) except -1
# Memory for so many bytes in all.
cdef int make_room(GatewayState gateway, Content *content, size_t wanted) except -1
