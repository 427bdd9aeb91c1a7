"""Hands files to the sync thread. See handover.pyx."""


cdef class SyncHandover:
    cdef readonly int finished_descriptor
    cdef int asked_descriptor
    cdef int file          # to be synchronised next: a descriptor, or one of the values of handover.pyx
    cdef bint ending
    cdef int error         # errno of the last one
