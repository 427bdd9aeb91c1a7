# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The confirm tracker: from watermarks of shards to the fewest basic.ack frames.

Two structures, both plain memory, both sized by what is in flight:

- a PublishWindow per channel counts, for each unanswered publish sequence number, the records that
  shards have not answered yet; what is answered from its start on is acked with one frame;
- a RunQueue per shard and level remembers which numbers of which channel rode in which batch. As
  batches are numbered in order, a watermark takes runs from the front and looks at nothing else:
  its cost is what it confirms, however many channels wait.

A run names its channel by handle, so a channel that was closed since is passed over. Nothing
here renders a frame or knows a shard's state.
"""
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

cdef enum:
    FIRST_CAPACITY = 16
    KEPT_CAPACITY_MAX = 1024        # a larger ring is given back when it is empty


cdef int grow_window(PublishWindow *window) except -1:
    cdef uint32_t capacity = window.capacity * 2 if window.capacity else FIRST_CAPACITY
    cdef uint16_t *grown = <uint16_t *> malloc(capacity * sizeof(uint16_t))
    cdef uint64_t number
    if grown == NULL:
        raise MemoryError()
    for number in range(window.base, window.next):
        grown[number & (capacity - 1)] = window.remaining[number & (window.capacity - 1)]
    free(window.remaining)
    window.remaining = grown
    window.capacity = capacity
    return 0


cdef uint64_t open_publish(PublishWindow *window, uint16_t records) except 0:
    """Gives the next number to a publish that `records` records are to answer for (0: answered now)."""
    cdef uint64_t number
    if window.next - window.base >= window.capacity:
        grow_window(window)
    number = window.next
    window.remaining[number & (window.capacity - 1)] = records
    window.next = number + 1
    return number


cdef void answer(PublishWindow *window, uint64_t first, uint32_t count) noexcept nogil:
    """One record of each of these publishes is where it must be."""
    cdef uint64_t number = first if first > window.base else window.base
    cdef uint64_t end = first + count
    cdef uint16_t *remaining
    if end > window.next:
        end = window.next
    while number < end:
        remaining = &window.remaining[number & (window.capacity - 1)]
        if remaining[0] != 0 and remaining[0] != REFUSED_MARK:
            remaining[0] -= 1
        number += 1


cdef bint refuse(PublishWindow *window, uint64_t number) noexcept nogil:
    """A record of this publish was not kept. True the first time, while the client has no answer yet."""
    cdef uint16_t *remaining
    if number < window.base or number >= window.next:
        return False
    remaining = &window.remaining[number & (window.capacity - 1)]
    if remaining[0] == REFUSED_MARK or remaining[0] == 0:
        return False
    remaining[0] = REFUSED_MARK
    return True


cdef Answered take_answered(PublishWindow *window) noexcept nogil:
    """Moves the window past its answered start. Refused numbers were nacked before and are not counted."""
    cdef Answered answered
    cdef uint16_t remaining
    answered.last = 0
    answered.count = 0
    while window.base < window.next:
        remaining = window.remaining[window.base & (window.capacity - 1)]
        if remaining == 0:
            answered.last = window.base
            answered.count += 1
        elif remaining != REFUSED_MARK:
            break
        window.base += 1
    if window.base == window.next and window.capacity > KEPT_CAPACITY_MAX:
        free_window(window)
    return answered


cdef void free_window(PublishWindow *window) noexcept nogil:
    free(window.remaining)
    window.remaining = NULL
    window.capacity = 0
    window.base = window.next


cdef int push_run(RunQueue *queue, uint64_t batch, uint32_t channel, uint64_t number) except -1:
    """The publish `number` of `channel` rides in `batch`, which is not lower than any before."""
    cdef Run *run
    cdef uint32_t capacity, first_part
    cdef Run *grown
    if queue.count:
        run = &queue.runs[(queue.head + queue.count - 1) & (queue.capacity - 1)]
        if run.batch == batch and run.channel == channel and run.first + run.count == number and run.count < 0xFFFFFFFF:
            run.count += 1
            return 0
    if queue.count == queue.capacity:
        capacity = queue.capacity * 2 if queue.capacity else FIRST_CAPACITY
        grown = <Run *> malloc(capacity * sizeof(Run))
        if grown == NULL:
            raise MemoryError()
        if queue.count:
            first_part = queue.capacity - queue.head
            memcpy(grown, queue.runs + queue.head, first_part * sizeof(Run))
            memcpy(grown + first_part, queue.runs, queue.head * sizeof(Run))
        free(queue.runs)
        queue.runs = grown
        queue.head = 0
        queue.capacity = capacity
    run = &queue.runs[(queue.head + queue.count) & (queue.capacity - 1)]
    run.batch = batch
    run.first = number
    run.count = 1
    run.channel = channel
    queue.count += 1
    return 0


cdef void free_runs(RunQueue *queue) noexcept nogil:
    free(queue.runs)
    queue.runs = NULL
    queue.head = queue.count = queue.capacity = 0
