"""A room in a shard's log, as the gateway has it that reads into it. See bus/room.pyx."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t


cdef class Room:
    cdef readonly uint32_t shard
    cdef readonly uint64_t number       # of its file
    cdef uint8_t *data                  # the file from its beginning; places in it are offsets from here
    cdef size_t mapped_bytes
    cdef readonly uint64_t start
    cdef readonly uint64_t end
    cdef readonly uint64_t position     # what lies before it, from `start` on, is not written to again
    cdef bint joining                   # behind it a body is put together: gateway/core/joining.pyx
    cdef readonly uint64_t joined_bytes # so much of it is there
    cdef int64_t gap_bytes              # then there is nothing, until what is kept; below 0 before the body's first frame
    cdef uint32_t refusals              # of reads of others, since it last grew
    cdef readonly uint64_t kept_bytes   # behind that: read, and not complete yet
    cdef uint64_t window_bytes          # behind these: as much as the next read may take
    cdef uint64_t outgrown_bytes        # a body of so many has come since, for which it is too small; or 0
    cdef object owner                   # the connection whose bytes are kept; None: nobody's are
    cdef bint used                      # given or read to since this was last set to False
    cdef bint named                     # something in it was named to the shard since this was last set to False

    # Where the next read goes, and how much is free from there on.
    cdef uint64_t next_read(self) noexcept
    cdef uint64_t left(self) noexcept
    # As the shard has given it, whatever was here before. ValueError for a place that is not in the file, and where that
    # does not begin so.
    cdef int open(self, uint64_t start, uint64_t end, bytes beginning) except -1
