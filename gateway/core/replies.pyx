# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Direct reply-to, the publishing side: reply-to gets the name of the channel's own reply queue.

Works on the bytes of the properties; knows neither where the name comes from nor where it leads.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp, memcpy

from amqp091.scanner cimport PROPERTIES_BYTES_MAX

from gateway.core import publish_errors
from topology.names import REPLY_QUEUE

cdef enum:
    SHORTSTR_BYTES_MAX = 255

cdef bytes REPLY_QUEUE_NAME = REPLY_QUEUE.encode("ascii")


cdef bint asks_for_replies(const ContentHeader *header) noexcept:
    return (
        header.reply_to_bytes == <size_t> len(REPLY_QUEUE_NAME)
        and memcmp(header.reply_to, <const char *> REPLY_QUEUE_NAME, header.reply_to_bytes) == 0
    )


cdef bytes with_reply_to(ChannelState channel, const ContentHeader *header, ContentHeader *rewritten):
    cdef bytes name = channel.reply_to
    cdef bytes properties
    cdef size_t name_bytes, before, behind, total
    cdef const uint8_t *rest
    cdef uint8_t *out
    if name is None:
        raise publish_errors.no_reply_consumer()
    name_bytes = len(name)
    before = header.reply_to - header.properties        # flags and what precedes, with the length octet
    behind = header.properties_bytes - before - header.reply_to_bytes
    total = before + name_bytes + behind
    if name_bytes > SHORTSTR_BYTES_MAX or before + header.reply_to_bytes > header.properties_bytes:
        raise ValueError("a reply-to that does not fit its properties")
    if total > PROPERTIES_BYTES_MAX:
        raise ValueError(f"properties of {total} bytes")
    properties = PyBytes_FromStringAndSize(NULL, total)
    out = <uint8_t *> PyBytes_AS_STRING(properties)
    rest = header.reply_to + header.reply_to_bytes
    memcpy(out, header.properties, before)
    out[before - 1] = <uint8_t> name_bytes
    memcpy(out + before, <const char *> name, name_bytes)
    memcpy(out + before + name_bytes, rest, behind)
    rewritten[0] = header[0]
    rewritten.properties = out
    rewritten.properties_bytes = <uint32_t> total
    rewritten.reply_to = out + before
    rewritten.reply_to_bytes = <uint8_t> name_bytes
    return properties
