# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A histogram with a fixed relative error: 128 buckets per power of two, so that no value is off by more than 0.8 %.

    word   what (u64)
       0   the highest value that was recorded, exactly
    1..7   free
    8..    BUCKETS counts: values below 128 one by one, then 128 buckets for each power of two

Plain words, so that they can lie in memory that processes share. bench/perf/histogram.py reads them.
"""
from libc.stdint cimport uint64_t

from bench.perf.core.histogram cimport BUCKETS, BUCKETS_WORD, HISTOGRAM_WORDS, SUB_BUCKET_BITS, bucket_of, record

WORDS = HISTOGRAM_WORDS
FIRST_BUCKET_WORD = BUCKETS_WORD
BUCKET_COUNT = BUCKETS
SUB_BITS = SUB_BUCKET_BITS


def bucket(uint64_t value):
    """The number of the bucket that counts a value."""
    return bucket_of(value)


def record_many(uint64_t[::1] words not None, const uint64_t[::1] values not None):
    """Record values from Python: tests, and what is no message."""
    cdef Py_ssize_t i
    if words.shape[0] < HISTOGRAM_WORDS:
        raise ValueError(f"a histogram has {HISTOGRAM_WORDS} words")
    for i in range(values.shape[0]):
        record(&words[0], values[i])
