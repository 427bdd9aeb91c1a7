# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The table in which a channel remembers routes.

Its key is (exchange, routing key), or the exchange alone where that says it all, and also, where they count, the
encoded headers table and the further routing keys of CC and BCC. It starts over when it is full: a publisher with more
distinct keys pays the Python side's lookup, never memory. Full is ROUTES_MAX routes, or ROUTES_MODEST where the channels
of the process remember ROUTES_ALL_MAX together. Keys are hashed with a seed per process, and one that finds PLACES_MAX
places taken is not remembered, so keys that were made to collide cost no more than others that are always new.

It never decides where a message goes: that is the hook ChannelCore.route.
"""
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy

import os

cdef enum:
    FIRST_CAPACITY = 8
    # 110 bytes each with its key, in a table that is half full at most
    ROUTES_MAX = 1 << 16
    ROUTES_MODEST = 1 << 10
    ROUTES_ALL_MAX = 1 << 18
    PLACES_MAX = 256                    # far above the longest run of taken places that chance makes
    EXTRA_BYTES_MAX = 512               # of headers, CC and BCC together: with more a message is routed each time
    ROUTE_HAS_EXTRAS = ROUTE_BY_HEADERS | ROUTE_BY_COPIES
    LENGTH_BYTES = 4

# for tests
ROUTES_PER_CHANNEL_MAX = ROUTES_MAX
PLACES_LOOKED_AT_MAX = PLACES_MAX

cdef uint64_t HASH_SEED = int.from_bytes(os.urandom(8), "little") | 1
cdef uint64_t HASH_FACTOR = 0x9FB21C651E98DF25
cdef uint64_t remembered = 0            # by all channels of the process


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
    cdef int i
    value = hash_piece(value, key.exchange, key.exchange_bytes)
    value = hash_piece(value, key.routing_key, key.routing_key_bytes)
    if key.kind & ROUTE_HAS_EXTRAS:
        for i in range(EXTRA_COUNT):
            value = hash_piece(value, key.extras[i].data, key.extras[i].bytes)
    return value | 1


cdef bint same_extras(const uint8_t *stored, const uint8_t *end, const RouteKey *key) noexcept nogil:
    """The rest of a stored key: length and bytes of each extra."""
    cdef uint32_t n
    cdef int i
    for i in range(EXTRA_COUNT):
        n = key.extras[i].bytes
        if <size_t> (end - stored) < LENGTH_BYTES + <size_t> n or memcmp(stored, &n, LENGTH_BYTES) != 0:
            return False
        if n and memcmp(stored + LENGTH_BYTES, key.extras[i].data, n) != 0:
            return False
        stored += LENGTH_BYTES + n
    return stored == end


cdef bint same_key(const CachedRoute *entry, const RouteKey *key) noexcept nogil:
    """The stored key: kind, length of the exchange, exchange, length of the routing key, routing key, extras."""
    cdef const uint8_t *stored = entry.key
    cdef uint32_t names_bytes = 3 + <uint32_t> key.exchange_bytes + key.routing_key_bytes
    return (
        stored[0] == key.kind
        and stored[1] == key.exchange_bytes
        and (entry.key_bytes == names_bytes or (key.kind & ROUTE_HAS_EXTRAS and entry.key_bytes > names_bytes))
        and memcmp(stored + 2, key.exchange, key.exchange_bytes) == 0
        and stored[2 + key.exchange_bytes] == key.routing_key_bytes
        and memcmp(stored + 3 + key.exchange_bytes, key.routing_key, key.routing_key_bytes) == 0
        and (not key.kind & ROUTE_HAS_EXTRAS or same_extras(stored + names_bytes, stored + entry.key_bytes, key))
    )


cdef CachedRoute *find_route(RouteCache *cache, const RouteKey *key) noexcept:
    cdef uint64_t hashed
    cdef uint32_t i
    cdef int places
    if cache.count == 0:
        return NULL
    if cache.last != NULL and same_key(cache.last, key):
        return cache.last
    hashed = hash_key(key)
    i = <uint32_t> (hashed >> 20) & (cache.capacity - 1)
    for places in range(PLACES_MAX):
        if cache.entries[i].hash == 0:
            break
        if cache.entries[i].hash == hashed and same_key(&cache.entries[i], key):
            cache.last = &cache.entries[i]
            return cache.last
        i = (i + 1) & (cache.capacity - 1)
    return NULL


cdef CachedRoute *free_entry(CachedRoute *entries, uint32_t capacity, uint64_t hashed) noexcept:
    """Where a route with this hash goes; NULL where too many places are taken."""
    cdef uint32_t i = <uint32_t> (hashed >> 20) & (capacity - 1)
    cdef int places
    for places in range(PLACES_MAX):
        if entries[i].hash == 0:
            return &entries[i]
        i = (i + 1) & (capacity - 1)
    return NULL


cdef void forget_entry(CachedRoute *entry) noexcept:
    global remembered
    free(entry.key)
    if entry.way != NULL:
        Py_DECREF(<object> <PyObject *> entry.way)
    remembered -= 1


cdef int grow(RouteCache *cache) except -1:
    cdef uint32_t capacity = cache.capacity * 2 if cache.capacity else FIRST_CAPACITY
    cdef CachedRoute *grown = <CachedRoute *> calloc(capacity, sizeof(CachedRoute))
    cdef CachedRoute *place
    cdef uint32_t i
    if grown == NULL:
        raise MemoryError()
    for i in range(cache.capacity):
        if cache.entries[i].hash:
            place = free_entry(grown, capacity, cache.entries[i].hash)
            if place == NULL:
                forget_entry(&cache.entries[i])
                cache.count -= 1
            else:
                place[0] = cache.entries[i]
    free(cache.entries)
    cache.entries = grown
    cache.capacity = capacity
    cache.last = NULL
    return 0


cdef int remember_route(RouteCache *cache, const RouteKey *key, Way way) except -1:
    """`way` None: routes of this exchange are to be looked up with the headers. The key must not be in the table."""
    cdef uint32_t key_bytes = 3 + <uint32_t> key.exchange_bytes + key.routing_key_bytes
    cdef uint64_t extra_bytes = 0
    cdef uint64_t version = cache.version
    cdef uint64_t hashed = hash_key(key)
    cdef CachedRoute *entry
    cdef uint8_t *stored
    cdef uint8_t *place
    cdef int i
    global remembered
    if key.kind & ROUTE_HAS_EXTRAS:
        for i in range(EXTRA_COUNT):
            extra_bytes += key.extras[i].bytes
        if extra_bytes > EXTRA_BYTES_MAX:
            return 0
        key_bytes += <uint32_t> extra_bytes + EXTRA_COUNT * LENGTH_BYTES
    if cache.count >= ROUTES_MAX or (cache.count >= ROUTES_MODEST and remembered >= ROUTES_ALL_MAX):
        forget_routes(cache)
        cache.version = version
    if cache.count * 2 >= cache.capacity:
        grow(cache)
    entry = free_entry(cache.entries, cache.capacity, hashed)
    if entry == NULL:
        return 0
    stored = <uint8_t *> malloc(key_bytes)
    if stored == NULL:
        raise MemoryError()
    stored[0] = key.kind
    stored[1] = key.exchange_bytes
    memcpy(stored + 2, key.exchange, key.exchange_bytes)
    stored[2 + key.exchange_bytes] = key.routing_key_bytes
    place = stored + 3 + key.exchange_bytes
    memcpy(place, key.routing_key, key.routing_key_bytes)
    place += key.routing_key_bytes
    if key.kind & ROUTE_HAS_EXTRAS:
        for i in range(EXTRA_COUNT):
            memcpy(place, &key.extras[i].bytes, LENGTH_BYTES)
            place += LENGTH_BYTES
            if key.extras[i].bytes:
                memcpy(place, key.extras[i].data, key.extras[i].bytes)
                place += key.extras[i].bytes
    entry.hash = hashed
    entry.key = stored
    entry.key_bytes = key_bytes
    entry.way = NULL
    if way is not None:
        Py_INCREF(way)
        entry.way = <void *> <PyObject *> way
    cache.count += 1
    remembered += 1
    cache.last = entry
    return 0


cdef void forget_routes(RouteCache *cache) noexcept:
    """Forgets all and gives the memory back; `version` is the caller's to set."""
    cdef uint32_t i
    for i in range(cache.capacity):
        if cache.entries[i].hash:
            forget_entry(&cache.entries[i])
    free(cache.entries)
    cache.entries = NULL
    cache.last = NULL
    cache.capacity = 0
    cache.count = 0
