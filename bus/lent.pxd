"""A file of the log that a shard lends, in C. See bus/lent.pyx."""
from libc.stdint cimport uint8_t, uint64_t


cdef class LentFile:
    cdef const uint8_t *data
    cdef size_t mapped_bytes
    cdef uint64_t file_bytes            # of the file, as it was when somebody last had to look
    cdef int descriptor

    # `n` bytes at a position; NULL where the file has no such bytes. Valid as long as this object.
    cdef const uint8_t *at(self, uint64_t position, uint64_t n) noexcept
