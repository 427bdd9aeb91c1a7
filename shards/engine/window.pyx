# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The ring and the table of remembered ids. See window.pxd. Knows nothing of time, limits and the log."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

cdef enum:
    FIRST_CAPACITY = 16
    HEADER_BYTES_MAX = 255


cdef Window *new_window(const uint8_t *header, size_t header_bytes) except NULL:
    """An empty one; no header where header_bytes is 0."""
    cdef Window *window
    if header_bytes > HEADER_BYTES_MAX:
        raise ValueError(f"a header's name has at most {HEADER_BYTES_MAX} bytes")
    window = <Window *> calloc(1, sizeof(Window))
    if window == NULL:
        raise MemoryError()
    if header_bytes:
        window.header = <char *> malloc(header_bytes)
        if window.header == NULL:
            free(window)
            raise MemoryError()
        memcpy(window.header, header, header_bytes)
        window.rule.header = window.header
        window.rule.header_bytes = <uint8_t> header_bytes
    return window


cdef void free_window(Window *window) noexcept:
    if window != NULL:
        free(window.header)
        free(window.known)
        free(window.places)
        free(window)


cdef inline uint32_t place_of(const Window *window, const Identifier *identifier) noexcept:
    """Where its search begins. It is a hash already."""
    return <uint32_t> identifier.low & (2 * window.capacity - 1)


cdef inline bint same(const Identifier *one, const Identifier *other) noexcept:
    return one.low == other.low and one.high == other.high


cdef KnownIdentifier *find_identifier(const Window *window, const Identifier *identifier) noexcept:
    """The remembered id, or NULL."""
    cdef uint32_t place
    cdef KnownIdentifier *known
    if window.count == 0:
        return NULL
    place = place_of(window, identifier)
    while window.places[place]:
        known = &window.known[window.places[place] - 1]
        if same(&known.identifier, identifier):
            return known
        place = (place + 1) & (2 * window.capacity - 1)
    return NULL


cdef void enter(Window *window, uint32_t index) noexcept:
    cdef uint32_t place = place_of(window, &window.known[index].identifier)
    while window.places[place]:
        place = (place + 1) & (2 * window.capacity - 1)
    window.places[place] = index + 1


cdef int grow(Window *window) except -1:
    cdef uint32_t capacity = window.capacity * 2 if window.capacity else FIRST_CAPACITY
    cdef KnownIdentifier *known = <KnownIdentifier *> malloc(capacity * sizeof(KnownIdentifier))
    cdef uint32_t *places = <uint32_t *> calloc(2 * <size_t> capacity, sizeof(uint32_t))
    cdef uint32_t i
    if known == NULL or places == NULL:
        free(known)
        free(places)
        raise MemoryError()
    for i in range(window.count):
        known[i] = window.known[(window.first + i) & (window.capacity - 1)]
    free(window.known)
    free(window.places)
    window.known = known
    window.places = places
    window.capacity = capacity
    window.first = 0
    for i in range(window.count):
        enter(window, i)
    return 0


cdef int push_identifier(Window *window, const KnownIdentifier *known) except -1:
    """The newest one, which is not in there."""
    cdef uint32_t index
    if window.count == window.capacity:
        grow(window)
    index = (window.first + window.count) & (window.capacity - 1)
    window.known[index] = known[0]
    window.count += 1
    enter(window, index)
    return 0


cdef void drop_oldest(Window *window) noexcept:
    """Only where count is not 0."""
    cdef uint32_t mask = 2 * window.capacity - 1
    cdef uint32_t hole = place_of(window, &window.known[window.first].identifier)
    cdef uint32_t place, home
    while window.places[hole] != window.first + 1:
        hole = (hole + 1) & mask
    # Whatever was put off its place by it, or by one that was, moves up.
    place = hole
    while True:
        place = (place + 1) & mask
        if window.places[place] == 0:
            break
        home = place_of(window, &window.known[window.places[place] - 1].identifier)
        if ((place - home) & mask) >= ((place - hole) & mask):
            window.places[hole] = window.places[place]
            hole = place
    window.places[hole] = 0
    window.first = (window.first + 1) & (window.capacity - 1)
    window.count -= 1


cdef uint64_t window_memory_bytes(const Window *window) noexcept:
    return sizeof(Window) + window.rule.header_bytes + window.capacity * (
        sizeof(KnownIdentifier) + 2 * sizeof(uint32_t))
