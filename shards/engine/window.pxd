"""The ids that a queue remembers, in the order in which they came: a ring of 32 bytes an id, and a table over it.

The table is open addressing over places of the ring, twice as many as these, so it costs another 8 bytes an id.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from shards.engine.identifier cimport Identifier, IdentifierRule


cdef struct KnownIdentifier:
    Identifier identifier
    uint64_t known_at_ms
    uint32_t segment                # where it is in the log, as in an Entry
    uint32_t slot


cdef struct Window:
    # settings
    IdentifierRule rule
    char *header                    # owned: rule.header
    uint32_t window_queue_id        # under which the log keeps the ids
    uint32_t identifiers_max
    uint64_t window_ms              # UNLIMITED: none
    # state
    KnownIdentifier *known          # a ring
    uint32_t *places                # index in the ring + 1, 0: free; 2 * capacity of them
    uint32_t capacity               # a power of two, or 0
    uint32_t first                  # the oldest
    uint32_t count
    bint identified                 # the message under way has this id, which is not known yet
    Identifier identifier
    uint64_t duplicates             # since the process was started


cdef Window *new_window(const uint8_t *header, size_t header_bytes) except NULL
cdef void free_window(Window *window) noexcept
cdef KnownIdentifier *find_identifier(const Window *window, const Identifier *identifier) noexcept
cdef int push_identifier(Window *window, const KnownIdentifier *known) except -1
cdef void drop_oldest(Window *window) noexcept
cdef uint64_t window_memory_bytes(const Window *window) noexcept


cdef inline KnownIdentifier *oldest(const Window *window) noexcept:
    """Only where count is not 0."""
    return &window.known[window.first]
