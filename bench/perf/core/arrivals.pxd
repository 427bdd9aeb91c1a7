"""Which numbers of a stream have arrived. See arrivals.pyx."""
from libc.stdint cimport uint64_t

cdef enum:
    FIRST_WINDOW_BITS = 1 << 10
    WINDOW_BITS_MAX = 1 << 24           # 2 MiB: how far a stream may run ahead of its oldest gap
    ALL_WINDOWS_BYTES_MAX = 1 << 28     # of all streams of a process


cdef struct Stream:
    uint64_t base                       # every number below has arrived, or was given up
    uint64_t top                        # one above the highest that arrived
    uint64_t given_up                   # numbers below base that have not arrived
    uint64_t *bits                      # a ring: number & (capacity - 1)
    uint64_t capacity                   # in bits, a power of two; 0: none yet


# True where the number arrived before. `memory` counts the bytes of all windows.
cdef bint arrived_before(Stream *stream, uint64_t number, uint64_t *memory) except -1
cdef void free_stream(Stream *stream) noexcept
