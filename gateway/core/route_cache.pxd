"""The table in which a channel remembers routes. See route_cache.pyx."""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from gateway.core.route_stamps cimport Stamps
from gateway.core.routes cimport Way


cdef enum:
    # what a remembered route is for, a part of its key: flags
    ROUTE_BY_HEADERS = 1        # the encoded headers count too
    ROUTE_BY_COPIES = 2         # the further routing keys in CC and BCC count too
    ROUTE_WITH_DELAY = 4        # for messages with a delay
    ROUTE_BY_EXCHANGE = 8       # nothing but the exchange counts

    EXTRA_HEADERS = 0
    EXTRA_CC = 1
    EXTRA_BCC = 2
    EXTRA_COUNT = 3


cdef struct CachedRoute:
    uint64_t hash               # 0: free
    void *way                   # Way, owned; NULL: the exchange's routes depend on headers, look again with them
    uint8_t *key
    uint32_t since              # when it was last known to hold: the low bits of the stamps' now
    uint16_t key_bytes


cdef struct RouteCache:
    CachedRoute *entries
    CachedRoute *last           # found most recently
    uint32_t capacity           # a power of two; 0: nothing remembered yet
    uint32_t count
    uint32_t era                # the high bits of `since` of all entries


cdef struct Extra:
    const uint8_t *data
    uint32_t bytes


# The key of a route: pieces of a publish, not copied. What does not count is empty. The vhost is the channel's, the same
# for all of its table.
cdef struct RouteKey:
    uint64_t vhost              # hash_of_vhost
    const uint8_t *exchange
    const uint8_t *routing_key
    uint8_t exchange_bytes
    uint8_t routing_key_bytes
    uint8_t kind
    Extra extras[EXTRA_COUNT]   # looked at for ROUTE_BY_HEADERS and ROUTE_BY_COPIES


# NULL where nothing is remembered that still holds.
cdef CachedRoute *find_route(RouteCache *cache, const RouteKey *key, const Stamps *stamps) noexcept
# `way` None: see CachedRoute; right as of `since`. The key must not be in the table. Does nothing where it is too long to
# be kept, or where too many others are in its place.
cdef int remember_route(
    RouteCache *cache, const RouteKey *key, Way way, const Stamps *stamps, uint64_t since) except -1
# Brings what find_route looks at first for such a key into the cache, and says where it is; then what that points to.
cdef uint32_t expect_route(
    const RouteCache *cache, const uint8_t *exchange, uint8_t exchange_bytes, const uint8_t *routing_key,
    uint8_t routing_key_bytes) noexcept
cdef void expected_route(const RouteCache *cache, uint32_t place) noexcept
cdef void forget_routes(RouteCache *cache) noexcept
