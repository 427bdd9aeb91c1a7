# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Deliveries: DELIVER and GET_OK records become frames in the connection's output, and credit returns.

Counts deliveries per channel and shard as the shard does, also those that are not rendered
because the channel is closing: the two counts must agree while both know the channel. Records
are checked by the caller; a record for a handle that is not in use any more is dropped.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc

from amqp091.renderer cimport (
    GET_EMPTY_FRAME_BYTES, deliver_bytes, get_ok_bytes, write_deliver, write_get_empty, write_get_ok,
)
from bus.limits cimport CONNECTION_WINDOW_BYTES
from bus.records cimport DELIVER_LENT, DELIVER_REDELIVERED, DELIVER_STREAM, DeliverRecord, LentBody, delivered_bytes
from gateway.core.handles cimport handle_value
from gateway.core.lent_output cimport find_lent, write_lent
from gateway.core.outgoing cimport append_credit
from gateway.core.state cimport (
    ChannelState, ConnectionState, Consumer, GatewayState, ShardCredit, know_shard, list_credit, reserve_output,
)
from gateway.core.stream_offsets cimport add_offset, offset_of
from gateway.core.unacked cimport FLAG_GET, push_unacked

cdef enum:
    # credit returns in steps of a quarter of the window, so that a shard never waits for a step to fill up
    CREDIT_STEP_BYTES = CONNECTION_WINDOW_BYTES // 4


cdef int deliver(GatewayState gateway, uint32_t shard, const DeliverRecord *record) except -1:
    cdef Consumer *consumer = <Consumer *> handle_value(&gateway.consumers, record.consumer)
    cdef ChannelState channel
    cdef ConnectionState connection
    cdef uint64_t sequence = 0
    cdef const uint8_t *exchange
    cdef const uint8_t *routing_key
    cdef const uint8_t *properties
    cdef const uint8_t *body = NULL
    cdef uint32_t properties_bytes = record.properties_bytes
    if consumer == NULL:
        return 0
    channel = <ChannelState> consumer.channel
    connection = channel.connection
    if connection.credit == NULL:
        connection.credit = <ShardCredit *> calloc(gateway.shard_count, sizeof(ShardCredit))
        if connection.credit == NULL:
            raise MemoryError()
    connection.credit[shard].received_bytes += delivered_bytes(record)
    if not consumer.no_ack:
        sequence = next_sequence(channel, shard)
        channel.by_shard[shard].delivered += 1
    if channel.closing or connection.closing or connection.is_closed:
        list_credit(connection)
        return 0
    exchange = <const uint8_t *> record + sizeof(DeliverRecord)
    if record.flags & DELIVER_LENT:
        exchange += sizeof(LentBody)
        body = find_lent(gateway, shard, record)
        if body == NULL:
            # As good as lost on the way: the client gets it again, with all else that it has not acknowledged.
            (<object> connection).on_lent_lost(shard)
            return 0
    channel.delivery_tag += 1
    if sequence:
        push_unacked(&channel.unacked, channel.delivery_tag, shard, sequence, 0)
    routing_key = exchange + record.exchange_bytes
    properties = routing_key + record.routing_key_bytes
    if body == NULL:
        body = properties + properties_bytes
    if record.flags & DELIVER_STREAM:
        consumer.next_offset = offset_of(record) + 1
        add_offset(gateway, offset_of(record), &properties, &properties_bytes)
    if record.flags & DELIVER_LENT:
        return write_lent(
            connection, consumer, channel.delivery_tag, record.flags & DELIVER_REDELIVERED != 0,
            exchange, record.exchange_bytes, routing_key, record.routing_key_bytes, properties, properties_bytes,
            body, record.body_bytes)
    write_deliver(
        reserve_output(
            connection,
            deliver_bytes(
                consumer.tag_bytes, record.exchange_bytes, record.routing_key_bytes,
                properties_bytes, record.body_bytes, connection.frame_max)),
        channel.number, consumer.tag, consumer.tag_bytes,
        channel.delivery_tag, record.flags & DELIVER_REDELIVERED != 0,
        exchange, record.exchange_bytes, routing_key, record.routing_key_bytes,
        properties, properties_bytes,
        body, record.body_bytes, connection.frame_max)
    return 0


cdef uint64_t next_sequence(ChannelState channel, uint32_t shard) except 0:
    know_shard(channel, shard)
    channel.by_shard[shard].sequence += 1
    return channel.by_shard[shard].sequence


cdef int deliver_got(ChannelState channel, uint32_t shard, const DeliverRecord *record, bint no_ack) except -1:
    """The message of a basic.get; the caller knows for which channel it was."""
    cdef ConnectionState connection = channel.connection
    cdef uint64_t sequence = 0
    cdef const uint8_t *exchange
    cdef const uint8_t *routing_key
    cdef const uint8_t *properties
    if not no_ack:
        sequence = next_sequence(channel, shard)
    if channel.closing or connection.closing or connection.is_closed:
        return 0
    channel.delivery_tag += 1
    if sequence:
        push_unacked(&channel.unacked, channel.delivery_tag, shard, sequence, FLAG_GET)
    exchange = <const uint8_t *> record + sizeof(DeliverRecord)
    routing_key = exchange + record.exchange_bytes
    properties = routing_key + record.routing_key_bytes
    write_get_ok(
        reserve_output(
            connection,
            get_ok_bytes(
                record.exchange_bytes, record.routing_key_bytes,
                record.properties_bytes, record.body_bytes, connection.frame_max)),
        channel.number, channel.delivery_tag, record.flags & DELIVER_REDELIVERED != 0,
        exchange, record.exchange_bytes, routing_key, record.routing_key_bytes, record.message_count,
        properties, record.properties_bytes,
        properties + record.properties_bytes, record.body_bytes, connection.frame_max)
    return 0


cdef int deliver_nothing(ChannelState channel) except -1:
    """basic.get-empty."""
    cdef ConnectionState connection = channel.connection
    if not (channel.closing or connection.closing or connection.is_closed):
        write_get_empty(reserve_output(connection, GET_EMPTY_FRAME_BYTES), channel.number)
    return 0


cdef int return_credits(GatewayState gateway) except -1:
    """CREDIT for connections whose output has left; one whose socket is full comes back by itself later."""
    cdef uint32_t i, shard
    cdef void *value
    cdef ConnectionState connection
    cdef ShardCredit *credit
    for i in range(gateway.to_credit.count):
        value = handle_value(&gateway.connections, gateway.to_credit.items[i])
        if value == NULL:
            continue
        connection = <ConnectionState> value
        connection.credit_listed = False
        if not connection.is_writable or (connection.output is not None and connection.output.size):
            continue
        for shard in range(gateway.shard_count):
            credit = &connection.credit[shard]
            if credit.received_bytes - credit.returned_bytes >= CREDIT_STEP_BYTES and gateway.shards[shard].up:
                append_credit(gateway, shard, connection.handle, credit.received_bytes)
                credit.returned_bytes = credit.received_bytes
    gateway.to_credit.count = 0
    return 0
