# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""CRC-32C (Castagnoli), the checksum of the log.

Uses the processor's instruction (SSE 4.2) where it is there at run time, in three
interleaved streams, because one instruction waits three cycles for the one before it;
their results are joined by a multiplication without carries (PCLMULQDQ), as Intel's
paper "Fast CRC Computation for iSCSI Polynomial Using CRC32 Instruction" (2011) does.
Tables otherwise. Both give the same numbers (RFC 3720).
"""
from libc.stdint cimport uint32_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <stddef.h>
    #include <string.h>

    #define WARREN_CRC_POLYNOMIAL 0x82F63B78u
    static uint32_t warren_crc_table[8][256];

    static uint32_t warren_crc32c_portable(uint32_t crc, const void *data, size_t n) {
        const uint8_t *p = (const uint8_t *) data;
        uint32_t c = ~crc;
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        while (n >= 8) {
            uint64_t v;
            memcpy(&v, p, 8);
            v ^= c;
            c = warren_crc_table[7][v & 255] ^ warren_crc_table[6][(v >> 8) & 255]
              ^ warren_crc_table[5][(v >> 16) & 255] ^ warren_crc_table[4][(v >> 24) & 255]
              ^ warren_crc_table[3][(v >> 32) & 255] ^ warren_crc_table[2][(v >> 40) & 255]
              ^ warren_crc_table[1][(v >> 48) & 255] ^ warren_crc_table[0][v >> 56];
            p += 8;
            n -= 8;
        }
    #endif
        while (n--)
            c = warren_crc_table[0][(c ^ *p++) & 255] ^ (c >> 8);
        return ~c;
    }

    #if defined(__x86_64__)
    #include <nmmintrin.h>
    #include <wmmintrin.h>
    #ifdef __clang__
    #define WARREN_CRC_TARGET "sse4.2,crc32,pclmul"     /* Clang does not count the CRC instructions to SSE 4.2 */
    #else
    #define WARREN_CRC_TARGET "sse4.2,pclmul"
    #endif

    #define WARREN_CRC_WORDS_MAX 256    /* of one of three streams */
    #define WARREN_CRC_WORDS_MIN 4      /* below, three streams save less than it costs to join them */

    /* By words of a stream: what a checksum is multiplied with where so many words, or twice as many, follow. */
    static uint32_t warren_crc_skip[WARREN_CRC_WORDS_MAX + 1][2];

    /* x**(64n - 33) modulo the polynomial, n up to 2 * WARREN_CRC_WORDS_MAX: the instruction adds 32 to the
       exponent, and the product of two reflected numbers lacks a shift by one. */
    static void warren_crc_skip_fill(void) {
        uint32_t c = (uint32_t) 1 << 31;                /* x**0, reflected */
        for (int exponent = 0, n = 1; n <= 2 * WARREN_CRC_WORDS_MAX; n++) {
            for (; exponent < 64 * n - 33; exponent++)
                c = c & 1 ? (c >> 1) ^ WARREN_CRC_POLYNOMIAL : c >> 1;
            if (n <= WARREN_CRC_WORDS_MAX)
                warren_crc_skip[n][0] = c;
            if (n % 2 == 0)
                warren_crc_skip[n / 2][1] = c;
        }
    }

    __attribute__((target(WARREN_CRC_TARGET)))
    static inline uint64_t warren_crc_multiply(uint64_t crc, uint32_t factor) {
        return (uint64_t) _mm_cvtsi128_si64(_mm_clmulepi64_si128(
            _mm_cvtsi64_si128((long long) crc), _mm_cvtsi64_si128((long long) factor), 0));
    }

    __attribute__((target(WARREN_CRC_TARGET)))
    static uint32_t warren_crc32c_hardware(uint32_t crc, const void *data, size_t n) {
        const uint8_t *p = (const uint8_t *) data;
        uint64_t c = (uint32_t) ~crc, v;
        while (n >= 24 * WARREN_CRC_WORDS_MIN) {
            size_t words = n / 24;
            uint64_t first = c, second = 0, x, y, z;
            if (words > WARREN_CRC_WORDS_MAX)
                words = WARREN_CRC_WORDS_MAX;
            const uint8_t *q = p + 8 * words, *r = q + 8 * words, *end = q - 8;
            c = 0;
            for (; p < end; p += 8, q += 8, r += 8) {
                memcpy(&x, p, 8);
                memcpy(&y, q, 8);
                memcpy(&z, r, 8);
                first = _mm_crc32_u64(first, x);
                second = _mm_crc32_u64(second, y);
                c = _mm_crc32_u64(c, z);
            }
            memcpy(&x, p, 8);
            memcpy(&y, q, 8);
            memcpy(&z, r, 8);
            first = _mm_crc32_u64(first, x);
            second = _mm_crc32_u64(second, y);
            z ^= warren_crc_multiply(first, warren_crc_skip[words][1])
               ^ warren_crc_multiply(second, warren_crc_skip[words][0]);
            c = _mm_crc32_u64(c, z);
            p = r + 8;
            n -= 24 * words;
        }
        while (n >= 8) {
            memcpy(&v, p, 8);
            c = _mm_crc32_u64(c, v);
            p += 8;
            n -= 8;
        }
        while (n--)
            c = _mm_crc32_u8((uint32_t) c, *p++);
        return ~(uint32_t) c;
    }
    #endif

    static uint32_t (*warren_crc32c)(uint32_t, const void *, size_t) = warren_crc32c_portable;

    static int warren_crc_prepare(void) {
        for (int value = 0; value < 256; value++) {
            uint32_t c = (uint32_t) value;
            for (int bit = 0; bit < 8; bit++)
                c = c & 1 ? (c >> 1) ^ WARREN_CRC_POLYNOMIAL : c >> 1;
            warren_crc_table[0][value] = c;
        }
        for (int value = 0; value < 256; value++)
            for (int k = 1; k < 8; k++)
                warren_crc_table[k][value] =
                    warren_crc_table[0][warren_crc_table[k - 1][value] & 255] ^ (warren_crc_table[k - 1][value] >> 8);
    #if defined(__x86_64__)
        __builtin_cpu_init();
        if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul")) {
            warren_crc_skip_fill();
            warren_crc32c = warren_crc32c_hardware;
            return 1;
        }
    #endif
        return 0;
    }
    """
    uint32_t warren_crc32c(uint32_t crc, const void *data, size_t n) noexcept nogil
    uint32_t warren_crc32c_portable(uint32_t crc, const void *data, size_t n) noexcept nogil
    int warren_crc_prepare() noexcept nogil

# True where the processor's own instruction is used.
hardware = bool(warren_crc_prepare())


cdef uint32_t crc32c(uint32_t crc, const void *data, size_t n) noexcept nogil:
    return warren_crc32c(crc, data, n)


def checksum(const unsigned char[::1] data not None, uint32_t crc=0, *, bint portable=False) -> int:
    """CRC-32C of bytes, continuing `crc`; `portable` keeps to the tables."""
    cdef const void *start = &data[0] if data.shape[0] else NULL
    if portable:
        return warren_crc32c_portable(crc, start, data.shape[0])
    return warren_crc32c(crc, start, data.shape[0])
