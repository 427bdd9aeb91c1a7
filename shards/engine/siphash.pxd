"""SipHash-2-4 with a result of 128 bits. See siphash.pyx."""
from libc.stdint cimport uint8_t, uint64_t


cdef void siphash128(uint64_t key0, uint64_t key1, const uint8_t *data, size_t n, uint64_t *low,
                     uint64_t *high) noexcept nogil
