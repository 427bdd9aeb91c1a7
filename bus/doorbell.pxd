from libc.stdint cimport uint32_t, uint64_t


cdef class Doorbell:
    cdef object _memory
    cdef uint32_t *_sleeping
    cdef readonly int descriptor

    cdef void ring(self) noexcept
    cpdef sleep(self)
    cpdef awake(self)
    cpdef take(self)


cdef uint64_t bells_rung() noexcept
