"""When routes were last touched. See route_stamps.pyx."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef struct Stamps:
    uint64_t now                # grows with whatever is touched
    uint64_t everything         # when everything was
    uint64_t *places            # 0: never


cdef class RouteStamps:
    cdef Stamps at


# What a vhost is called below.
cdef uint64_t hash_of_vhost(const uint8_t *name, uint32_t name_bytes) noexcept nogil
# Whether a route that was right at `since` still is. By its routing key alone, or whatever it depends on.
cdef bint key_holds(
    const Stamps *stamps, uint64_t since, uint64_t vhost, const uint8_t *exchange, uint32_t exchange_bytes,
    const uint8_t *routing_key, uint32_t routing_key_bytes) noexcept nogil
cdef bint exchange_holds(
    const Stamps *stamps, uint64_t since, uint64_t vhost, const uint8_t *exchange, uint32_t exchange_bytes
) noexcept nogil
