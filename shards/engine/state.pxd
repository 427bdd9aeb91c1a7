"""What a shard keeps per queue, consumer, channel, connection and gateway. See state.pyx."""
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t

from amqp091.property_edit cimport Scratch
from bus.batch cimport Batch
from log.store cimport Entry, Store
from shards.engine.burial_state cimport Burying
from shards.engine.features cimport Features
from shards.engine.ready_ring cimport ReadyRing
from shards.engine.relay_window cimport RelayWindow
from shards.engine.returned_heap cimport ReturnedHeap
from shards.engine.stream cimport Reader
from shards.engine.tables cimport HandleTable, QueueTable
from shards.engine.unacked_ring cimport UnackedRing
from shards.engine.watch cimport Watch


cdef struct Consumer
cdef struct Channel
cdef struct Connection
cdef struct Gateway
cdef struct Level


# Consumers in a circle, in the order of their turns. A consumer is in one list at most:
# available of its level (it may be given a message, as far as is known), standby of its
# level (another one is active), or waiting of its channel (no credit), of its connection
# (window full) or of its gateway (link full); in none while its prefetch is used up.
# Of a stream also: caught_up of its level, or resting of the engine.
cdef struct ConsumerList:
    Consumer *first


# The consumers of a queue that have the same priority; gone with the last of them.
cdef struct Level:
    int64_t priority
    uint32_t consumer_count
    uint32_t asking                 # consumers whose channel asks for credit: levels below wait for the answer
    ConsumerList available
    ConsumerList standby            # of a queue with a single active consumer
    ConsumerList caught_up          # of a stream: have read all that is on the disk
    Level *lower                    # the next priority below


# What every message looks at stands first: QUEUE_HOT_BYTES of it are brought into the cache (expecting.pyx).
cdef struct Queue:
    uint32_t queue_id
    uint32_t consumer_count
    bint durable
    bint auto_delete
    bint touched                    # in the engine's list: may have something to dispatch
    bint flooded                    # gateways know that it fills faster than it can be emptied
    Features *features              # NULL: a plain queue
    Level *open                     # the highest with a consumer in available, or NULL
    Level *levels                   # by priority, the highest first
    uint64_t next_number
    uint64_t published              # this and what is delivered and acknowledged: since the process was started
    ReadyRing ready                 # of a queue without priorities, see ready.pxd
    ReturnedHeap returned           # goes before everything in ready
    uint64_t delivered              # to consumers and gets
    uint64_t delivered_bytes        # of bodies, to consumers
    uint64_t acknowledged
    uint64_t unacked
    uint64_t redelivered
    Queue *touched_next
    Queue *touched_previous
    Consumer *exclusive_consumer
    Consumer *consumers             # all of them, see Consumer.queue_next
    # see flood.pyx
    uint64_t measured_at_ms         # since then what consumers take is counted
    uint64_t measured_delivered     # delivered, at that time
    uint64_t measured_bytes         # delivered_bytes, at that time
    uint64_t flood_begins           # more ready messages than that outrun its fast consumers; 0: they are not fast
    uint64_t waiting_flood_begins   # the same for others that wait for their connections; 0: WAITING_FLOOD_BEGINS_MESSAGES


cdef struct Consumer:
    uint32_t handle
    uint32_t prefetch               # 0: no limit
    uint32_t unacked
    bint no_ack
    bint cancelled                  # kept until its last message is settled
    bint asking                     # counted in its level's asking
    bint fading                     # active, but gives way as soon as it has settled what it holds
    uint64_t arrival                # of a queue with a single active consumer: the order in which they came
    Queue *queue                    # outlives it: a queue that goes takes its consumers and their messages along
    Level *level                    # of the queue; NULL once it is cancelled
    Channel *channel
    Reader *reader                  # of a stream: where it is; NULL once it is cancelled
    ConsumerList *listed            # where next and previous belong to
    Consumer *next
    Consumer *previous
    Consumer *channel_next          # all live consumers of the channel
    Consumer *channel_previous
    Consumer *queue_next            # all live consumers of the queue
    Consumer *queue_previous


cdef struct Channel:
    uint32_t handle
    Gateway *gateway
    Connection *connection          # NULL until the gateway has named it
    Channel *connection_next
    Channel *connection_previous
    Consumer *consumers
    UnackedRing unacked
    uint64_t delivery_sequence      # the last one given
    bint limited                    # a channel-wide prefetch: dispatches on credit alone
    bint paused                     # channel.flow: nothing is dispatched at all
    uint64_t credit
    uint64_t wanted                 # asked for and not granted yet
    bint asking                     # for what is wanted, and the gateway has not answered: it may have plenty or none
    ConsumerList waiting
    Watch *watch                    # NULL unless it holds messages that are to be settled in time
    bint in_wanting                 # in the engine's lists of channels whose credit is to be looked at
    bint in_credited
    Channel *wanting_next
    Channel *credited_next


cdef struct Connection:
    uint32_t handle
    Gateway *gateway
    Channel *channels
    uint64_t delivered_bytes        # DELIVER records, ever
    uint64_t credited_bytes         # of these, gone from the gateway
    ConsumerList waiting


# Who sends batches: a gateway, or another shard that hands messages over and has no channels.
cdef struct Gateway:
    uint32_t index
    bint congested                  # the link is full
    bint borrows                    # it can read the files of the log
    uint64_t lent_bytes             # of bodies that the outgoing batch names, see lending.pyx
    HandleTable connections
    HandleTable channels
    HandleTable consumers
    ConsumerList waiting
    void *outgoing                  # Batch, borrowed: EngineState.batches owns it
    void *loans                     # Loans, borrowed: EngineState.loans owns it


# Another shard, as one that this one hands messages over to: relay.pxd.
cdef struct RelayTarget:
    bint up
    bint awaited                    # somebody was told that it is not ready
    uint64_t next_batch             # the number that the outgoing batch will get
    RelayWindow window
    uint64_t taken                  # messages, by answer, since the process was started
    uint64_t refused
    uint64_t lost
    void *outgoing                  # Batch, borrowed: EngineState.relay_batches owns it


cdef enum:
    # Owners of an unacked item: a Consumer, or a Queue with this bit.
    OWNER_IS_QUEUE = 1
    # More than this in one turn waits for the next one: a gateway works while the shard does.
    OUTGOING_TURN_BYTES_MAX = 1 << 19
    # Of the messages handed to another shard: 0 is no publish sequence number.
    FIRST_SEQUENCE = 1
    # of a Queue, up to `unacked`
    QUEUE_HOT_BYTES = 152


cdef class EngineState:
    cdef readonly Store store
    cdef readonly uint32_t sender_count         # gateways, then shards
    cdef readonly uint32_t shard_count
    cdef public uint64_t now_ms
    cdef Gateway *gateways
    cdef list batches
    cdef list loans                             # by sender, see lending.pyx
    cdef readonly uint64_t loan_count           # batches under way that name bodies in the log
    cdef RelayTarget *targets                   # by shard
    cdef list relay_batches
    cdef bint relay_closed                      # nothing more is handed over
    cdef QueueTable queues
    cdef Queue *touched_first
    cdef Queue *touched_last
    cdef ConsumerList resting                   # of streams: look for more in the next dispatch
    cdef Queue *unsynced                        # streams with messages that are not on the disk yet
    cdef Channel *wanting
    cdef Channel *credited
    cdef Queue *recent                          # of the last publish
    # of one publish, as long as the largest seen
    cdef uint32_t scratch_capacity
    cdef Queue **scratch_queues
    cdef uint32_t *scratch_ids
    cdef uint64_t *scratch_numbers
    cdef uint32_t *scratch_attributes
    cdef Entry *scratch_entries
    cdef Scratch scratch_properties             # of the message that is delivered again
    # the smallest record that the disk had no room for in this batch, by durability
    cdef size_t refused_bytes[2]
    cdef readonly object refusal                # the last OSError of an append
    cdef readonly uint64_t refused_count        # messages refused
    cdef readonly uint64_t dropped_count        # messages without any queue that exists
    # Something was taken since this was last taken back that is only a duplicate of what the log has: whoever is told
    # that it is safe has to wait until everything appended so far is on the disk.
    cdef bint leans_on_log
    # By publishes, since these were last taken back: a confirm; one that need not wait for the disk.
    cdef bint confirm_asked
    cdef bint early_confirm_asked
    cdef Queue **timers                         # a heap from place 1, see timers.pyx
    cdef uint32_t timer_count
    cdef uint32_t timer_capacity
    cdef list expired_queues                    # ids of queues that nobody has used for their x-expires
    cdef uint64_t last_arrival                  # of a consumer, see single_active.pyx
    cdef bint attaching                         # gateways are attaching the consumers that they had before
    # consumer_timeout.pyx: the channels that are watched, and when they are looked at
    cdef Watch *watches
    cdef uint64_t look_at_ms                    # wall clock
    cdef uint64_t looked_at_ms
    cdef uint64_t look_clock_ms                 # the time that it counts by
    cdef list deserted_queues                   # ids of auto-delete queues that lost their last consumer by it
    cdef uint64_t deaths[4]                     # by reason, see dying.pxd
    cdef dict moves                             # under way to other shards, by number; see moving.pyx
    cdef uint64_t move_number
    cdef Burying burying                        # see burying.pyx
    cdef public object letter_router            # see letter_routes.pyx; None: no queue has a dead-letter exchange

    # what the relay tells whoever handed messages over: relay.pxd
    cpdef int relayed(self, uint32_t shard, uint64_t ticket, int answer) except -1
    cpdef int relay_opened(self, uint32_t shard) except -1


cdef int grow_scratch(EngineState engine, uint32_t queue_count) except -1
cdef void free_queue(Queue *queue) noexcept


cdef inline uint64_t ready_count(const Queue *queue) noexcept:
    if queue.features != NULL:
        if queue.features.lanes != NULL:
            return queue.features.lanes.messages
        if queue.features.stream != NULL:
            return queue.features.stream.count
    return queue.ready.count + queue.returned.count


cdef inline Batch outgoing_of(const Gateway *gateway):
    return <Batch> gateway.outgoing


cdef inline uint64_t outgoing_bytes(const Gateway *gateway) noexcept:
    """What the gateway is about to get, wherever it lies."""
    return (<Batch> gateway.outgoing).size + gateway.lent_bytes


# -- lists of consumers

cdef inline void open_next(Queue *queue) noexcept:
    """The open level has nobody left who is available."""
    cdef Level *level = queue.open.lower
    while level != NULL and level.available.first == NULL:
        level = level.lower
    queue.open = level


cdef inline void unlist(Consumer *consumer) noexcept:
    """Out of whatever list it is in."""
    cdef ConsumerList *place = consumer.listed
    if place == NULL:
        return
    if consumer.next == consumer:
        place.first = NULL
        if place == &consumer.level.available and consumer.level == consumer.queue.open:
            open_next(consumer.queue)
    else:
        consumer.next.previous = consumer.previous
        consumer.previous.next = consumer.next
        if place.first == consumer:
            place.first = consumer.next
    consumer.listed = NULL


cdef inline void enlist(Consumer *consumer, ConsumerList *place) noexcept:
    """At the end of a list, out of any other."""
    cdef Consumer *first
    unlist(consumer)
    first = place.first
    if first == NULL:
        consumer.next = consumer.previous = consumer
        place.first = consumer
    else:
        consumer.next = first
        consumer.previous = first.previous
        first.previous.next = consumer
        first.previous = consumer
    consumer.listed = place


# -- queues with something to dispatch

cdef inline void touch(EngineState engine, Queue *queue) noexcept:
    if queue.touched:
        return
    queue.touched = True
    queue.touched_next = NULL
    queue.touched_previous = engine.touched_last
    if engine.touched_last == NULL:
        engine.touched_first = queue
    else:
        engine.touched_last.touched_next = queue
    engine.touched_last = queue


cdef inline void untouch(EngineState engine, Queue *queue) noexcept:
    if not queue.touched:
        return
    queue.touched = False
    if queue.touched_previous == NULL:
        engine.touched_first = queue.touched_next
    else:
        queue.touched_previous.touched_next = queue.touched_next
    if queue.touched_next == NULL:
        engine.touched_last = queue.touched_previous
    else:
        queue.touched_next.touched_previous = queue.touched_previous


cdef inline void make_available(EngineState engine, Consumer *consumer) noexcept:
    """Something that held it back has changed; whether another thing does shows when its turn comes."""
    cdef Queue *queue = consumer.queue
    if consumer.asking:
        consumer.asking = False
        consumer.level.asking -= 1
    enlist(consumer, &consumer.level.available)
    if queue.open == NULL or consumer.level.priority > queue.open.priority:
        queue.open = consumer.level
    if ready_count(queue):
        touch(engine, queue)


cdef inline void wake(EngineState engine, ConsumerList *waiting) noexcept:
    while waiting.first != NULL:
        make_available(engine, waiting.first)
