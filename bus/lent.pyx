# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A file of a shard's log as a gateway sees it: mapped for reading, so that bodies need not be copied to it.

The shard tells of the file before its first use (shards/engine/lending.pyx), and leaves what it has lent as it is until
the batch that names it is given back. The mapping outlives the file's name, so nothing that was lent is lost with it.
A file grows while it is lent and never shrinks below what is in it; every place is held against its size.
"""
import os

from libc.errno cimport errno
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp

cdef extern from "sys/mman.h" nogil:
    void *mmap(void *address, size_t length, int protection, int flags, int descriptor, long offset)
    int munmap(void *address, size_t length)
    int PROT_READ, MAP_SHARED
    void *MAP_FAILED

cdef extern from "sys/stat.h" nogil:
    struct stat_struct "stat":
        long st_size
    int fstat(int descriptor, stat_struct *result)

LENT_FILE_BYTES_MAX = 1 << 36
"""No segment is larger: positions in it fit 32 bits, in units of 8 bytes."""


cdef class LentFile:
    """`mapped_bytes`: as large as the file may become. `beginning`: its first bytes. OSError where it is gone; ValueError
    for a size that none has, and where another file has its name by now."""

    def __cinit__(self):
        self.data = NULL
        self.descriptor = -1

    def __init__(self, str path not None, uint64_t mapped_bytes, bytes beginning not None=b""):
        cdef void *address
        cdef const uint8_t *first
        cdef const char *expected = beginning
        cdef size_t n = len(beginning)
        if not 0 < mapped_bytes <= <uint64_t> LENT_FILE_BYTES_MAX:
            raise ValueError(f"a file of {mapped_bytes} bytes cannot be lent")
        if self.data != NULL:
            raise RuntimeError("the file is mapped already")
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        address = mmap(NULL, mapped_bytes, PROT_READ, MAP_SHARED, self.descriptor, 0)
        if address == MAP_FAILED:
            raise OSError(errno, os.strerror(errno), path)
        self.data = <const uint8_t *> address
        self.mapped_bytes = mapped_bytes
        first = self.at(0, n)
        if first == NULL or memcmp(first, expected, n) != 0:
            raise ValueError(f"{path} is another file")

    def __dealloc__(self):
        if self.data != NULL:
            munmap(<void *> self.data, self.mapped_bytes)
        if self.descriptor >= 0:
            os.close(self.descriptor)

    cdef const uint8_t *at(self, uint64_t position, uint64_t n) noexcept:
        cdef stat_struct status
        if position > self.mapped_bytes or n > self.mapped_bytes - position:
            return NULL
        if position + n > self.file_bytes:
            if fstat(self.descriptor, &status) < 0 or status.st_size < 0:
                return NULL
            self.file_bytes = <uint64_t> status.st_size
            if position + n > self.file_bytes:
                return NULL
        return self.data + position

    def read(self, uint64_t position, uint64_t n) -> bytes:
        """A copy of the bytes there; IndexError where the file has none."""
        cdef const uint8_t *data = self.at(position, n)
        if data == NULL:
            raise IndexError(f"{n} bytes at {position} are not in the file")
        return <bytes> (<const char *> data)[:n]
