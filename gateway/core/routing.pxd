"""The route of a publish. See routing.pyx."""
from amqp091.scanner cimport ContentHeader, Publish
from gateway.core.routes cimport Route
from gateway.core.special_headers cimport SpecialHeaders
from gateway.core.state cimport ChannelState


# `header` with what routing may look at; `special` as read_special found it.
cdef Route route_of(
    ChannelState channel, const Publish *method, const ContentHeader *header, const SpecialHeaders *special)
