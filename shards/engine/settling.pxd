"""What becomes of delivered messages: acked, rejected, put back. See settling.pyx."""
from libc.stdint cimport uint16_t, uint64_t, uintptr_t

from shards.engine.state cimport OWNER_IS_QUEUE, Channel, Consumer, EngineState, Queue
from shards.engine.unacked_ring cimport UnackedItem


cdef int settle(EngineState engine, Channel *channel, uint64_t sequence, bint multiple, uint16_t outcome) except -1
cdef int requeue_all(EngineState engine, Channel *channel, uint16_t outcome) except -1
cdef int requeue_consumer(EngineState engine, Channel *channel, const Consumer *consumer) except -1
cdef int forget_queue(EngineState engine, Channel *channel, Queue *queue) except -1


cdef inline Queue *queue_of(const UnackedItem *item) noexcept:
    """The queue that an unsettled item came from."""
    if item.owner & OWNER_IS_QUEUE:
        return <Queue *> (item.owner & ~<uintptr_t> OWNER_IS_QUEUE)
    return (<Consumer *> item.owner).queue
