# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""SipHash-2-4 with a result of 128 bits (Aumasson, Bernstein, 2012): a keyed hash of short inputs.

Two different inputs have the same hash by chance once in 2**128: a million ids meet a collision with a probability
of one in 10**27.
"""
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

cdef enum:
    KEY_BYTES = 16

cdef extern from *:
    """
    #define WARREN_SIP_V0 UINT64_C(0x736f6d6570736575)
    #define WARREN_SIP_V1 UINT64_C(0x646f72616e646f6d)
    #define WARREN_SIP_V2 UINT64_C(0x6c7967656e657261)
    #define WARREN_SIP_V3 UINT64_C(0x7465646279746573)
    """
    const uint64_t SIP_V0 "WARREN_SIP_V0"
    const uint64_t SIP_V1 "WARREN_SIP_V1"
    const uint64_t SIP_V2 "WARREN_SIP_V2"
    const uint64_t SIP_V3 "WARREN_SIP_V3"


cdef inline uint64_t rotated(uint64_t x, int bits) noexcept nogil:
    return (x << bits) | (x >> (64 - bits))


cdef inline void sip_round(uint64_t *v) noexcept nogil:
    v[0] += v[1]
    v[1] = rotated(v[1], 13) ^ v[0]
    v[0] = rotated(v[0], 32)
    v[2] += v[3]
    v[3] = rotated(v[3], 16) ^ v[2]
    v[0] += v[3]
    v[3] = rotated(v[3], 21) ^ v[0]
    v[2] += v[1]
    v[1] = rotated(v[1], 17) ^ v[2]
    v[2] = rotated(v[2], 32)


cdef inline void absorb(uint64_t *v, uint64_t word) noexcept nogil:
    v[3] ^= word
    sip_round(v)
    sip_round(v)
    v[0] ^= word


cdef inline uint64_t squeeze(uint64_t *v) noexcept nogil:
    cdef int i
    for i in range(4):
        sip_round(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


cdef void siphash128(uint64_t key0, uint64_t key1, const uint8_t *data, size_t n, uint64_t *low,
                     uint64_t *high) noexcept nogil:
    """Words are little-endian, as this machine has them."""
    cdef uint64_t v[4]
    cdef uint64_t word
    cdef size_t left = n
    v[0] = SIP_V0 ^ key0
    v[1] = SIP_V1 ^ key1 ^ 0xEE
    v[2] = SIP_V2 ^ key0
    v[3] = SIP_V3 ^ key1
    while left >= 8:
        memcpy(&word, data, 8)
        absorb(v, word)
        data += 8
        left -= 8
    word = 0
    if left:
        memcpy(&word, data, left)
    absorb(v, word | (<uint64_t> (n & 0xFF) << 56))
    v[2] ^= 0xEE
    low[0] = squeeze(v)
    v[1] ^= 0xDD
    high[0] = squeeze(v)


def siphash(bytes key not None, bytes data not None) -> bytes:
    """For tests: the hash as the reference prints it."""
    cdef uint64_t key_words[2]
    cdef uint64_t result[2]
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes")
    memcpy(key_words, <const char *> key, KEY_BYTES)
    siphash128(key_words[0], key_words[1], <const uint8_t *> data, len(data), &result[0], &result[1])
    return (<const char *> result)[:KEY_BYTES]
