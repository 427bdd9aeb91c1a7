"""The reply-to property of direct reply-to. See replies.pyx."""
from amqp091.scanner cimport ContentHeader
from gateway.core.state cimport ChannelState


# The header has a reply_to; it is the name that stands for the channel's reply queue.
cdef bint asks_for_replies(const ContentHeader *header) noexcept

# Fills `rewritten`, whose properties lie in the returned bytes, with what else the header says.
cdef bytes with_reply_to(ChannelState channel, const ContentHeader *header, ContentHeader *rewritten)
