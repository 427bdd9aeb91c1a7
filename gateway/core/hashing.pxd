"""Names that clients choose: compared, and hashed with a seed of the process, so that nobody can make them collide."""
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


cdef inline bint same_bytes(const uint8_t *one, const uint8_t *other, uint32_t n) noexcept nogil:
    """Of names, which are short: memcmp would be called."""
    cdef uint64_t word, other_word
    cdef uint32_t i
    if n >= 8:
        while n > 8:
            memcpy(&word, one, 8)
            memcpy(&other_word, other, 8)
            if word != other_word:
                return False
            one += 8
            other += 8
            n -= 8
        memcpy(&word, one + n - 8, 8)           # may overlap with what was compared before
        memcpy(&other_word, other + n - 8, 8)
        return word == other_word
    for i in range(n):
        if one[i] != other[i]:
            return False
    return True
