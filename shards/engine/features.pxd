"""What a queue does beyond keeping messages in order: settings, and the state that they need. See features.pyx.

A plain queue has none of this (Queue.features is NULL), and pays one test of that pointer.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from shards.engine.burial_state cimport DeadLetters
from shards.engine.delayed_heap cimport DelayedHeap
from shards.engine.ready_ring cimport ReadyRing
from shards.engine.returned_heap cimport ReturnedHeap
from shards.engine.stream cimport Stream
from shards.engine.window cimport Window

cdef extern from *:
    """
    #define WARREN_UNLIMITED UINT64_C(0xFFFFFFFFFFFFFFFF)
    """
    const uint64_t UNLIMITED "WARREN_UNLIMITED"        # of a length; as a time: never

cdef enum:
    # Features.overflow
    OVERFLOW_DROP_HEAD = 0
    OVERFLOW_REJECT = 1
    OVERFLOW_REJECT_DLX = 2

    # Features.queue_type
    TYPE_CLASSIC = 0
    TYPE_QUORUM = 1
    TYPE_STREAM = 2

    # Features.backoff_returns
    BACKOFF_FAILED = 1
    BACKOFF_GIVEN_BACK = 2
    # Features.backoff_factor
    BACKOFF_LINEAR = 0

    NO_TIMER = 0


# The messages of one priority.
cdef struct Lane:
    ReadyRing ready
    ReturnedHeap returned


# Of a priority queue: a lane per priority, and which of them are not empty.
cdef struct Lanes:
    uint32_t count                  # x-max-priority + 1
    uint64_t messages
    uint64_t filled[4]              # a bit per lane
    Lane lane[1]                    # as many as count says


cdef struct Features:
    # settings
    uint8_t queue_type
    uint8_t overflow
    bint keeps_all                  # every message goes to the disk
    bint single_active              # one consumer at a time
    uint64_t message_ttl_ms         # NO_TTL: none
    uint64_t expires_ms             # UNLIMITED: none
    uint64_t max_length             # UNLIMITED: none
    uint64_t delivery_limit         # UNLIMITED: none
    uint64_t consumer_timeout_ms    # UNLIMITED: none
    uint64_t backoff_min_ms         # 0: what comes back is ready at once
    uint64_t backoff_max_ms
    double backoff_factor           # BACKOFF_LINEAR: min times the number of deliveries
    uint8_t backoff_returns         # BACKOFF_*: which returns have to wait
    uint64_t max_length_bytes       # UNLIMITED: none
    # state
    void *active                    # Consumer: the single active one, or NULL
    bint counts_bytes               # ready_bytes is kept
    uint64_t ready_bytes            # of the bodies that are ready
    Lanes *lanes                    # NULL: no priorities
    Stream *stream                  # NULL: no stream; else it has all the messages
    DelayedHeap delayed             # messages that are not ready before a time
    Window *window                  # ids of the messages that it has had; NULL: it takes duplicates
    DeadLetters *letters            # NULL: no dead-letter exchange
    uint64_t used_at_ms             # last time that counts for expires_ms
    uint64_t timer_at_ms            # when the queue is to be looked at, not later than anything is due
    uint32_t timer_place            # in the engine's heap of timers, from 1; NO_TIMER: not in there


cdef Features *new_features() except NULL
cdef void free_features(Features *features) noexcept
cdef Lanes *new_lanes(uint32_t count) except NULL
cdef uint64_t features_memory_bytes(const Features *features) noexcept


cdef inline bint limits_length(const Features *features) noexcept:
    return features.max_length != UNLIMITED or features.max_length_bytes != UNLIMITED
