"""The turn of a process's links. See turns.pyx."""
from libc.stdint cimport uint64_t

from bus.doorbell cimport Doorbell
from bus.linger cimport Linger


cdef class LinkTurns:
    cdef readonly object _loop
    cdef object _on_batch
    cdef object _on_writable
    cdef object _on_idle
    cdef object _on_failure
    cdef readonly Doorbell _doorbell
    cdef readonly dict _ends
    cdef tuple _in_order        # of the ends, None where they have changed
    cdef bint _scheduled
    cdef public bint _closed
    cdef Py_ssize_t _first
    cdef public Linger _linger
    cdef uint64_t _rung         # bells that were, up to the last turn

    cpdef int began(self) except -1
    cpdef int rest(self, bint wait=*) except -1
    cdef bint answered(self) except -1
    cpdef int take(self) except -1
    cdef tuple in_order(self)
    cdef int serve(self, end) except -1
    cdef bint work_left(self) except -1
    cdef int call_batch(self, end, view) except -1
    cdef int call(self, callback, end=*) except -1
    cdef int failed(self, error) except -1
