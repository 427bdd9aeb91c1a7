"""A hash of names that clients choose, seeded per process so that nobody can make them collide."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef uint64_t HASH_SEED

cdef extern from *:
    """
    #define WARREN_HASH_FACTOR 0x9FB21C651E98DF25ULL
    """
    const uint64_t HASH_FACTOR "WARREN_HASH_FACTOR"     # too large for an enum


cdef inline uint64_t hash_piece(uint64_t value, const uint8_t *piece, uint32_t n) noexcept nogil:
    cdef uint64_t word
    while n >= 8:
        memcpy(&word, piece, 8)
        value = (value ^ word) * HASH_FACTOR
        value ^= value >> 29
        piece += 8
        n -= 8
    word = <uint64_t> n + 1
    while n:
        n -= 1
        word = word << 8 | piece[n]
    value = (value ^ word) * HASH_FACTOR
    return value ^ value >> 32
