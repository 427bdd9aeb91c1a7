"""How far a shard has come with the batches of one gateway. See watermarks.pyx."""
from libc.stdint cimport uint64_t


cdef class Watermark:
    cdef readonly uint64_t processed
    cdef uint64_t _asked            # the last batch that asks for a confirm,
    cdef uint64_t _next_asked       # the first whose durability was not told, or one before it; 0: none,
    cdef uint64_t _asked_early      # the last that need not wait for the disk
    cdef object _waiting
    cdef uint64_t told_processed
    cdef uint64_t told_durable

    cdef uint64_t durable_batch(self) except? 0
    cdef int note(self, bint asked, bint early, bint waits, uint64_t position) except -1
    cdef bint take_news(self) except -1
