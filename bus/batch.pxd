from libc.stdint cimport uint8_t


cdef class Batch:
    cdef uint8_t *data
    cdef readonly size_t size
    cdef size_t capacity
    cdef Py_ssize_t exports

    cdef uint8_t *reserve(self, size_t n) except NULL
    cdef int append(self, const void *source, size_t n) except -1
    cpdef clear(self)
