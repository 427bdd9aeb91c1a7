# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The publishes of an open transaction, packed in one run of bytes per channel.

    offset  size  field
         0     4  shard         where the record goes, or RETURN: frames for the client
         4     4  bytes         of what follows
         8     2  records       in the first entry of a publish: how many entries it has; 0 in the others
        10     1  level         LEVEL_* of gateway/core/confirms.pxd
        11     5  (unused)
        16        a PUBLISH record without its sequence number, or frames; padded to 8

Messages are routed when they are published, as RabbitMQ does; returns are sent at commit. Commit
numbers the publishes like those of a confirm channel, so the same watermarks tell when all
shards have them, synced where durable. Settles are held in the unacked ring (settling.pyx).
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from amqp091.scanner cimport DELIVERY_MODE_PERSISTENT
from bus.batch cimport Batch
from bus.records cimport PUBLISH_CONFIRM, PublishRecord, aligned
from gateway.core.confirms cimport LEVEL_DURABLE, LEVEL_PROCESSED, open_publish, push_run
from gateway.core.outgoing cimport Outgoing, publish_record_bytes, reserve_outgoing, write_publish
from gateway.core.publishing cimport refuse_publish
from gateway.core.routes cimport Route, RouteGroup, waits_for_disk
from gateway.core.state cimport ChannelState, GatewayState, ShardState, Transaction, reserve_output

from gateway.core import publish_errors

cdef enum:
    RETURN = 0xFFFFFFFF
    FIRST_CAPACITY_BYTES = 1024
    # of one open transaction: two messages of the largest size, so that a client cannot fill the memory
    TRANSACTION_BYTES_MAX = 1 << 28


cdef packed struct TransactionEntry:
    uint32_t shard
    uint32_t bytes
    uint16_t records
    uint8_t level
    uint8_t unused[5]


cdef uint8_t *hold(ChannelState channel, uint32_t shard, size_t n, uint16_t records, uint8_t level) except NULL:
    """Room for `n` bytes behind a new entry."""
    cdef Transaction *transaction = &channel.transaction
    cdef size_t entry_bytes = sizeof(TransactionEntry) + aligned(n)
    cdef size_t wanted = transaction.used + entry_bytes
    cdef size_t capacity
    cdef uint8_t *grown
    cdef TransactionEntry *entry
    if wanted > TRANSACTION_BYTES_MAX:
        raise publish_errors.transaction_too_large(TRANSACTION_BYTES_MAX)
    if wanted > transaction.capacity:
        capacity = transaction.capacity * 2 if transaction.capacity else FIRST_CAPACITY_BYTES
        if capacity < wanted:
            capacity = wanted
        grown = <uint8_t *> realloc(transaction.data, capacity)
        if grown == NULL:
            raise MemoryError()
        transaction.data = grown
        transaction.capacity = capacity
    entry = <TransactionEntry *> (transaction.data + transaction.used)
    memset(entry, 0, sizeof(TransactionEntry))
    entry.shard = shard
    entry.bytes = <uint32_t> n
    entry.records = records
    entry.level = level
    transaction.used = wanted
    return transaction.data + wanted - aligned(n)


cdef int hold_publish(ChannelState channel, const Outgoing *message, Route route) except -1:
    cdef bint persistent = message.header.delivery_mode == DELIVERY_MODE_PERSISTENT
    cdef const RouteGroup *group
    cdef uint32_t i
    for i in range(route.group_count):
        group = &route.groups[i]
        if group.shard >= channel.gateway.shard_count:
            raise IndexError(f"no shard {group.shard}")
        write_publish(
            hold(
                channel, group.shard, publish_record_bytes(message, group),
                <uint16_t> route.group_count if i == 0 else 0,
                LEVEL_DURABLE if waits_for_disk(group, persistent) else LEVEL_PROCESSED,
            ),
            message, route, group)
    channel.transaction.publishes += 1
    return 0


cdef uint8_t *hold_return(ChannelState channel, size_t n) except NULL:
    """Room for `n` bytes of frames that the client gets at commit."""
    cdef uint8_t *room = hold(channel, RETURN, n, 0, 0)
    channel.transaction.publishes += 1
    return room


cdef int commit_publishes(ChannelState channel) except -1:
    """Sends everything in the order in which it was published."""
    cdef GatewayState gateway = channel.gateway
    cdef Transaction *transaction = &channel.transaction
    cdef TransactionEntry *entry
    cdef PublishRecord *record
    cdef ShardState *shard
    cdef uint8_t *content
    cdef uint64_t number = 0
    cdef size_t position = 0
    while position < transaction.used:
        entry = <TransactionEntry *> (transaction.data + position)
        content = transaction.data + position + sizeof(TransactionEntry)
        position += sizeof(TransactionEntry) + aligned(entry.bytes)
        if entry.shard == RETURN:
            memcpy(reserve_output(channel.connection, entry.bytes), content, entry.bytes)
            continue
        if entry.records:
            number = open_publish(&channel.window, entry.records)
        shard = &gateway.shards[entry.shard]
        if not shard.up:
            refuse_publish(channel, number)
            continue
        record = <PublishRecord *> reserve_outgoing(gateway, entry.shard, entry.bytes)
        memcpy(record, content, entry.bytes)
        record.flags |= PUBLISH_CONFIRM
        record.publish_sequence = number
        push_run(&shard.runs[entry.level], shard.reserved_batch, channel.handle, number)
        if shard.congested:
            channel.connection.held_by = <int> entry.shard
    forget_publishes(channel)
    return 0


cdef void forget_publishes(ChannelState channel) noexcept:
    free(channel.transaction.data)
    channel.transaction.data = NULL
    channel.transaction.used = 0
    channel.transaction.capacity = 0
    channel.transaction.publishes = 0
