"""Routes and where a channel remembers them. See routes.pyx."""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


# The queues of one route on one shard: one PUBLISH record.
cdef struct RouteGroup:
    uint32_t shard
    uint32_t first_queue
    uint16_t queue_count
    bint durable                # one of them at least
    bint keeps_all              # one of them at least has every message on the disk, whatever its delivery mode


cdef class Route:
    cdef RouteGroup *groups
    cdef uint32_t group_count
    cdef uint32_t *queue_ids
    cdef tuple durable_queues
    cdef bint returns_mandatory         # a mandatory message is returned although it has somewhere to go


cdef enum:
    # of a target: on the disk is nothing, what is persistent, all
    TARGET_KEEPS_ALL = 2


cdef inline bint waits_for_disk(const RouteGroup *group, bint persistent) noexcept nogil:
    return group.keeps_all or persistent and group.durable


cdef enum:
    # what a remembered route is for, a part of its key
    ROUTE_BY_KEY = 0
    ROUTE_BY_HEADERS = 1


cdef struct CachedRoute:
    uint64_t hash               # 0: free
    void *route                 # Route, owned; NULL: the exchange's routes depend on headers, look again with them
    uint8_t *key
    uint32_t key_bytes


cdef struct RouteCache:
    CachedRoute *entries
    CachedRoute *last           # found most recently
    uint32_t capacity           # a power of two; 0: nothing remembered yet
    uint32_t count
    uint64_t version


# The key of a route: pieces of a publish, not copied.
cdef struct RouteKey:
    const uint8_t *exchange
    const uint8_t *routing_key
    const uint8_t *headers
    uint8_t exchange_bytes
    uint8_t routing_key_bytes
    uint8_t kind
    uint32_t headers_bytes


cdef CachedRoute *find_route(RouteCache *cache, const RouteKey *key) noexcept
cdef int remember_route(RouteCache *cache, const RouteKey *key, Route route) except -1
cdef void forget_routes(RouteCache *cache) noexcept
