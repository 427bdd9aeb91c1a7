"""The id of a message, by which a queue knows what it has had before. See identifier.pyx."""
from libc.stdint cimport uint8_t, uint64_t

from log.store cimport Message

cdef enum:
    IDENTIFIER_BYTES = 16           # as it is kept in the log


# A hash of the type and the value of what the message calls itself.
cdef packed struct Identifier:
    uint64_t low
    uint64_t high


# Which header has the id. No header: "x-deduplication-header" if the message has it, else the message-id.
cdef struct IdentifierRule:
    const char *header
    uint8_t header_bytes            # 0: none is named


cdef bint identify(const IdentifierRule *rule, const Message *message, Identifier *identifier) noexcept nogil
