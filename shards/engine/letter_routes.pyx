# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Routes of dead letters: asked of Python (shards/dead_letters.py) for keys not seen since a route was touched.

What is asked is EngineState.letter_router, an object with

    version                                 an integer, another one whenever an answer may be another
    route(queue_id, exchange, keys, properties)
        of a queue of this shard, its dead-letter exchange (bytes), the routing keys (list of bytes, the first of
        them the message's own) and properties that are None or the letter's. Answers with an object that has
        source (the queue's name, bytes), local [(queue id, name)], remote [(shard, queue id, name)] and
        by_message: True where the answer depends on the properties, and they were None.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, strlen

from amqp091.property_edit cimport Scratch, clear_scratch, extend, put_bytes
from amqp091.scanner cimport ContentHeader, Field, find_field, next_field
from log.store cimport Message
from shards.engine.burial_state cimport OWN_SHARD, DeadLetters, LetterRoute, LetterRoutes, LetterTarget

cdef enum:
    # Routing keys are the clients' to choose: beyond these the memory starts anew.
    ROUTES_MAX = 1 << 16
    ROUTES_BYTES_MAX = 64 << 20
    FIRST_CAPACITY = 64
    NAME_BYTES_MAX = 255
    LENGTH_BYTES = 4


# -- keys

cdef int put_key(Scratch *keys, const uint8_t *key, size_t key_bytes) except -1:
    cdef uint32_t length = <uint32_t> key_bytes
    put_bytes(keys, &length, LENGTH_BYTES)
    return put_bytes(keys, key, key_bytes)


cdef int put_copies(Scratch *keys, const ContentHeader *header, const char *name) except -1:
    """The routing keys in CC or BCC."""
    cdef Field array, key
    cdef size_t at = 0
    if find_field(header.headers, header.headers_bytes, name, strlen(name), &array) and array.letter == c"A":
        while next_field(array.value, array.value_bytes, False, &at, &key):
            if key.letter == c"S":
                put_key(keys, key.value, key.value_bytes)
    return 0


cdef int collect_keys(Scratch *keys, const DeadLetters *letters, const Message *message,
                      const ContentHeader *header) except -1:
    """Each with its length before it."""
    clear_scratch(keys)
    if letters.keyed:
        return put_key(keys, letters.text + letters.exchange_bytes, letters.key_bytes)
    put_key(keys, message.content + message.exchange_bytes, message.routing_key_bytes)
    if header.headers != NULL:
        put_copies(keys, header, "CC")
        put_copies(keys, header, "BCC")
    return 0


cdef list key_list(const uint8_t *keys, size_t keys_bytes):
    cdef uint32_t length
    cdef size_t at = 0
    found = []
    while at < keys_bytes:
        memcpy(&length, keys + at, LENGTH_BYTES)
        at += LENGTH_BYTES
        found.append(<bytes> (<const char *> keys + at)[:length])
        at += length
    return found


# -- the memory

cdef inline uint32_t hash_of(uint32_t queue_id, const uint8_t *keys, size_t keys_bytes) noexcept:
    """FNV-1a."""
    cdef uint32_t value = <uint32_t> 2166136261 ^ queue_id * <uint32_t> 0x9E3779B1
    cdef size_t i
    for i in range(keys_bytes):
        value = (value ^ keys[i]) * <uint32_t> 16777619
    return value ^ value >> 15


cdef void forget_routes(LetterRoutes *routes) noexcept:
    cdef uint32_t i
    for i in range(routes.capacity):
        free(routes.places[i])
    free(routes.places)
    routes.places = NULL
    routes.capacity = routes.count = 0
    routes.bytes = 0
    routes.made += 1


cdef int remember(LetterRoutes *routes, LetterRoute *route) except -1:
    cdef LetterRoute **places
    cdef uint32_t capacity, i
    if routes.count >= ROUTES_MAX or routes.bytes + route.size_bytes > ROUTES_BYTES_MAX:
        forget_routes(routes)
    if (routes.count + 1) * 2 > routes.capacity:
        capacity = routes.capacity * 2 if routes.capacity else FIRST_CAPACITY
        places = <LetterRoute **> calloc(capacity, sizeof(LetterRoute *))
        if places == NULL:
            raise MemoryError()
        for i in range(routes.capacity):
            if routes.places[i] != NULL:
                put_route(places, capacity, routes.places[i])
        free(routes.places)
        routes.places = places
        routes.capacity = capacity
    put_route(routes.places, routes.capacity, route)
    routes.count += 1
    routes.bytes += route.size_bytes
    return 0


cdef void put_route(LetterRoute **places, uint32_t capacity, LetterRoute *route) noexcept:
    cdef uint32_t i = route.hash & (capacity - 1)
    while places[i] != NULL:
        i = (i + 1) & (capacity - 1)
    places[i] = route


# -- asking

cdef LetterRoute *made(uint32_t queue_id, uint32_t hash_value, const uint8_t *keys, size_t keys_bytes,
                       object answer) except NULL:
    """What Python answered, as one piece of memory."""
    cdef list targets = [(OWN_SHARD, queue_id, name) for queue_id, name in answer.local]
    cdef LetterRoute *route
    cdef LetterTarget *target
    cdef uint8_t *text
    cdef bytes source = answer.source
    cdef bytes name
    cdef size_t size_bytes
    targets.extend(answer.remote)
    if len(source) > NAME_BYTES_MAX or any([len(name) > NAME_BYTES_MAX for _, _, name in targets]):
        raise ValueError("a queue's name has at most 255 bytes")
    size_bytes = (
        sizeof(LetterRoute) + len(targets) * sizeof(LetterTarget) + keys_bytes + len(source)
        + sum([len(name) for _, _, name in targets])
    )
    route = <LetterRoute *> malloc(size_bytes)
    if route == NULL:
        raise MemoryError()
    text = <uint8_t *> &route.targets[len(targets)]
    route.hash = hash_value
    route.queue_id = queue_id
    route.target_count = <uint32_t> len(targets)
    route.remote_count = <uint32_t> len(answer.remote)
    route.by_message = answer.by_message
    route.circle_told = False
    route.size_bytes = size_bytes
    route.keys = text
    route.keys_bytes = keys_bytes
    memcpy(text, keys, keys_bytes)
    text += keys_bytes
    route.source = text
    route.source_bytes = <uint8_t> len(source)
    memcpy(text, <const char *> source, len(source))
    text += len(source)
    target = route.targets
    for shard, target_id, name in targets:
        target.shard = shard
        target.queue_id = target_id
        target.name = text
        target.name_bytes = <uint8_t> len(name)
        memcpy(text, <const char *> name, len(name))
        text += len(name)
        target += 1
    return route


cdef LetterRoute *asked(EngineState engine, Queue *queue, uint32_t hash_value, const uint8_t *keys, size_t keys_bytes,
                        bytes properties) except NULL:
    cdef DeadLetters *letters = queue.features.letters
    exchange = <bytes> (<const char *> letters.text)[:letters.exchange_bytes]
    return made(
        queue.queue_id, hash_value, keys, keys_bytes,
        engine.letter_router.route(queue.queue_id, exchange, key_list(keys, keys_bytes), properties))


cdef inline bint is_by_key(const LetterRoute *route, const uint8_t *key, size_t key_bytes) noexcept:
    """Whether the route is for this routing key alone."""
    cdef uint32_t length
    if route.keys_bytes != LENGTH_BYTES + key_bytes:
        return False
    memcpy(&length, route.keys, LENGTH_BYTES)
    return length == key_bytes and memcmp(route.keys + LENGTH_BYTES, key, key_bytes) == 0


cdef inline LetterRoute *recent_route(EngineState engine, const DeadLetters *letters, const Message *message,
                                      const ContentHeader *header) noexcept:
    """That of the queue's last letter, where it is this one's; or NULL."""
    if letters.recent == NULL or letters.routes_made != engine.burying.routes.made:
        return NULL
    if letters.keyed:
        return letters.recent
    # copies would be keys, too
    if header.headers == NULL and is_by_key(
            letters.recent, message.content + message.exchange_bytes, message.routing_key_bytes):
        return letters.recent
    return NULL


cdef LetterRoute *find_route(EngineState engine, Queue *queue, const Message *message,
                             const ContentHeader *header) except NULL:
    cdef LetterRoutes *routes = &engine.burying.routes
    cdef Scratch *keys = &engine.burying.keys
    cdef LetterRoute *route = recent_route(engine, queue.features.letters, message, header)
    if route != NULL:
        return route
    collect_keys(keys, queue.features.letters, message, header)
    route = known_route(engine, queue, routes, keys)
    queue.features.letters.recent = route
    queue.features.letters.routes_made = routes.made
    return route


cdef LetterRoute *known_route(EngineState engine, Queue *queue, LetterRoutes *routes, const Scratch *keys) except NULL:
    """By its keys; asked for where it is not."""
    cdef LetterRoute *route
    cdef uint32_t hash_value = hash_of(queue.queue_id, keys.data, keys.used)
    cdef uint32_t i
    if routes.capacity:
        i = hash_value & (routes.capacity - 1)
        while routes.places[i] != NULL:
            route = routes.places[i]
            if (
                route.hash == hash_value and route.queue_id == queue.queue_id and route.keys_bytes == keys.used
                and memcmp(route.keys, keys.data, keys.used) == 0
            ):
                return route
            i = (i + 1) & (routes.capacity - 1)
    route = asked(engine, queue, hash_value, keys.data, keys.used, None)
    try:
        remember(routes, route)
    except MemoryError:
        free(route)
        raise
    return route


cdef LetterRoute *ask_for_message(EngineState engine, Queue *queue, const LetterRoute *route,
                                  const Message *letter) except NULL:
    cdef const uint8_t *properties = letter.content + letter.exchange_bytes + letter.routing_key_bytes
    return asked(
        engine, queue, route.hash, route.keys, route.keys_bytes,
        <bytes> (<const char *> properties)[:letter.properties_bytes])
