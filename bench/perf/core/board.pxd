"""The words that the processes of a run share, for compiled code. See board.pyx."""
from libc.stdint cimport uint64_t

cdef enum:
    # head of the board; written by the coordinator
    PHASE = 0
    STARTED_NS = 1
    WINDOW_START_NS = 2
    WINDOW_END_NS = 3
    HEAD_WORDS = 8

    # phases, in their order
    PHASE_SETUP = 0
    PHASE_CONSUME = 1                   # consumers start
    PHASE_RUN = 2                       # producers start
    PHASE_STOP = 3                      # producers end, consumers go on
    PHASE_DONE = 4                      # everybody closes

    # counters of a worker; written by it
    PUBLISHED = 0
    CONFIRMED = 1
    NACKED = 2
    RETURNED = 3
    DELIVERED = 4
    REDELIVERED = 5
    ACKNOWLEDGED = 6
    EXPECTED = 7                        # deliveries that the publishes lead to, by their routes
    DUPLICATES = 8
    OUT_OF_ORDER = 9
    MISROUTED = 10
    FOREIGN = 11
    BAD_CONFIRMS = 12
    BLOCKED_EVENTS = 13
    BLOCKED_NS = 14
    LAST_PUBLISH_NS = 15                # when the broker had read everything of a producer
    LAST_CONFIRM_NS = 16
    LAST_DELIVERY_NS = 17
    CONSUMING = 18                      # consumers that were told consume-ok, one per queue
    PRODUCERS_DONE = 19
    CYCLES = 20                         # of churn
    LAST_CYCLE_NS = 21
    READY = 22                          # 1: all connections are open
    BLOCKED_NOW = 23                    # connections that the broker holds back
    REPLIED = 24                        # requests that were answered: of a client to a server, or basic.get
    EMPTY = 25                          # basic.get to which the broker had no message
    LAST_REPLY_NS = 26
    COUNTER_WORDS = 64


cdef class Board:
    cdef object owner
    cdef Py_buffer view
    cdef uint64_t *head
    cdef uint64_t *counters
    cdef uint64_t *latency
    cdef uint64_t *confirm_latency
    cdef uint64_t *reply_latency


cdef inline bint in_window(Board board, uint64_t time_ns) noexcept:
    return board.head[WINDOW_START_NS] <= time_ns <= board.head[WINDOW_END_NS]
