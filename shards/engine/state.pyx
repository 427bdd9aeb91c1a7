# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The memory of the engine: its structures, made and freed. Decides nothing.

Queues, consumers, channels and connections are plain C structures that point to one
another; EngineState owns them all. See state.pxd.
"""
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from amqp091.property_edit cimport free_scratch
from bus.batch cimport Batch
from log.store cimport Entry, Store
from shards.engine.burial_state cimport free_burying
from shards.engine.features cimport UNLIMITED, free_features
from shards.engine.lending cimport Loans
from shards.engine.memory cimport resized
from shards.engine.ready_ring cimport free_ready
from shards.engine.relay_window cimport free_window
from shards.engine.returned_heap cimport free_returned
from shards.engine.stream cimport free_reader
from shards.engine.tables cimport free_handles, free_queues
from shards.engine.unacked_ring cimport free_unacked
from shards.engine.watch cimport free_watch

cdef enum:
    FIRST_SCRATCH = 16


cdef class EngineState:
    """See the module."""

    def __init__(self, Store store not None, uint32_t gateway_count, uint32_t shard_count=0):
        """Batches come from gateways, senders 0 on, and from shards, senders gateway_count on."""
        cdef uint32_t i, sender_count = gateway_count + shard_count
        self.store = store
        self.batches = [Batch() for _ in range(sender_count)]
        self.loans = [Loans() for _ in range(sender_count)]
        self.relay_batches = [Batch() for _ in range(shard_count)]
        self.gateways = <Gateway *> calloc(max(1, sender_count), sizeof(Gateway))
        if self.gateways == NULL:
            raise MemoryError()
        self.expired_queues = []
        self.deserted_queues = []
        self.sender_count = sender_count
        self.targets = <RelayTarget *> calloc(max(1, shard_count), sizeof(RelayTarget))
        if self.targets == NULL:
            raise MemoryError()
        self.shard_count = shard_count
        for i in range(shard_count):
            self.targets[i].window.first = self.targets[i].window.next = FIRST_SEQUENCE
            self.targets[i].outgoing = <void *> self.relay_batches[i]
        for i in range(sender_count):
            self.gateways[i].index = i
            self.gateways[i].outgoing = <void *> self.batches[i]
            self.gateways[i].loans = <void *> self.loans[i]
        self.moves = {}
        self.burying.waiting_until_ms = UNLIMITED
        self.burying.routes_version = -1
        grow_scratch(self, FIRST_SCRATCH)

    def __dealloc__(self):
        cdef uint32_t i
        for i in range(self.queues.capacity):
            if self.queues.places[i].queue != NULL:
                free_queue(<Queue *> self.queues.places[i].queue)
        free_queues(&self.queues)
        for i in range(self.sender_count):
            free_gateway(&self.gateways[i])
        free(self.gateways)
        for i in range(self.shard_count):
            free_window(&self.targets[i].window)
        free(self.targets)
        free(self.scratch_queues)
        free(self.scratch_ids)
        free(self.scratch_numbers)
        free(self.scratch_attributes)
        free(self.timers)
        free(self.scratch_entries)
        free_scratch(&self.scratch_properties)
        free_burying(&self.burying)

    cpdef int relayed(self, uint32_t shard, uint64_t ticket, int answer) except -1:
        raise RuntimeError(f"nobody knows the message {ticket} that was handed to shard {shard}")

    cpdef int relay_opened(self, uint32_t shard) except -1:
        raise RuntimeError(f"nobody waits for shard {shard}")


cdef void free_queue(Queue *queue) noexcept:
    cdef Level *level = queue.levels
    cdef Level *following
    while level != NULL:
        following = level.lower
        free(level)
        level = following
    free_ready(&queue.ready)
    free_returned(&queue.returned)
    free_features(queue.features)
    free(queue)


cdef void free_channel(Channel *channel) noexcept:
    """With its live consumers, and the cancelled ones that only its unacked messages still name."""
    cdef Consumer *consumer
    cdef Consumer *following
    cdef UnackedRing *ring = &channel.unacked
    cdef uint64_t i
    for i in range(ring.head, ring.tail):
        if ring.items[i].owner and not ring.items[i].owner & OWNER_IS_QUEUE:
            consumer = <Consumer *> ring.items[i].owner
            consumer.unacked -= 1
            if consumer.cancelled and consumer.unacked == 0:
                free(consumer)
    consumer = channel.consumers
    while consumer != NULL:
        following = consumer.channel_next
        free_reader(consumer.reader)
        free(consumer)
        consumer = following
    free_unacked(ring)
    free_watch(channel.watch)
    free(channel)


cdef void free_gateway(Gateway *gateway) noexcept:
    cdef uint32_t i
    for i in range(gateway.channels.capacity):
        if gateway.channels.slots[i] != NULL:
            free_channel(<Channel *> gateway.channels.slots[i])
    for i in range(gateway.connections.capacity):
        free(gateway.connections.slots[i])
    free_handles(&gateway.connections)
    free_handles(&gateway.channels)
    free_handles(&gateway.consumers)


cdef int grow_scratch(EngineState engine, uint32_t queue_count) except -1:
    """Room for a publish to so many queues."""
    cdef uint32_t capacity = engine.scratch_capacity if engine.scratch_capacity else queue_count
    while capacity < queue_count:
        capacity *= 2
    engine.scratch_queues = <Queue **> resized(engine.scratch_queues, capacity * sizeof(Queue *))
    engine.scratch_ids = <uint32_t *> resized(engine.scratch_ids, capacity * sizeof(uint32_t))
    engine.scratch_numbers = <uint64_t *> resized(engine.scratch_numbers, capacity * sizeof(uint64_t))
    engine.scratch_attributes = <uint32_t *> resized(engine.scratch_attributes, capacity * sizeof(uint32_t))
    engine.scratch_entries = <Entry *> resized(engine.scratch_entries, capacity * sizeof(Entry))
    engine.scratch_capacity = capacity
    return 0
