"""Where messages go: routes, and forks on the way to them. See routes.pyx."""
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from topology.choice cimport Choice


cdef enum:
    # when a queue keeps a message on the disk
    TARGET_KEEPS_NONE = 0
    TARGET_KEEPS_PERSISTENT = 1
    TARGET_KEEPS_ALL = 2


# The queues of one route on one shard that get the message at the same time: one PUBLISH record.
cdef struct RouteGroup:
    uint32_t shard
    uint32_t first_queue
    uint16_t queue_count
    uint8_t durable             # TARGET_KEEPS_*, the most of any of them
    bint delayed                # behind an x-delayed-message exchange, for a message with a delay


cdef inline bint waits_for_disk(const RouteGroup *group, bint persistent) noexcept nogil:
    return group.durable == TARGET_KEEPS_ALL or persistent and group.durable == TARGET_KEEPS_PERSISTENT


# What a channel remembers and the hook answers: a Route, or a Fork on the way to one.
cdef class Way:
    cdef bint is_fork


cdef class Route(Way):
    cdef RouteGroup *groups
    cdef uint32_t group_count
    cdef uint32_t *queue_ids
    cdef RouteGroup only_group          # of a route to one queue, as nearly all are: beside the pointers to it
    cdef uint32_t only_queue
    cdef bint has_delayed
    cdef bint returns_mandatory         # a mandatory message is returned although it has somewhere to go
    cdef tuple now_targets              # from here on: not looked at per message
    cdef tuple delayed_targets


cdef class Fork(Way):
    cdef readonly Choice choice
    cdef readonly tuple path            # the choices made on the way to this one
    cdef list ways                      # by index: Way, or None where nothing is remembered
    cdef uint32_t remembered            # of a first fork: ways of all that lie behind it

    # Where the way leads, from now on. `first` is the fork that this one lies behind, or itself.
    cdef int remember(self, uint32_t index, Way way, Fork first) except -1
