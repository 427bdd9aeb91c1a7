"""Counting times in C: what compiled code uses of bench/perf/core/histogram.pyx."""
from libc.stdint cimport uint32_t, uint64_t

cdef extern from *:
    """
    #define WARREN_LEADING_ZEROS(v) ((uint32_t) __builtin_clzll(v))
    """
    uint32_t leading_zeros "WARREN_LEADING_ZEROS"(uint64_t value) noexcept nogil     # of a value above 0

cdef enum:
    SUB_BUCKET_BITS = 7
    SUB_BUCKETS = 1 << SUB_BUCKET_BITS
    BUCKETS = (64 - SUB_BUCKET_BITS + 1) * SUB_BUCKETS
    MAX_WORD = 0                        # the highest value, exactly
    BUCKETS_WORD = 8                    # the first bucket; the words between are free
    HISTOGRAM_WORDS = BUCKETS_WORD + BUCKETS


cdef inline uint32_t bucket_of(uint64_t value) noexcept nogil:
    cdef uint32_t shift
    if value < SUB_BUCKETS:
        return <uint32_t> value
    shift = 63 - SUB_BUCKET_BITS - leading_zeros(value)
    return ((shift + 1) << SUB_BUCKET_BITS) + (<uint32_t> (value >> shift) & (SUB_BUCKETS - 1))


cdef inline void record(uint64_t *words, uint64_t value) noexcept nogil:
    words[BUCKETS_WORD + bucket_of(value)] += 1
    if value > words[MAX_WORD]:
        words[MAX_WORD] = value
