# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The memory of a watch. See watch.pxd."""
from libc.stdlib cimport free


cdef void free_watch(Watch *watch) noexcept:
    """NULL is none."""
    if watch != NULL:
        free(watch.checkpoints)
        free(watch)
