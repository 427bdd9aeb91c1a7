# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The table in which a channel remembers routes.

Its key is (exchange, routing key), or the exchange alone where that says it all, and also, where they count, the
encoded headers table and the further routing keys of CC and BCC. A change of the topology makes it forget what the
change may have touched (route_stamps.pyx): an entry when it is next looked at, or when the table is about to grow. It
starts over when it is full: a publisher with more distinct keys pays the Python side's lookup, never memory. Full is
ROUTES_MAX routes, or ROUTES_MODEST where the channels of the process remember ROUTES_ALL_MAX together. Keys are hashed
with a seed per process, and one that finds PLACES_MAX places taken is not remembered, so keys that were made to collide
cost no more than others that are always new.

It never decides where a message goes: that is the hook ChannelCore.route.
"""
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy

from bus.cache cimport fetch_ahead, fetch_bytes_ahead
from gateway.core.hashing cimport HASH_SEED, hash_piece, same_bytes
from gateway.core.route_stamps cimport Stamps, exchange_holds, key_holds

cdef enum:
    FIRST_CAPACITY = 8
    # 110 bytes each with its key, in a table that is half full at most
    ROUTES_MAX = 1 << 16
    ROUTES_MODEST = 1 << 10
    ROUTES_ALL_MAX = 1 << 18
    PLACES_MAX = 256                    # far above the longest run of taken places that chance makes
    EXTRA_BYTES_MAX = 512               # of headers, CC and BCC together: with more a message is routed each time
    ROUTE_HAS_EXTRAS = ROUTE_BY_HEADERS | ROUTE_BY_COPIES
    ROUTE_BY_MORE_THAN_KEY = ROUTE_HAS_EXTRAS | ROUTE_BY_EXCHANGE
    LENGTH_BYTES = 4
    ROUTE_BYTES = 88                    # of a Route, what each message looks at

# for tests
ROUTES_PER_CHANNEL_MAX = ROUTES_MAX
PLACES_LOOKED_AT_MAX = PLACES_MAX

cdef uint64_t remembered = 0            # by all channels of the process


def routes_remembered():
    """By all channels of the process."""
    return remembered


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
        and same_bytes(stored + 2, key.exchange, key.exchange_bytes)
        and stored[2 + key.exchange_bytes] == key.routing_key_bytes
        and same_bytes(stored + 3 + key.exchange_bytes, key.routing_key, key.routing_key_bytes)
        and (not key.kind & ROUTE_HAS_EXTRAS or same_extras(stored + names_bytes, stored + entry.key_bytes, key))
    )


cdef bint holds(RouteCache *cache, CachedRoute *entry, const RouteKey *key, const Stamps *stamps) noexcept:
    """Whether nothing has touched the route since it was last known to hold; if so, it is known to hold now."""
    cdef uint64_t since = <uint64_t> cache.era << 32 | entry.since
    if (
        exchange_holds(stamps, since, key.vhost, key.exchange, key.exchange_bytes)
        if key.kind & ROUTE_BY_MORE_THAN_KEY else
        key_holds(
            stamps, since, key.vhost, key.exchange, key.exchange_bytes, key.routing_key, key.routing_key_bytes)
    ):
        entry.since = <uint32_t> stamps.now
        return True
    return False


cdef CachedRoute *find_route(RouteCache *cache, const RouteKey *key, const Stamps *stamps) noexcept:
    cdef CachedRoute *found
    cdef uint64_t hashed
    cdef uint32_t i
    cdef int places
    if cache.count == 0:
        return NULL
    if cache.last == NULL or not same_key(cache.last, key):
        hashed = hash_key(key)
        i = <uint32_t> (hashed >> 20) & (cache.capacity - 1)
        found = NULL
        for places in range(PLACES_MAX):
            if cache.entries[i].hash == 0:
                break
            if cache.entries[i].hash == hashed and same_key(&cache.entries[i], key):
                found = &cache.entries[i]
                break
            i = (i + 1) & (cache.capacity - 1)
        if found == NULL:
            return NULL
        cache.last = found
    if cache.last.since != <uint32_t> stamps.now or cache.era != <uint32_t> (stamps.now >> 32):
        if cache.era != <uint32_t> (stamps.now >> 32):
            forget_routes(cache)
            return NULL
        if not holds(cache, cache.last, key, stamps):
            remove_entry(cache, <uint32_t> (cache.last - cache.entries))
            return NULL
    return cache.last


cdef uint32_t expect_route(
    const RouteCache *cache, const uint8_t *exchange, uint8_t exchange_bytes, const uint8_t *routing_key,
    uint8_t routing_key_bytes
) noexcept:
    cdef uint32_t place
    cdef uint64_t hashed
    if cache.capacity == 0:
        return 0
    hashed = hash_piece(hash_piece(HASH_SEED, exchange, exchange_bytes), routing_key, routing_key_bytes) | 1
    place = <uint32_t> (hashed >> 20) & (cache.capacity - 1)
    fetch_ahead(&cache.entries[place])
    return place


cdef void expected_route(const RouteCache *cache, uint32_t place) noexcept:
    if place < cache.capacity and cache.entries[place].hash:
        fetch_ahead(cache.entries[place].key)
        fetch_bytes_ahead(cache.entries[place].way, ROUTE_BYTES)


cdef void remove_entry(RouteCache *cache, uint32_t hole) noexcept:
    """Those that found its place taken move up."""
    cdef uint32_t mask = cache.capacity - 1
    cdef uint32_t i = (hole + 1) & mask
    cdef uint32_t home
    forget_entry(&cache.entries[hole])
    while cache.entries[i].hash:
        home = <uint32_t> (cache.entries[i].hash >> 20) & mask
        if ((i - home) & mask) >= ((i - hole) & mask):
            cache.entries[hole] = cache.entries[i]
            hole = i
        i = (i + 1) & mask
    cache.entries[hole].hash = 0
    cache.count -= 1
    cache.last = NULL


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


cdef void read_key(const CachedRoute *entry, RouteKey *key) noexcept:
    """Of the stored one, what `holds` looks at."""
    key.kind = entry.key[0]
    key.exchange_bytes = entry.key[1]
    key.exchange = entry.key + 2
    key.routing_key_bytes = entry.key[2 + key.exchange_bytes]
    key.routing_key = entry.key + 3 + key.exchange_bytes


cdef int make_room(RouteCache *cache, uint64_t vhost, const Stamps *stamps) except -1:
    """Forgets what does not hold any more; where much is left, the table doubles."""
    cdef uint32_t capacity = cache.capacity if cache.capacity else FIRST_CAPACITY
    cdef uint32_t i, kept = 0
    cdef CachedRoute *entries
    cdef CachedRoute *place
    cdef RouteKey key
    key.vhost = vhost
    for i in range(cache.capacity):
        if cache.entries[i].hash:
            read_key(&cache.entries[i], &key)
            if holds(cache, &cache.entries[i], &key, stamps):
                kept += 1
            else:
                forget_entry(&cache.entries[i])
                cache.entries[i].hash = 0
    cache.count = kept
    cache.last = NULL
    if kept * 4 > cache.capacity:
        capacity *= 2
    entries = <CachedRoute *> calloc(capacity, sizeof(CachedRoute))
    if entries == NULL:
        forget_routes(cache)                # there may be gaps where others are looked for
        raise MemoryError()
    for i in range(cache.capacity):
        if cache.entries[i].hash:
            place = free_entry(entries, capacity, cache.entries[i].hash)
            if place == NULL:
                forget_entry(&cache.entries[i])
                cache.count -= 1
            else:
                place[0] = cache.entries[i]
    free(cache.entries)
    cache.entries = entries
    cache.capacity = capacity
    return 0


cdef int remember_route(
    RouteCache *cache, const RouteKey *key, Way way, const Stamps *stamps, uint64_t since
) except -1:
    """`way` None: routes of this exchange are to be looked up with the headers. The key must not be in the table."""
    cdef uint32_t key_bytes = 3 + <uint32_t> key.exchange_bytes + key.routing_key_bytes
    cdef uint64_t extra_bytes = 0
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
    if (
        cache.count >= ROUTES_MAX or (cache.count >= ROUTES_MODEST and remembered >= ROUTES_ALL_MAX)
        or cache.era != <uint32_t> (since >> 32)
    ):
        forget_routes(cache)
    if cache.count * 2 >= cache.capacity:
        make_room(cache, key.vhost, stamps)
    cache.era = <uint32_t> (since >> 32)
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
    entry.key_bytes = <uint16_t> key_bytes      # 1,038 at most
    entry.since = <uint32_t> since
    entry.way = NULL
    if way is not None:
        Py_INCREF(way)
        entry.way = <void *> <PyObject *> way
    cache.count += 1
    remembered += 1
    cache.last = entry
    return 0


cdef void forget_routes(RouteCache *cache) noexcept:
    """Forgets all and gives the memory back."""
    cdef uint32_t i
    for i in range(cache.capacity):
        if cache.entries[i].hash:
            forget_entry(&cache.entries[i])
    free(cache.entries)
    cache.entries = NULL
    cache.last = NULL
    cache.capacity = 0
    cache.count = 0
