# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""CRC-32C (Castagnoli), the checksum of the log.

Uses the processor's instruction (SSE 4.2) where it is there at run time, in three
interleaved streams for long runs because one instruction waits three cycles for
the one before it; tables otherwise. Both give the same numbers (RFC 3720).
"""
from libc.stdint cimport uint32_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <stddef.h>
    #include <string.h>

    #define WARREN_CRC_POLYNOMIAL 0x82F63B78u
    #define WARREN_CRC_LONG 4096     /* bytes of one of three streams */
    #define WARREN_CRC_SHORT 256

    static uint32_t warren_crc_table[8][256];
    static uint32_t warren_crc_skip_long[4][256];      /* the effect of WARREN_CRC_LONG zero bytes */
    static uint32_t warren_crc_skip_short[4][256];

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

    /* The operator "n zero bytes follow" is linear: its columns are what it does to each bit. */
    static void warren_crc_skip_table(uint32_t table[4][256], size_t n) {
        uint32_t column[32];
        for (int bit = 0; bit < 32; bit++) {
            uint32_t c = (uint32_t) 1 << bit;
            for (size_t i = 0; i < n; i++)
                c = warren_crc_table[0][c & 255] ^ (c >> 8);
            column[bit] = c;
        }
        for (int byte = 0; byte < 4; byte++)
            for (int value = 0; value < 256; value++) {
                uint32_t c = 0;
                for (int bit = 0; bit < 8; bit++)
                    if (value >> bit & 1)
                        c ^= column[byte * 8 + bit];
                table[byte][value] = c;
            }
    }

    static inline uint32_t warren_crc_skip(uint32_t table[4][256], uint32_t c) {
        return table[0][c & 255] ^ table[1][(c >> 8) & 255] ^ table[2][(c >> 16) & 255] ^ table[3][c >> 24];
    }

    #if defined(__x86_64__)
    #include <nmmintrin.h>
    #ifdef __clang__
    #define WARREN_CRC_TARGET "sse4.2,crc32"    /* Clang does not count the CRC instructions to SSE 4.2 */
    #else
    #define WARREN_CRC_TARGET "sse4.2"
    #endif

    __attribute__((target(WARREN_CRC_TARGET)))
    static const uint8_t *warren_crc_three(uint64_t *crc, const uint8_t *p, size_t stream, uint32_t table[4][256]) {
        uint64_t a = *crc, b = 0, c = 0, x, y, z;
        const uint8_t *end = p + stream;
        while (p < end) {
            memcpy(&x, p, 8);
            memcpy(&y, p + stream, 8);
            memcpy(&z, p + 2 * stream, 8);
            a = _mm_crc32_u64(a, x);
            b = _mm_crc32_u64(b, y);
            c = _mm_crc32_u64(c, z);
            p += 8;
        }
        b ^= warren_crc_skip(table, (uint32_t) a);
        *crc = c ^ warren_crc_skip(table, (uint32_t) b);
        return p + 2 * stream;
    }

    __attribute__((target(WARREN_CRC_TARGET)))
    static uint32_t warren_crc32c_sse42(uint32_t crc, const void *data, size_t n) {
        const uint8_t *p = (const uint8_t *) data;
        uint64_t c = (uint32_t) ~crc, v;
        while (n >= 3 * WARREN_CRC_LONG) {
            p = warren_crc_three(&c, p, WARREN_CRC_LONG, warren_crc_skip_long);
            n -= 3 * WARREN_CRC_LONG;
        }
        while (n >= 3 * WARREN_CRC_SHORT) {
            p = warren_crc_three(&c, p, WARREN_CRC_SHORT, warren_crc_skip_short);
            n -= 3 * WARREN_CRC_SHORT;
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
        if (__builtin_cpu_supports("sse4.2")) {
            warren_crc_skip_table(warren_crc_skip_long, WARREN_CRC_LONG);
            warren_crc_skip_table(warren_crc_skip_short, WARREN_CRC_SHORT);
            warren_crc32c = warren_crc32c_sse42;
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
