# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The client's word on deliveries: basic.ack, basic.nack, basic.reject become SETTLE records.

With `multiple` one record goes to each shard that has a part in it. In a transaction the
entries are only marked; commit sends them one by one. Deliveries of a shard that died are
accepted and told to nobody: the shard has put these messages back by itself.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from amqp091.scanner cimport Settle, parse_settle
from bus.records cimport (
    OUTCOME_ACK, OUTCOME_REJECT, OUTCOME_REQUEUE, OUTCOME_REQUEUE_FAILED, SETTLE_CONFIRM, SETTLE_MULTIPLE, SettleRecord,
)
from gateway.core.confirms cimport LEVEL_PROCESSED, open_publish, push_run
from gateway.core.outgoing cimport append_settle
from gateway.core.state cimport ChannelState, GatewayState, ShardState, list_settled
from gateway.core.unacked cimport (
    FLAG_HELD, FLAG_STALE, FLAGS_SHIFT, HELD_OUTCOME_SHIFT, UnackedRing, drop_unacked, find_unacked, flags_of,
    sequence_of, shard_of, trim_unacked,
)

from amqp091.errors import PreconditionFailed, SyntaxError_

cdef enum:
    METHOD_ACK = 80
    METHOD_REJECT = 90
    CLASS_BASIC = 60
    QUIET_ACKS_MAX = 256        # a shard hears of more at once: it keeps their messages, and their bodies may be large


cdef int settle(ChannelState channel, const uint8_t *payload, size_t n) except -1:
    """One basic.ack, nack or reject; `payload` is the whole method frame's."""
    cdef Settle method
    cdef UnackedRing *ring = &channel.unacked
    cdef uint16_t outcome
    cdef int64_t index
    if parse_settle(payload, n, &method) < 0:
        raise SyntaxError_(
            "the method's arguments do not decode", class_id=CLASS_BASIC, method_id=payload[2] << 8 | payload[3]
        )
    if method.method_id == METHOD_ACK:
        outcome = OUTCOME_ACK
    elif not method.requeue:
        outcome = OUTCOME_REJECT
    else:
        outcome = OUTCOME_REQUEUE_FAILED if method.method_id == METHOD_REJECT else OUTCOME_REQUEUE
    if method.multiple and method.delivery_tag == 0:
        if ring.head == ring.tail:
            return 0
        index = <int64_t> ring.tail - 1
    else:
        index = find_unacked(ring, method.delivery_tag)
        if index < 0:
            raise PreconditionFailed(
                f"unknown delivery tag {method.delivery_tag}", class_id=CLASS_BASIC, method_id=method.method_id
            )
    if channel.is_transactional:
        hold(ring, ring.head if method.multiple else <uint32_t> index, <uint32_t> index, outcome)
    elif method.multiple:
        settle_up_to(channel, <uint32_t> index, outcome)
    else:
        settle_one(channel, <uint32_t> index, outcome)
    return 0


cdef int settle_one(ChannelState channel, uint32_t index, uint16_t outcome) except -1:
    cdef uint64_t place = channel.unacked.entries[index].place
    if not flags_of(place) & FLAG_STALE:
        append_settle(channel.gateway, shard_of(place), channel.handle, sequence_of(place), outcome, 0)
    drop_unacked(&channel.unacked, index)
    if outcome == OUTCOME_ACK and not flags_of(place) & FLAG_STALE:
        note_ack(channel, &channel.gateway.shards[shard_of(place)], 1)
    trim_unacked(&channel.unacked)
    list_settled(channel)
    return 0


cdef int settle_up_to(ChannelState channel, uint32_t last, uint16_t outcome) except -1:
    """All of the ring up to the entry `last`: for each shard the highest sequence, as they ascend with the tags."""
    cdef UnackedRing *ring = &channel.unacked
    cdef ShardState *shards = channel.gateway.shards
    cdef uint32_t i, shard
    cdef uint32_t low = channel.gateway.shard_count, high = 0
    cdef uint64_t place
    cdef uint32_t count = ring.count
    for i in range(ring.head, last + 1):
        place = ring.entries[i].place
        if place:
            if not flags_of(place) & FLAG_STALE:
                shard = shard_of(place)
                shards[shard].mark = sequence_of(place)
                low = shard if shard < low else low
                high = shard if shard > high else high
            drop_unacked(ring, i)
    count -= ring.count
    trim_unacked(ring)
    list_settled(channel)
    for shard in range(low, high + 1):
        if shards[shard].mark:
            append_settle(channel.gateway, shard, channel.handle, shards[shard].mark, outcome, SETTLE_MULTIPLE)
            if outcome == OUTCOME_ACK:
                note_ack(channel, &shards[shard], count)
            shards[shard].mark = 0
    return 0


cdef inline void note_ack(ChannelState channel, ShardState *shard, uint32_t count) noexcept:
    """Can the shard do without hearing of this soon? It holds no message back for want of it where no consumer of the
    channel is near its prefetch, also if it has not heard of the acks before."""
    shard.quiet_count += count
    if shard.quiet_count <= QUIET_ACKS_MAX and channel.unacked.count + shard.quiet_count <= channel.ack_slack:
        shard.quiet_bytes += sizeof(SettleRecord)


cdef int requeue_all(ChannelState channel) except -1:
    """basic.recover: everything but what is settled in an open transaction."""
    cdef UnackedRing *ring = &channel.unacked
    cdef uint32_t i
    cdef uint32_t last = ring.tail
    if ring.head == last:
        return 0
    if ring.held == 0:
        return settle_up_to(channel, last - 1, OUTCOME_REQUEUE)
    for i in range(ring.head, last):
        if ring.entries[i].place and not flags_of(ring.entries[i].place) & FLAG_HELD:
            settle_one(channel, i, OUTCOME_REQUEUE)
    return 0


cdef void hold(UnackedRing *ring, uint32_t first, uint32_t last, uint16_t outcome) noexcept:
    """Marks what is settled in the open transaction."""
    cdef uint32_t i
    cdef uint64_t flags = FLAG_HELD | <uint64_t> outcome << HELD_OUTCOME_SHIFT
    for i in range(first, last + 1):
        if ring.entries[i].place and not flags_of(ring.entries[i].place) & FLAG_HELD:
            ring.entries[i].place |= flags << FLAGS_SHIFT
            ring.held += 1


cdef int commit_settles(ChannelState channel) except -1:
    """Sends what the transaction holds. The commit waits until each shard that gets a part has done it."""
    cdef UnackedRing *ring = &channel.unacked
    cdef GatewayState gateway = channel.gateway
    cdef uint32_t i, shard
    cdef uint64_t flags, number
    if not ring.held:
        return 0
    for i in range(ring.head, ring.tail):
        flags = flags_of(ring.entries[i].place)
        if not flags & FLAG_HELD:
            continue
        if not flags & FLAG_STALE:
            shard = shard_of(ring.entries[i].place)
            append_settle(
                gateway, shard, channel.handle, sequence_of(ring.entries[i].place),
                <uint16_t> (flags >> HELD_OUTCOME_SHIFT), SETTLE_CONFIRM)
            gateway.shards[shard].mark = 1
        drop_unacked(ring, i)
    trim_unacked(ring)
    list_settled(channel)
    for shard in range(gateway.shard_count):
        if gateway.shards[shard].mark:
            gateway.shards[shard].mark = 0
            number = open_publish(&channel.window, 1)
            push_run(
                &gateway.shards[shard].runs[LEVEL_PROCESSED], gateway.shards[shard].next_batch, channel.handle, number)
    return 0
