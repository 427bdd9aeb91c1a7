# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Which numbers of a stream that counts from its base on have arrived: duplicates are told in bounded memory.

In order, a stream is two counters. Behind a gap (a message that is late, or lost) it keeps one bit per number, in a
window that grows with the distance to the gap. Where the window is as large as it may be, the oldest gaps are given
up: a number of which nothing is known any more counts as new as long as there are such gaps.
"""
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free

cdef enum:
    WORD_BITS = 64
    BYTE_BITS = 8


cdef inline bint bit_of(const Stream *stream, uint64_t number) noexcept:
    cdef uint64_t place = number & (stream.capacity - 1)
    return stream.bits[place // WORD_BITS] >> (place % WORD_BITS) & 1


cdef inline void set_bit(Stream *stream, uint64_t number) noexcept:
    cdef uint64_t place = number & (stream.capacity - 1)
    stream.bits[place // WORD_BITS] |= <uint64_t> 1 << (place % WORD_BITS)


cdef inline void clear_bit(Stream *stream, uint64_t number) noexcept:
    cdef uint64_t place = number & (stream.capacity - 1)
    stream.bits[place // WORD_BITS] &= ~(<uint64_t> 1 << (place % WORD_BITS))


cdef bint arrived_before(Stream *stream, uint64_t number, uint64_t *memory) except -1:
    if number == stream.base and stream.top == stream.base:
        stream.base += 1
        stream.top = stream.base
        return False
    if number < stream.base:
        if stream.given_up == 0:
            return True
        stream.given_up -= 1
        return False
    if number - stream.base >= stream.capacity:
        make_room(stream, number, memory)
    if number < stream.top and bit_of(stream, number):
        return True
    set_bit(stream, number)
    if number >= stream.top:
        stream.top = number + 1
    take_run(stream)
    return False


cdef void take_run(Stream *stream) noexcept:
    """Moves the base over what has arrived."""
    while stream.base < stream.top and bit_of(stream, stream.base):
        clear_bit(stream, stream.base)
        stream.base += 1


cdef int make_room(Stream *stream, uint64_t number, uint64_t *memory) except -1:
    """A window that holds the number: a larger one, or one whose oldest gaps are given up."""
    cdef uint64_t capacity = stream.capacity if stream.capacity else FIRST_WINDOW_BITS
    cdef uint64_t distance = number - stream.base
    while capacity <= distance and capacity < WINDOW_BITS_MAX:
        capacity *= 2
    if stream.capacity and memory[0] + (capacity - stream.capacity) // BYTE_BITS > ALL_WINDOWS_BYTES_MAX:
        capacity = stream.capacity
    if capacity > stream.capacity:
        memory[0] += (capacity - stream.capacity) // BYTE_BITS
        grow(stream, capacity)
    if distance >= stream.capacity:
        give_up(stream, number - stream.capacity // 2)
    return 0


cdef int grow(Stream *stream, uint64_t capacity) except -1:
    cdef Stream larger = stream[0]
    cdef uint64_t number
    larger.capacity = capacity
    larger.bits = <uint64_t *> calloc(capacity // WORD_BITS, sizeof(uint64_t))
    if larger.bits == NULL:
        raise MemoryError()
    if stream.capacity:
        for number in range(stream.base, stream.top):
            if bit_of(stream, number):
                set_bit(&larger, number)
    free(stream.bits)
    stream[0] = larger
    return 0


cdef void give_up(Stream *stream, uint64_t base) noexcept:
    """Forgets everything below the new base."""
    cdef uint64_t end = base if base < stream.top else stream.top
    while stream.base < end:
        if bit_of(stream, stream.base):
            clear_bit(stream, stream.base)
        else:
            stream.given_up += 1
        stream.base += 1
    if stream.base < base:
        stream.given_up += base - stream.base
        stream.base = base
        stream.top = base
    take_run(stream)


cdef void free_stream(Stream *stream) noexcept:
    free(stream.bits)
    stream.bits = NULL
    stream.capacity = 0


cdef class Arrivals:
    """One stream, for tests."""

    cdef Stream stream
    cdef uint64_t memory

    def __cinit__(self, uint64_t base=0):
        self.stream.base = self.stream.top = base

    def __dealloc__(self):
        free_stream(&self.stream)

    def arrived_before(self, uint64_t number):
        return bool(arrived_before(&self.stream, number, &self.memory))

    @property
    def base(self):
        return self.stream.base

    @property
    def given_up(self):
        return self.stream.given_up

    @property
    def memory_bytes(self):
        return self.memory
