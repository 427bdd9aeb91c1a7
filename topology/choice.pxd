"""Which of several destinations a message goes to. See topology/choice.pyx."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from amqp091.scanner cimport ContentHeader


cdef class Choice:
    # The index of the destination. `header` is from parse_properties.
    cdef uint32_t index_of(
        self, const uint8_t *routing_key, size_t routing_key_bytes, const ContentHeader *header) noexcept

    # Private.
    cdef readonly tuple destinations
    cdef uint32_t count
    cdef int method                 # CHOOSE_*
    cdef int subject                # HASH_*
    cdef bytes header               # of HASH_HEADER
    cdef uint64_t *seeds            # of CHOOSE_BY_WEIGHT: a number per destination, the same in every process
    cdef double *weights            # of CHOOSE_BY_WEIGHT; NULL while all weigh the same

    cdef uint64_t hash_of(
        self, const uint8_t *routing_key, size_t routing_key_bytes, const ContentHeader *header) noexcept
    cdef uint32_t lowest(self, uint64_t hash_value) noexcept
