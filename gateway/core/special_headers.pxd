"""The headers of a publish that tell the broker something. See special_headers.pyx."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from amqp091.property_edit cimport Scratch
from amqp091.scanner cimport ContentHeader


cdef enum:
    # what was found: flags
    HEADER_CC = 1
    HEADER_BCC = 2
    HEADER_DELAY = 4            # x-delay, with a delay that is one
    HEADER_DELIVER_AT = 8
    HEADER_COPIES = HEADER_CC | HEADER_BCC


# All zero while nothing was found. Pointers go into the headers that were read.
cdef struct SpecialHeaders:
    uint32_t found
    uint32_t faulty             # of these, those that cannot be what they should
    uint32_t cc_bytes           # the insides of the arrays
    uint32_t bcc_bytes
    const uint8_t *cc
    const uint8_t *bcc
    uint64_t delay_ms           # 1 to DELAY_MS_MAX
    uint64_t deliver_at_ms      # since 1970; 0: long ago


cdef void read_special(const ContentHeader *header, SpecialHeaders *special) noexcept nogil
# Raises for the first fault that RabbitMQ would tell.
cdef int check_special(const SpecialHeaders *special, const ContentHeader *header) except -1
# The routing key and those of CC and BCC: bytes, as they come, each once.
cdef tuple routing_keys(const uint8_t *routing_key, size_t routing_key_bytes, const SpecialHeaders *special)
# A copy of the properties without BCC, or with the delay negated, in `scratch`; `changed` is what describes it.
cdef int without_bcc(Scratch *scratch, const ContentHeader *header, ContentHeader *changed) except -1
cdef int with_delay_taken(
    Scratch *scratch, const ContentHeader *header, uint64_t delay_ms, ContentHeader *changed) except -1
