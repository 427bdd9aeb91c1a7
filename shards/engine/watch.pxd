"""What a channel needs so that deliveries which are not settled in time are found. See consumer_timeout.pyx."""
from libc.stdint cimport uint32_t, uint64_t


# What had been delivered by then.
cdef struct Checkpoint:
    uint64_t at_ms                  # of the engine's own clock
    uint64_t sequence               # delivery sequence


cdef struct Watch:
    void *channel                   # Channel
    Watch *next
    Watch *previous
    uint64_t timeout_ms             # the least of its queues
    bint told                       # that the channel is to be closed
    Checkpoint *checkpoints         # ascending
    uint32_t count
    uint32_t capacity


cdef void free_watch(Watch *watch) noexcept
