# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A whole basic.publish: its checks in RabbitMQ's order, its route, its records, its confirm.

Size was checked when the content header came, so that an oversized body is not collected. What the
core cannot know (write permission, existence, internal) is asked once per route through the
hook; reply-to, expiration, special headers and user-id are checked per message. Nothing is kept of a publish but its
number in the confirm window.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memset

from amqp091.renderer cimport NACK_FRAME_BYTES, return_bytes, write_nack, write_return
from amqp091.scanner cimport DELIVERY_MODE_PERSISTENT, ContentHeader, Publish, parse_expiration
from bus.batch cimport Batch
from bus.limits cimport LENT_BODY_BYTES_MIN
from bus.records cimport NO_TTL
from bus.room cimport Room
from gateway.core.confirms cimport LEVEL_DURABLE, LEVEL_PROCESSED, open_publish, push_run, refuse
from gateway.core.outgoing cimport Outgoing, publish_record_bytes, reserve_outgoing, write_publish
from gateway.core.rooms cimport wants_room, room_of
from gateway.core.replies cimport asks_for_replies, with_reply_to
from gateway.core.routes cimport Route, RouteGroup, waits_for_disk
from gateway.core.routing cimport route_of
from gateway.core.special_headers cimport (
    HEADER_BCC, HEADER_DELIVER_AT, SpecialHeaders, check_special, read_special, with_delay_taken, without_bcc,
)
from gateway.core.state cimport (
    ChannelState, ConnectionState, GatewayState, ShardState, list_confirm, reserve_output,
)
from gateway.core.transactions cimport hold_publish, hold_return

from gateway.core import publish_errors

cdef enum:
    REPLY_NO_ROUTE = 312
    NO_ROUTE_BYTES = 8
    WAITING_BYTES_MAX = 64 << 20    # for a shard that is down; they leave as one batch, which has a limit

cdef const char *NO_ROUTE_TEXT = b"NO_ROUTE"


cdef int publish(
    ChannelState channel, const Publish *method, const ContentHeader *header, const uint8_t *body
) except -1:
    """Checks, routes and sends a publish whose pieces lie in the caller's memory."""
    cdef ConnectionState connection = channel.connection
    cdef Route route
    cdef Outgoing message
    cdef SpecialHeaders special
    cdef ContentHeader stripped, rewritten, late
    cdef bytes properties
    memset(&special, 0, sizeof(SpecialHeaders))
    if header.headers != NULL:
        read_special(header, &special)
        if special.found & HEADER_BCC and not special.faulty:
            without_bcc(&channel.gateway.stripped, header, &stripped)
            header = &stripped
    route = route_of(channel, method, header, &special)
    if channel.closing or connection.closing or connection.is_closed:
        return 0                    # the hook ended it
    if header.reply_to != NULL and asks_for_replies(header):
        properties = with_reply_to(channel, header, &rewritten)
        header = &rewritten
    message.ttl_ms = NO_TTL
    if header.expiration != NULL:
        if parse_expiration(header.expiration, header.expiration_bytes, &message.ttl_ms) < 0:
            raise publish_errors.invalid_expiration(header.expiration[:header.expiration_bytes])
    if special.faulty:
        check_special(&special, header)
    if header.user_id != NULL and not connection.impersonator:
        check_user_id(connection, header)
    message.publish = method
    message.header = header
    message.body = body
    message.body_bytes = <uint32_t> header.body_size
    message.channel = channel.handle
    message.publish_sequence = 0
    message.not_before_ms = 0
    message.apart = False
    message.roomless = False
    if special.found & HEADER_DELIVER_AT or route.has_delayed:
        set_times(channel, &message, route, &special, &late)
    if method.mandatory and (route.group_count == 0 or route.returns_mandatory):
        return_unroutable(channel, &message)
    if route.group_count:
        if channel.is_transactional:
            hold_publish(channel, &message, route)
        else:
            send(channel, &message, route)
        return 0
    if channel.is_confirming:
        open_publish(&channel.window, 0)
        list_confirm(channel)
    return 0


cdef int set_times(
    ChannelState channel, Outgoing *message, Route route, const SpecialHeaders *special, ContentHeader *late
) except -1:
    """When queues have it ready: not before x-deliver-at, and behind a delayed exchange not before x-delay is over."""
    cdef uint64_t now_ms = (<object> channel.gateway).wall_clock_ms()
    if special.deliver_at_ms > now_ms:
        message.not_before_ms = special.deliver_at_ms
    if route.has_delayed:
        with_delay_taken(&channel.gateway.late, message.header, special.delay_ms, late)
        message.late_header = late
        message.late_not_before_ms = now_ms + special.delay_ms
        if message.late_not_before_ms < message.not_before_ms:
            message.late_not_before_ms = message.not_before_ms
    return 0


cdef int check_user_id(ConnectionState connection, const ContentHeader *header) except -1:
    cdef const char *user = connection.user_id
    if (
        header.user_id_bytes != len(connection.user_id)
        or memcmp(header.user_id, user, header.user_id_bytes) != 0
    ):
        raise publish_errors.wrong_user_id(header.user_id[:header.user_id_bytes], connection.user_id)
    return 0


cdef int send(ChannelState channel, Outgoing *message, Route route) except -1:
    """One record per shard. In confirm mode each is to be answered for.

    A shard that is down gets it when it is back; its publishers are held meanwhile, so that each keeps one at most.
    One that was given up refuses at once, and so does one for which many large messages wait already.
    """
    cdef bint persistent = message.header.delivery_mode == DELIVERY_MODE_PERSISTENT
    cdef const RouteGroup *group
    cdef ShardState *shard
    cdef uint32_t i
    if channel.is_confirming:
        message.publish_sequence = open_publish(&channel.window, <unsigned short> route.group_count)
    for i in range(route.group_count):
        group = &route.groups[i]
        if group.shard >= channel.gateway.shard_count:
            raise IndexError(f"no shard {group.shard}")
        shard = &channel.gateway.shards[group.shard]
        if shard.lost or not shard.up and (<Batch> channel.gateway.batches[group.shard]).size >= WAITING_BYTES_MAX:
            if message.publish_sequence:
                refuse_publish(channel, message.publish_sequence)
            continue
        if message.body_bytes >= LENT_BODY_BYTES_MIN:
            leave_in_room(channel, message, group.shard)
        write_publish(
            reserve_outgoing(channel.gateway, group.shard, publish_record_bytes(message, group)),
            message, route, group)
        if message.publish_sequence:
            push_run(
                &shard.runs[LEVEL_DURABLE if waits_for_disk(group, persistent) else LEVEL_PROCESSED],
                shard.reserved_batch, channel.handle, message.publish_sequence)
        if shard.congested or not shard.up:
            channel.connection.held_by = <int> group.shard
        if channel.gateway.flooded_count and not channel.connection.feeds_flood:
            channel.connection.feeds_flood = flooded_of(channel.gateway, route, group)
    return 0


cdef int leave_in_room(ChannelState channel, Outgoing *message, uint32_t shard) except -1:
    """A large message's connection reads to a room of its shard from now on; one that was read there stays there."""
    cdef GatewayState gateway = channel.gateway
    cdef Room room
    message.roomless = channel.connection.roomless
    if message.roomless:
        return 0
    room = room_of(gateway, shard, message.body, message.body_bytes)
    if wants_room(gateway, shard, message.body_bytes):
        channel.connection.large_shard = shard + 1
        channel.connection.small_reads = 0
    message.apart = room is not None and gateway.shards[shard].up
    if message.apart:
        room.named = True
        message.place.file = room.number
        message.place.position = message.body - room.data
    return 0


cdef uint32_t flooded_of(GatewayState gateway, Route route, const RouteGroup *group) noexcept:
    """The first of the queues that is flooded, or 0. Few queues are at a time."""
    cdef uint32_t i, k
    for i in range(group.first_queue, group.first_queue + group.queue_count):
        for k in range(gateway.flooded_count):
            if gateway.flooded[k] == route.queue_ids[i]:
                return route.queue_ids[i]
    return 0


cdef int refuse_publish(ChannelState channel, uint64_t number) except -1:
    """A shard did not keep it: nacks that one, or fails the transaction that is being committed."""
    if not refuse(&channel.window, number):
        return 0
    if channel.is_transactional:
        channel.transaction.failed = True
    elif not channel.closing and not channel.connection.closing:
        write_nack(reserve_output(channel.connection, NACK_FRAME_BYTES), channel.number, number, False, False)
    list_confirm(channel)
    return 0


cdef int return_unroutable(ChannelState channel, const Outgoing *message) except -1:
    """basic.return, before any ack of the same publish; in a transaction it waits for the commit."""
    cdef uint32_t frame_max = channel.connection.frame_max
    cdef size_t n = return_bytes(
        NO_ROUTE_BYTES, message.publish.exchange_bytes, message.publish.routing_key_bytes,
        message.header.properties_bytes, message.body_bytes, frame_max)
    cdef uint8_t *out
    out = hold_return(channel, n) if channel.is_transactional else reserve_output(channel.connection, n)
    write_return(
        out, channel.number, REPLY_NO_ROUTE, <const uint8_t *> NO_ROUTE_TEXT, NO_ROUTE_BYTES,
        message.publish.exchange, message.publish.exchange_bytes,
        message.publish.routing_key, message.publish.routing_key_bytes,
        message.header.properties, message.header.properties_bytes,
        message.body, message.body_bytes, frame_max)
    return 0
