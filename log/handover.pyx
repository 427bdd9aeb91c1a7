# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Hands files to the sync thread and hears when they are on the disk, without the interpreter's lock on the way.

With it, the thread could not begin before the loop sleeps, and the loop, woken at the end, would wait until the thread
sleeps: two switches between threads too many for a message that comes alone. So the thread takes a descriptor from a
field, synchronises it and wakes the loop through an eventfd, all without Python.

One file at a time: `ask`, then `take` when finished_descriptor is readable, then the next `ask`.
"""
import os

from libc.errno cimport EINTR, errno
from libc.stdint cimport uint64_t
from posix.unistd cimport fdatasync, read, write

cdef extern from *:
    """
    static inline int put_file(int *place, int file) { return __atomic_exchange_n(place, file, __ATOMIC_ACQ_REL); }
    """
    # Both threads write to the field: read and emptied in two steps, what is asked for between them would be lost.
    int put_file(int *place, int file) noexcept nogil

cdef enum:
    NOTHING = -1
    BY_PYTHON = -2

ASK_PYTHON = BY_PYTHON


cdef class SyncHandover:
    def __cinit__(self):
        self.asked_descriptor = self.finished_descriptor = -1

    def __init__(self):
        self.file = NOTHING
        self.asked_descriptor = os.eventfd(0, os.EFD_CLOEXEC)
        self.finished_descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def __dealloc__(self):
        for descriptor in (self.asked_descriptor, self.finished_descriptor):
            if descriptor >= 0:
                os.close(descriptor)

    def ask(self, int descriptor):
        put_file(&self.file, descriptor)
        with nogil:
            ring(self.asked_descriptor)

    def end(self):
        self.ending = True
        ring(self.asked_descriptor)

    def serve(self):
        cdef int file = NOTHING
        cdef uint64_t count
        with nogil:
            while True:
                file = put_file(&self.file, NOTHING)
                if file >= 0:
                    self.error = synchronise(file)
                    ring(self.finished_descriptor)
                elif file == BY_PYTHON or self.ending:
                    break
                else:
                    read(self.asked_descriptor, &count, sizeof(count))
        return file == BY_PYTHON

    def finish(self):
        self.error = 0
        with nogil:
            ring(self.finished_descriptor)

    def take(self):
        cdef uint64_t count
        read(self.finished_descriptor, &count, sizeof(count))
        return self.error


cdef int synchronise(int descriptor) noexcept nogil:
    """0, or what the disk failed with. Interrupted by a signal it has not failed."""
    while fdatasync(descriptor) != 0:
        if errno != EINTR:
            return errno
    return 0


cdef void ring(int descriptor) noexcept nogil:
    # Cannot fail: the counter is far from full.
    cdef uint64_t one = 1
    write(descriptor, &one, sizeof(one))
