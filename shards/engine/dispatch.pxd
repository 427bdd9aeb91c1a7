"""From queues to consumers, and to basic.get. See dispatch.pyx."""
from libc.stdint cimport uint32_t

from bus.records cimport DeliverRecord
from log.store cimport Entry, Message
from shards.engine.state cimport Channel, Consumer, EngineState, Gateway, Queue, ready_count


cdef bint can_take(EngineState engine, Consumer *consumer) noexcept
cdef DeliverRecord *append_deliver(EngineState engine, Gateway *gateway, Queue *queue, const Entry *entry,
                                   const Message *message, const Entry *stored) except NULL
cdef Consumer *next_consumer(EngineState engine, Queue *queue) noexcept
cdef int deliver(EngineState engine, Consumer *consumer, Entry *entry, const Message *message) except -1
cdef int deliver_unstored(EngineState engine, Consumer *consumer, const Message *message) except -1
cdef bint worth_lending(const Consumer *consumer, const Message *message) noexcept
cdef int dispatch_queue(EngineState engine, Queue *queue) except -1
cdef int dispatch_touched(EngineState engine) except -1
cdef bint get_one(EngineState engine, Queue *queue, Channel *channel, uint32_t request_id, bint no_ack) except -1


cdef inline bint delivered_at_once(EngineState engine, Queue *queue, Entry *entry, const Message *message) except -1:
    """Whether a message that was just stored is a consumer's, as none waits before it and one can take it."""
    cdef Consumer *consumer
    if queue.open == NULL or ready_count(queue):
        return False
    consumer = next_consumer(engine, queue)
    if consumer == NULL:
        return False
    deliver(engine, consumer, entry, message)
    if consumer.no_ack:
        engine.store.acked(entry)
        queue.acknowledged += 1
    return True
