"""Arrays that grow."""
from libc.stdlib cimport realloc


cdef inline void *resized(void *array, size_t size_bytes) except NULL:
    """The array with another size. MemoryError where there is no room; then it stays as it was."""
    cdef void *moved = realloc(array, size_bytes)
    if moved == NULL:
        raise MemoryError()
    return moved
