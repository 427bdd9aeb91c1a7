"""When routes were last touched. See route_stamps.pyx."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef class RouteStamps:
    cdef readonly uint64_t now          # grows with whatever is touched
    cdef uint64_t everything            # when everything was
    cdef uint64_t *stamps               # by place; 0: never

    # Whether a route that was right at `since` still is. For the routing key alone, or for any message.
    cdef bint key_holds(
        self, uint64_t since, uint64_t vhost, const uint8_t *exchange, uint32_t exchange_bytes,
        const uint8_t *routing_key, uint32_t routing_key_bytes) noexcept
    cdef bint exchange_holds(
        self, uint64_t since, uint64_t vhost, const uint8_t *exchange, uint32_t exchange_bytes) noexcept


# What the vhost is called in the above.
cdef uint64_t hash_of_vhost(const uint8_t *name, uint32_t name_bytes) noexcept nogil
