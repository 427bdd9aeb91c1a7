# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Connections, channels and consumers as a shard knows them: made when a gateway names them first, gone on its word.

Whatever goes gives back what it holds: a consumer leaves its queue, a channel's unsettled
messages return to their queues. `unused` collects the ids of auto-delete queues that lost
their last consumer; the caller has them deleted.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from bus.records cimport OUTCOME_REQUEUE_FAILED
from shards.engine.consumer_timeout cimport unwatch
from shards.engine.flood cimport watch_flood
from shards.engine.placing cimport now_unused
from shards.engine.settling cimport requeue_all
from shards.engine.single_active cimport joined, left
from shards.engine.state cimport (
    Channel, Connection, Consumer, EngineState, Gateway, Level, Queue, make_available, touch, unlist,
)
from shards.engine.stream cimport free_reader
from shards.engine.tables cimport HandleTable, handle_at, handle_slot, put_handle, take_handle
from shards.engine.unacked_ring cimport free_unacked


cdef void *new(size_t size) except NULL:
    cdef void *made = calloc(1, size)
    if made == NULL:
        raise MemoryError()
    return made


cdef Connection *connection_for(EngineState engine, Gateway *gateway, uint32_t handle) except NULL:
    """The connection with this handle, made where there is none."""
    cdef void *there = handle_slot(&gateway.connections, handle)
    cdef Connection *connection = <Connection *> there
    if there != NULL:
        if connection.handle == handle:
            return connection
        # The slot has a new owner: the gateway is done with the old one.
        remove_connection(engine, connection, [])
    connection = <Connection *> new(sizeof(Connection))
    connection.handle = handle
    connection.gateway = gateway
    put_handle(&gateway.connections, connection)
    return connection


cdef Channel *channel_for(EngineState engine, Gateway *gateway, uint32_t handle, Connection *connection) except NULL:
    """The channel with this handle, made where there is none. `connection` may be NULL as long as nothing is consumed."""
    cdef void *there = handle_slot(&gateway.channels, handle)
    cdef Channel *channel = <Channel *> there
    if there != NULL and channel.handle != handle:
        remove_channel(engine, channel, [])
        there = NULL
    if there == NULL:
        channel = <Channel *> new(sizeof(Channel))
        channel.handle = handle
        channel.gateway = gateway
        put_handle(&gateway.channels, channel)
    if channel.connection == NULL and connection != NULL:
        channel.connection = connection
        channel.connection_next = connection.channels
        if connection.channels != NULL:
            connection.channels.connection_previous = channel
        connection.channels = channel
    return channel


cdef Level *level_for(Queue *queue, int64_t priority) except NULL:
    """The level of this priority, made where there is none."""
    cdef Level **place = &queue.levels
    cdef Level *level
    while place[0] != NULL and place[0].priority > priority:
        place = &place[0].lower
    if place[0] != NULL and place[0].priority == priority:
        return place[0]
    level = <Level *> new(sizeof(Level))
    level.priority = priority
    level.lower = place[0]
    place[0] = level
    return level


cdef void leave_level(EngineState engine, Consumer *consumer) noexcept:
    """The consumer is in no list any more."""
    cdef Level *level = consumer.level
    cdef Level **place = &consumer.queue.levels
    level.consumer_count -= 1
    if consumer.asking:
        # levels below need not wait for its answer any more
        consumer.asking = False
        level.asking -= 1
        touch(engine, consumer.queue)
    if level.consumer_count == 0:
        while place[0] != level:
            place = &place[0].lower
        place[0] = level.lower
        free(level)
    consumer.level = NULL


cdef Consumer *add_consumer(EngineState engine, Queue *queue, Channel *channel, uint32_t handle, bint no_ack,
                            bint exclusive, uint32_t prefetch, int64_t priority, uint64_t arrival,
                            bint was_active) except NULL:
    """A consumer of a channel that has a connection; its handle is free. `arrival`, `was_active`: single_active.pyx."""
    cdef Consumer *consumer = <Consumer *> new(sizeof(Consumer))
    consumer.handle = handle
    consumer.prefetch = prefetch
    consumer.no_ack = no_ack
    consumer.queue = queue
    consumer.channel = channel
    consumer.level = level_for(queue, priority)
    consumer.level.consumer_count += 1
    put_handle(&channel.gateway.consumers, consumer)
    consumer.channel_next = channel.consumers
    if channel.consumers != NULL:
        channel.consumers.channel_previous = consumer
    channel.consumers = consumer
    consumer.queue_next = queue.consumers
    if queue.consumers != NULL:
        queue.consumers.queue_previous = consumer
    queue.consumers = consumer
    queue.consumer_count += 1
    if exclusive:
        queue.exclusive_consumer = consumer
    if queue.features != NULL and queue.features.single_active:
        joined(engine, consumer, arrival, was_active)
    else:
        make_available(engine, consumer)
    return consumer


cdef int remove_consumer(EngineState engine, Consumer *consumer, list unused) except -1:
    """Nothing is dispatched to it any more. What it was given stays its channel's to settle."""
    cdef Queue *queue = consumer.queue
    cdef Channel *channel = consumer.channel
    unlist(consumer)
    leave_level(engine, consumer)
    take_handle(&channel.gateway.consumers, consumer)
    if consumer.channel_previous == NULL:
        channel.consumers = consumer.channel_next
    else:
        consumer.channel_previous.channel_next = consumer.channel_next
    if consumer.channel_next != NULL:
        consumer.channel_next.channel_previous = consumer.channel_previous
    if consumer.queue_previous == NULL:
        queue.consumers = consumer.queue_next
    else:
        consumer.queue_previous.queue_next = consumer.queue_next
    if consumer.queue_next != NULL:
        consumer.queue_next.queue_previous = consumer.queue_previous
    queue.consumer_count -= 1
    if queue.exclusive_consumer == consumer:
        queue.exclusive_consumer = NULL
    if queue.features != NULL and queue.features.single_active:
        left(engine, queue, consumer)
    watch_flood(engine, queue)
    if queue.consumer_count == 0:
        if queue.auto_delete:
            unused.append(queue.queue_id)
        if queue.features != NULL:
            now_unused(engine, queue)
    free_reader(consumer.reader)
    consumer.reader = NULL
    if consumer.unacked:
        consumer.cancelled = True
        consumer.channel_next = consumer.channel_previous = NULL
        consumer.queue_next = consumer.queue_previous = NULL
    else:
        free(consumer)
    return 0


cdef void set_prefetch(EngineState engine, Channel *channel, uint32_t prefetch) noexcept:
    """For all live consumers of the channel. One of a stream always has a limit."""
    cdef Consumer *consumer = channel.consumers
    while consumer != NULL:
        if prefetch or consumer.reader == NULL:
            consumer.prefetch = prefetch
        if consumer.listed == NULL and not consumer.fading:
            make_available(engine, consumer)
        consumer = consumer.channel_next


cdef int remove_channel(EngineState engine, Channel *channel, list unused) except -1:
    """Its consumers go first, so that nothing that returns comes back to them."""
    while channel.consumers != NULL:
        remove_consumer(engine, channel.consumers, unused)
    requeue_all(engine, channel, OUTCOME_REQUEUE_FAILED)
    free_unacked(&channel.unacked)
    leave_credit_lists(engine, channel)
    unwatch(engine, channel)
    if channel.connection != NULL:
        if channel.connection_previous == NULL:
            channel.connection.channels = channel.connection_next
        else:
            channel.connection_previous.connection_next = channel.connection_next
        if channel.connection_next != NULL:
            channel.connection_next.connection_previous = channel.connection_previous
    take_handle(&channel.gateway.channels, channel)
    free(channel)
    return 0


cdef void leave_credit_lists(EngineState engine, Channel *channel) noexcept:
    """Both are emptied at the end of each dispatch, so they are short."""
    cdef Channel **place
    if channel.in_wanting:
        place = &engine.wanting
        while place[0] != channel:
            place = &place[0].wanting_next
        place[0] = channel.wanting_next
    if channel.in_credited:
        place = &engine.credited
        while place[0] != channel:
            place = &place[0].credited_next
        place[0] = channel.credited_next


cdef int remove_connection(EngineState engine, Connection *connection, list unused) except -1:
    while connection.channels != NULL:
        remove_channel(engine, connection.channels, unused)
    take_handle(&connection.gateway.connections, connection)
    free(connection)
    return 0


cdef int remove_gateway(EngineState engine, Gateway *gateway, list unused) except -1:
    """Everything that the gateway had here."""
    cdef uint32_t i
    for i in range(gateway.connections.capacity):
        if gateway.connections.slots[i] != NULL:
            remove_connection(engine, <Connection *> gateway.connections.slots[i], unused)
    for i in range(gateway.channels.capacity):
        if gateway.channels.slots[i] != NULL:
            remove_channel(engine, <Channel *> gateway.channels.slots[i], unused)
    return 0
