# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""When routes were last touched: a stamp by exchange, and by exchange and routing key.

Whoever remembers a route compares: it holds while its stamps are no later than it is. Stamps lie in a table of places,
found by a hash; two that share a place have the later one, so that a route may be asked for again without need, but is
never kept when it should not be. The table does not grow with what there is, and a change costs a place or two, however
many channels remember however much.

An exchange has two stamps: `WHOLE`, when all routes from it were touched, and `ANY`, when any was. A route by one
routing key is held against WHOLE and against its key; what counts more than one key, or none, against ANY.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from gateway.core.hashing cimport HASH_FACTOR, HASH_SEED, hash_piece

cdef enum:
    PLACE_BITS = 15         # 256 KiB, of which only what was touched takes memory
    ANY = 1
    WHOLE = 2
    OF_KEY = 3


cdef uint64_t hash_of_vhost(const uint8_t *name, uint32_t name_bytes) noexcept nogil:
    return hash_piece(HASH_SEED, name, name_bytes)


cdef inline uint32_t place_of(uint64_t hashed) noexcept nogil:
    return <uint32_t> (hashed * HASH_FACTOR >> (64 - PLACE_BITS))


cdef inline uint32_t place_of_key(uint64_t exchange, const uint8_t *routing_key, uint32_t n) noexcept nogil:
    return place_of(hash_piece(exchange + OF_KEY, routing_key, n))


cdef bint key_holds(
    const Stamps *stamps, uint64_t since, uint64_t vhost, const uint8_t *exchange, uint32_t exchange_bytes,
    const uint8_t *routing_key, uint32_t routing_key_bytes
) noexcept nogil:
    cdef uint64_t hashed = hash_piece(vhost, exchange, exchange_bytes)
    return (
        stamps.everything <= since
        and stamps.places[place_of(hashed + WHOLE)] <= since
        and stamps.places[place_of_key(hashed, routing_key, routing_key_bytes)] <= since)


cdef bint exchange_holds(
    const Stamps *stamps, uint64_t since, uint64_t vhost, const uint8_t *exchange, uint32_t exchange_bytes
) noexcept nogil:
    return (
        stamps.everything <= since
        and stamps.places[place_of(hash_piece(vhost, exchange, exchange_bytes) + ANY)] <= since)


cdef class RouteStamps:
    def __cinit__(self):
        self.at.places = <uint64_t *> calloc(1 << PLACE_BITS, sizeof(uint64_t))
        if self.at.places == NULL:
            raise MemoryError()
        self.at.now = 1

    def __dealloc__(self):
        free(self.at.places)

    @property
    def now(self):
        return self.at.now

    def touch_everything(self):
        self.at.now += 1
        self.at.everything = self.at.now

    def touch_exchange(self, str vhost not None, str exchange not None):
        cdef uint64_t hashed = hash_of_exchange(vhost, exchange)
        self.at.now += 1
        self.at.places[place_of(hashed + ANY)] = self.at.now
        self.at.places[place_of(hashed + WHOLE)] = self.at.now

    def touch_key(self, str vhost not None, str exchange not None, str routing_key not None):
        cdef uint64_t hashed = hash_of_exchange(vhost, exchange)
        cdef bytes key = encoded(routing_key)
        self.at.now += 1
        self.at.places[place_of(hashed + ANY)] = self.at.now
        self.at.places[place_of_key(hashed, key, <uint32_t> len(key))] = self.at.now

    def holds(self, uint64_t since, str vhost not None, str exchange not None, tuple routing_keys not None):
        cdef bytes exchange_name = encoded(exchange)
        cdef bytes vhost_name = encoded(vhost)
        cdef uint64_t hashed = hash_of_vhost(vhost_name, <uint32_t> len(vhost_name))
        cdef bytes key
        if len(routing_keys) != 1:
            return bool(exchange_holds(&self.at, since, hashed, exchange_name, <uint32_t> len(exchange_name)))
        key = encoded(routing_keys[0])
        return bool(key_holds(
            &self.at, since, hashed, exchange_name, <uint32_t> len(exchange_name), key, <uint32_t> len(key)))


cdef bytes encoded(str name):
    """As names stand in frames."""
    return name.encode("utf-8", "surrogateescape")


cdef uint64_t hash_of_exchange(str vhost, str exchange) except? 0:
    cdef bytes vhost_name = encoded(vhost)
    cdef bytes exchange_name = encoded(exchange)
    return hash_piece(
        hash_of_vhost(vhost_name, <uint32_t> len(vhost_name)), exchange_name, <uint32_t> len(exchange_name))
