"""A growing run of bytes that compiled code appends to and a link or a socket takes whole."""
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy

cdef enum:
    FIRST_CAPACITY_BYTES = 512
    KEPT_CAPACITY_BYTES_MAX = 1 << 20   # a larger buffer is given back when the batch is cleared


cdef class Batch:
    """Owns its memory; `reserve` returns room that stays valid until the next call of `reserve`."""

    def __cinit__(self):
        self.data = NULL
        self.size = 0
        self.capacity = 0
        self.exports = 0

    def __dealloc__(self):
        free(self.data)

    cdef uint8_t *reserve(self, size_t n) except NULL:
        """Room for `n` more bytes, counted as used. MemoryError where there is none."""
        cdef size_t wanted = self.size + n
        cdef size_t capacity
        cdef uint8_t *grown
        if wanted > self.capacity or self.data == NULL:
            if self.exports:
                raise BufferError("a batch cannot grow while a view of it is held")
            capacity = self.capacity * 2 if self.capacity else FIRST_CAPACITY_BYTES
            if capacity < wanted:
                capacity = wanted
            grown = <uint8_t *> realloc(self.data, capacity)
            if grown == NULL:
                raise MemoryError()
            self.data = grown
            self.capacity = capacity
        self.size = wanted
        return self.data + wanted - n

    cdef int append(self, const void *source, size_t n) except -1:
        if n:
            memcpy(self.reserve(n), source, n)
        return 0

    def write(self, const uint8_t[::1] source not None):
        """Append bytes from Python."""
        if source.shape[0]:
            self.append(&source[0], source.shape[0])

    cpdef clear(self):
        """Forget the contents and keep the memory, unless it has grown large."""
        if self.exports:
            raise BufferError("a batch cannot be cleared while a view of it is held")
        self.size = 0
        if self.capacity > KEPT_CAPACITY_BYTES_MAX:
            free(self.data)
            self.data = NULL
            self.capacity = 0

    def take(self):
        """The contents as bytes; the batch is empty afterwards."""
        cdef bytes contents = PyBytes_FromStringAndSize(<const char *> self.data, <Py_ssize_t> self.size)
        self.clear()
        return contents

    def __len__(self):
        return <Py_ssize_t> self.size

    def __getbuffer__(self, Py_buffer *view, int flags):
        if flags & PyBUF_WRITABLE:
            raise BufferError("a batch is read-only from outside")
        if self.data == NULL:
            self.reserve(0)
            if self.data == NULL:
                self.data = <uint8_t *> malloc(FIRST_CAPACITY_BYTES)
                if self.data == NULL:
                    raise MemoryError()
                self.capacity = FIRST_CAPACITY_BYTES
        PyBuffer_FillInfo(view, self, self.data, <Py_ssize_t> self.size, 1, flags)
        self.exports += 1

    def __releasebuffer__(self, Py_buffer *view):
        self.exports -= 1
