"""Confirms: which publishes of a channel are unanswered, and what awaits a watermark of a shard. See confirms.pyx."""
from libc.stdint cimport uint16_t, uint32_t, uint64_t

cdef enum:
    # how far a shard must have come with the batch
    LEVEL_PROCESSED = 0
    LEVEL_DURABLE = 1
    LEVEL_COUNT = 2

    REFUSED_MARK = 0xFFFF


# Per channel: the publish sequence numbers from base up to next are unanswered. A ring of
# how many records of each are still unanswered by shards; REFUSED_MARK: nacked already.
cdef struct PublishWindow:
    uint64_t base
    uint64_t next               # the number of the next publish; 0: confirms are off
    uint16_t *remaining
    uint32_t capacity           # a power of two


# The part of the window that was answered by one call of take_answered.
cdef struct Answered:
    uint64_t last               # highest number to be acked
    uint64_t count              # how many are acked; 0: none


# Publishes of one channel, numbered one after the other, in one batch.
cdef struct Run:
    uint64_t batch
    uint64_t first
    uint32_t count
    uint32_t channel            # handle


# Per shard and level: runs in the order of their batches, a ring.
cdef struct RunQueue:
    Run *runs
    uint32_t head
    uint32_t count
    uint32_t capacity           # a power of two


cdef uint64_t open_publish(PublishWindow *window, uint16_t records) except 0
cdef void answer(PublishWindow *window, uint64_t first, uint32_t count) noexcept nogil
cdef bint refuse(PublishWindow *window, uint64_t number) noexcept nogil
cdef Answered take_answered(PublishWindow *window) noexcept nogil
cdef void free_window(PublishWindow *window) noexcept nogil

cdef int push_run(RunQueue *queue, uint64_t batch, uint32_t channel, uint64_t number) except -1
cdef void free_runs(RunQueue *queue) noexcept nogil


cdef inline Run *first_run(const RunQueue *queue) noexcept nogil:
    return &queue.runs[queue.head] if queue.count else NULL


cdef inline void drop_first_run(RunQueue *queue) noexcept nogil:
    queue.head = (queue.head + 1) & (queue.capacity - 1)
    queue.count -= 1
