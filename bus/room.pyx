# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A part of a file of a shard's log, mapped for writing: its gateway reads sockets into it, and large bodies stay there.

The shard has given it (shards/engine/rooms.pyx) and writes nothing there. What is before `position` belongs to the shard
and is not written to again. As a buffer a room is the window that the next read may fill.
"""
import os

from cpython.buffer cimport PyBuffer_FillInfo
from libc.errno cimport errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from bus.lent import LENT_FILE_BYTES_MAX

cdef extern from "sys/mman.h" nogil:
    void *mmap(void *address, size_t length, int protection, int flags, int descriptor, long offset)
    int munmap(void *address, size_t length)
    int madvise(void *address, size_t length, int advice)
    int PROT_READ, PROT_WRITE, MAP_SHARED
    void *MAP_FAILED

cdef extern from *:
    """
    #ifndef MADV_POPULATE_WRITE     /* Linux 5.14 */
    #define MADV_POPULATE_WRITE 23
    #endif
    """
    int MADV_POPULATE_WRITE


cdef class Room:
    """`mapped_bytes`: of the file, all of which is allocated. `beginning`: its first bytes. OSError where it is gone;
    ValueError for a size that it has not, and where another file has its name by now."""

    def __cinit__(self):
        self.data = NULL

    def __init__(self, uint32_t shard, uint64_t number, str path not None, uint64_t mapped_bytes, uint64_t start, uint64_t end,
                 bytes beginning not None=b""):
        cdef void *address
        if self.data != NULL:
            raise RuntimeError("the file is mapped already")
        self.shard = shard
        self.number = number
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            if not 0 < mapped_bytes <= LENT_FILE_BYTES_MAX or mapped_bytes > os.fstat(descriptor).st_size:
                raise ValueError(f"a file has no room in {mapped_bytes} bytes")
            address = mmap(NULL, mapped_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
            if address == MAP_FAILED:
                raise OSError(errno, os.strerror(errno), path)
        finally:
            os.close(descriptor)
        self.data = <uint8_t *> address
        self.mapped_bytes = mapped_bytes
        self.open(start, end, beginning)
        # A hint: one call for all pages costs a third of a fault for each, and older kernels refuse it.
        madvise(self.data, self.mapped_bytes, MADV_POPULATE_WRITE)

    def __dealloc__(self):
        if self.data != NULL:
            munmap(self.data, self.mapped_bytes)

    def __repr__(self):
        return f"<Room {self.number} of shard {self.shard}: {self.position} to {self.end}>"

    cdef int open(self, uint64_t start, uint64_t end, bytes beginning) except -1:
        cdef const char *expected = beginning
        cdef size_t n = len(beginning)
        if n > self.mapped_bytes or memcmp(self.data, expected, n) != 0:
            raise ValueError(f"the file of room {self.number} is another one")
        if not start < end <= self.mapped_bytes:
            raise ValueError(f"no room is from {start} to {end} of {self.mapped_bytes} bytes")
        self.start = self.position = start
        self.end = end
        self.joined_bytes = self.kept_bytes = self.window_bytes = 0
        self.outgrown_bytes = 0
        self.gap_bytes = 0
        self.refusals = 0
        self.joining = False
        self.owner = None
        self.named = False
        self.used = True
        return 0

    cdef uint64_t next_read(self) noexcept:
        return self.position + self.joined_bytes + <uint64_t> self.gap_bytes + self.kept_bytes

    cdef uint64_t left(self) noexcept:
        cdef uint64_t first = self.next_read()
        return self.end - first if first < self.end else 0

    def __getbuffer__(self, Py_buffer *view, int flags):
        cdef uint64_t first = self.next_read()
        if first < self.start or first > self.end or self.window_bytes > self.end - first:
            raise BufferError("the window is not in the room")
        PyBuffer_FillInfo(view, self, self.data + first, <Py_ssize_t> self.window_bytes, 0, flags)
