# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Routes, and the table in which a channel remembers them.

A Route is immutable and says which queues of which shards get a message. The table's key is
(exchange, routing key) and, for exchanges whose routes depend on headers, the encoded headers
table as well. It holds ROUTES_MAX routes and starts over when it is full: a publisher with more
distinct keys pays the Python side's lookup, never memory. Keys are hashed with a seed per
process; a table this small stays harmless even where every key collides.

It never decides where a message goes: that is the hook ChannelCore.route.
"""
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy

import os

cdef enum:
    FIRST_CAPACITY = 8
    CAPACITY_MAX = 2048
    ROUTES_MAX = CAPACITY_MAX // 2
    KEY_HEADERS_BYTES_MAX = 512         # a longer headers table is routed each time
    QUEUES_PER_RECORD_MAX = 65535

KEEPS_ALL = TARGET_KEEPS_ALL

cdef uint64_t HASH_SEED = int.from_bytes(os.urandom(8), "little") | 1
cdef uint64_t HASH_FACTOR = 0x9FB21C651E98DF25


cdef class Route:
    def __cinit__(self, targets=(), bint returns_mandatory=False):
        cdef dict by_shard = {}
        cdef list queues
        cdef uint32_t group = 0, position = 0, queue_total = 0, chunk
        self.returns_mandatory = returns_mandatory
        for shard, queue_id, durable in targets:
            if not 0 <= queue_id <= 0xFFFFFFFF:
                raise ValueError(f"queue id {queue_id} does not fit 32 bits")
            by_shard.setdefault(shard, []).append((queue_id, durable))
            queue_total += 1
        self.durable_queues = tuple((shard, queue, durable) for shard in by_shard for queue, durable in by_shard[shard])
        for shard in by_shard:
            if not 0 <= shard <= 0xFFF:
                raise ValueError(f"shard {shard} is out of range")
            self.group_count += (len(by_shard[shard]) + QUEUES_PER_RECORD_MAX - 1) // QUEUES_PER_RECORD_MAX
        if not queue_total:
            return
        self.groups = <RouteGroup *> calloc(self.group_count, sizeof(RouteGroup))
        self.queue_ids = <uint32_t *> malloc(queue_total * sizeof(uint32_t))
        if self.groups == NULL or self.queue_ids == NULL:
            raise MemoryError()
        for shard, queues in by_shard.items():
            while queues:
                chunk = min(len(queues), QUEUES_PER_RECORD_MAX)
                self.groups[group].shard = shard
                self.groups[group].first_queue = position
                self.groups[group].queue_count = <uint16_t> chunk
                for queue_id, durable in queues[:chunk]:
                    self.queue_ids[position] = queue_id
                    position += 1
                    if durable:
                        self.groups[group].durable = True
                    if durable == TARGET_KEEPS_ALL:
                        self.groups[group].keeps_all = True
                queues = queues[chunk:]
                group += 1

    def __dealloc__(self):
        free(self.groups)
        free(self.queue_ids)

    @property
    def targets(self):
        return list(self.durable_queues)

    def __repr__(self):
        return f"Route({list(self.durable_queues)!r})"


cdef inline uint64_t hash_piece(uint64_t value, const uint8_t *piece, uint32_t n) noexcept nogil:
    cdef uint64_t word
    while n >= 8:
        memcpy(&word, piece, 8)
        value = (value ^ word) * HASH_FACTOR
        value ^= value >> 29
        piece += 8
        n -= 8
    word = <uint64_t> n + 1
    while n:
        n -= 1
        word = word << 8 | piece[n]
    value = (value ^ word) * HASH_FACTOR
    return value ^ value >> 32


cdef uint64_t hash_key(const RouteKey *key) noexcept nogil:
    cdef uint64_t value = HASH_SEED + key.kind
    value = hash_piece(value, key.exchange, key.exchange_bytes)
    value = hash_piece(value, key.routing_key, key.routing_key_bytes)
    if key.kind == ROUTE_BY_HEADERS:
        value = hash_piece(value, key.headers, key.headers_bytes)
    return value | 1


cdef bint same_key(const CachedRoute *entry, const RouteKey *key) noexcept nogil:
    """The stored key: kind, length of the exchange, exchange, length of the routing key, routing key, headers."""
    cdef const uint8_t *stored = entry.key
    cdef uint32_t headers_bytes = key.headers_bytes if key.kind == ROUTE_BY_HEADERS else 0
    return (
        entry.key_bytes == 3 + <uint32_t> key.exchange_bytes + key.routing_key_bytes + headers_bytes
        and stored[0] == key.kind
        and stored[1] == key.exchange_bytes
        and memcmp(stored + 2, key.exchange, key.exchange_bytes) == 0
        and stored[2 + key.exchange_bytes] == key.routing_key_bytes
        and memcmp(stored + 3 + key.exchange_bytes, key.routing_key, key.routing_key_bytes) == 0
        and (headers_bytes == 0
             or memcmp(stored + 3 + key.exchange_bytes + key.routing_key_bytes, key.headers, headers_bytes) == 0)
    )


cdef CachedRoute *find_route(RouteCache *cache, const RouteKey *key) noexcept:
    cdef uint64_t hashed
    cdef uint32_t i
    if cache.count == 0:
        return NULL
    if cache.last != NULL and same_key(cache.last, key):
        return cache.last
    hashed = hash_key(key)
    i = <uint32_t> (hashed >> 20) & (cache.capacity - 1)
    while cache.entries[i].hash:
        if cache.entries[i].hash == hashed and same_key(&cache.entries[i], key):
            cache.last = &cache.entries[i]
            return cache.last
        i = (i + 1) & (cache.capacity - 1)
    return NULL


cdef CachedRoute *free_entry(CachedRoute *entries, uint32_t capacity, uint64_t hashed) noexcept:
    cdef uint32_t i = <uint32_t> (hashed >> 20) & (capacity - 1)
    while entries[i].hash:
        i = (i + 1) & (capacity - 1)
    return &entries[i]


cdef int grow(RouteCache *cache) except -1:
    cdef uint32_t capacity = cache.capacity * 2 if cache.capacity else FIRST_CAPACITY
    cdef CachedRoute *grown = <CachedRoute *> calloc(capacity, sizeof(CachedRoute))
    cdef uint32_t i
    if grown == NULL:
        raise MemoryError()
    for i in range(cache.capacity):
        if cache.entries[i].hash:
            free_entry(grown, capacity, cache.entries[i].hash)[0] = cache.entries[i]
    free(cache.entries)
    cache.entries = grown
    cache.capacity = capacity
    cache.last = NULL
    return 0


cdef int remember_route(RouteCache *cache, const RouteKey *key, Route route) except -1:
    """`route` None: routes of this exchange are to be looked up with the headers. The key must not be in the table."""
    cdef uint32_t headers_bytes = key.headers_bytes if key.kind == ROUTE_BY_HEADERS else 0
    cdef uint32_t key_bytes = 3 + <uint32_t> key.exchange_bytes + key.routing_key_bytes + headers_bytes
    cdef uint64_t version = cache.version
    cdef CachedRoute *entry
    cdef uint8_t *stored
    if headers_bytes > KEY_HEADERS_BYTES_MAX:
        return 0
    if cache.count == ROUTES_MAX:
        forget_routes(cache)
        cache.version = version
    if cache.count * 2 >= cache.capacity:
        grow(cache)
    stored = <uint8_t *> malloc(key_bytes)
    if stored == NULL:
        raise MemoryError()
    stored[0] = key.kind
    stored[1] = key.exchange_bytes
    memcpy(stored + 2, key.exchange, key.exchange_bytes)
    stored[2 + key.exchange_bytes] = key.routing_key_bytes
    memcpy(stored + 3 + key.exchange_bytes, key.routing_key, key.routing_key_bytes)
    if headers_bytes:
        memcpy(stored + 3 + key.exchange_bytes + key.routing_key_bytes, key.headers, headers_bytes)
    entry = free_entry(cache.entries, cache.capacity, hash_key(key))
    entry.hash = hash_key(key)
    entry.key = stored
    entry.key_bytes = key_bytes
    entry.route = NULL
    if route is not None:
        Py_INCREF(route)
        entry.route = <void *> <PyObject *> route
    cache.count += 1
    cache.last = entry
    return 0


cdef void forget_routes(RouteCache *cache) noexcept:
    """Forgets all and gives the memory back; `version` is the caller's to set."""
    cdef uint32_t i
    for i in range(cache.capacity):
        if cache.entries[i].hash:
            free(cache.entries[i].key)
            if cache.entries[i].route != NULL:
                Py_DECREF(<object> <PyObject *> cache.entries[i].route)
    free(cache.entries)
    cache.entries = NULL
    cache.last = NULL
    cache.capacity = 0
    cache.count = 0
