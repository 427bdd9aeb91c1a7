"""The records that travel in batches between a gateway and a shard.

A shard that hands messages over to another is to that one what a gateway is:
PUBLISH one way, WATERMARK and REFUSED the other, and nothing else.

A batch is a run of records, each a multiple of 8 bytes, little-endian. Every
record starts with the same eight bytes:

    offset  size  field
         0     4  record_bytes   whole record with padding, a multiple of 8
         4     1  kind           one of the kinds below
         5     1  flags          by kind
         6     2  extra          by kind

Handles (connections, channels, consumers) are given out by the gateway: the low
HANDLE_SLOT_BITS bits are a slot in its table, the bits above a generation, so
that a record for a closed channel never reaches the one that took its slot.

Both sides live on the same host or trust each other, but a reader still checks
record_bytes and the inner lengths against the batch before it reads them.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    HANDLE_SLOT_BITS = 20
    RECORD_ALIGNMENT = 8

    # gateway to shard
    KIND_PUBLISH = 1
    KIND_SETTLE = 2
    KIND_CREDIT = 3
    # either way: JSON, for everything that is not per message
    KIND_REQUEST = 4
    KIND_RESPONSE = 5
    KIND_EVENT = 6
    # gateway to shard
    KIND_GET = 7
    # shard to gateway
    KIND_DELIVER = 16
    KIND_GET_OK = 17
    KIND_WATERMARK = 18
    KIND_REFUSED = 19
    KIND_GET_EMPTY = 20

    # flags of PUBLISH
    PUBLISH_PERSISTENT = 1      # delivery-mode 2
    PUBLISH_CONFIRM = 2         # the channel is in confirm mode
    PUBLISH_DELAYED = 4         # not ready before a time that stands behind the fixed fields
    PUBLISH_APART = 16          # the body is in a room of the gateway: a LentBody behind the fixed fields says where
    PUBLISH_ROOMLESS = 32       # who has published it cannot read into rooms
    PUBLISH_DIED = 8            # x-death and its kin in its headers are this broker's: only shards say so
    # flags of SETTLE
    SETTLE_MULTIPLE = 1
    SETTLE_CONFIRM = 2          # a commit waits for it
    # extra of SETTLE
    OUTCOME_ACK = 0
    OUTCOME_REQUEUE = 1         # given back: basic.nack, basic.recover
    OUTCOME_REJECT = 2
    OUTCOME_REQUEUE_FAILED = 3  # given back by basic.reject: a failed delivery, which a delivery limit counts
    # flags of GET
    GET_NO_ACK = 1
    # flags of GET_EMPTY
    GET_GONE = 1                # there is no such queue any more
    # flags of DELIVER and GET_OK
    DELIVER_REDELIVERED = 1
    DELIVER_STREAM = 2          # of a stream: its offset is in the record
    DELIVER_LENT = 4            # the body stays in a file of the shard's log: a LentBody says where

# a variable of a .pxd would belong to a module that does not exist
cdef extern from *:
    """
    #define WARREN_NO_TTL UINT64_C(0xFFFFFFFFFFFFFFFF)
    """
    const uint64_t NO_TTL "WARREN_NO_TTL"


cdef packed struct RecordHeader:
    uint32_t record_bytes
    uint8_t kind
    uint8_t flags
    uint16_t extra


# A message for one or more queues of one shard: 40 bytes, with PUBLISH_DELAYED
# not_before_ms (8 bytes, wall clock), with PUBLISH_APART a LentBody (and no body at the end), then queue_count queue ids of 4 bytes
# (padded to 8), then exchange, routing key, properties (property flags and list
# as they came in the content header), body; padded.
cdef packed struct PublishRecord:
    uint32_t record_bytes
    uint8_t kind
    uint8_t flags
    uint16_t queue_count
    uint32_t channel                # handle
    uint32_t properties_bytes
    uint64_t publish_sequence       # the channel's publish sequence number; 0 outside confirm mode
    uint32_t body_bytes
    uint8_t exchange_bytes
    uint8_t routing_key_bytes
    uint8_t priority
    uint8_t reserved
    uint64_t ttl_ms                 # from the expiration property, or NO_TTL


# The client's word on deliveries: 24 bytes.
cdef packed struct SettleRecord:
    uint32_t record_bytes
    uint8_t kind
    uint8_t flags
    uint16_t outcome
    uint32_t channel                # handle
    uint32_t reserved
    uint64_t delivery_sequence      # counts this shard's deliveries on this channel that await an ack, from 1


# What of a connection's deliveries has left the gateway for its socket: 24 bytes.
# Cumulative sum of record_bytes of the DELIVER records that this shard sent for
# the connection's consumers. The shard stops dispatching to a connection that is
# CONNECTION_WINDOW_BYTES ahead of it.
cdef packed struct CreditRecord:
    uint32_t record_bytes
    uint8_t kind
    uint8_t flags
    uint16_t reserved
    uint32_t connection             # handle
    uint32_t reserved2
    uint64_t delivered_bytes


# REQUEST, RESPONSE, EVENT: 16 bytes, then an orjson document; padded.
cdef packed struct JsonRecord:
    uint32_t record_bytes
    uint8_t kind
    uint8_t flags
    uint16_t reserved
    uint32_t request_id             # echoed in the response; 0 in an event
    uint32_t json_bytes


# A basic.get: 24 bytes. Answered by GET_OK or GET_EMPTY.
cdef packed struct GetRecord:
    uint32_t record_bytes
    uint8_t kind
    uint8_t flags
    uint16_t reserved
    uint32_t request_id             # echoed in the answer
    uint32_t queue_id
    uint32_t channel                # handle
    uint32_t connection             # handle


# Nothing is ready, or there is no such queue: 16 bytes.
cdef packed struct GetEmptyRecord:
    uint32_t record_bytes
    uint8_t kind
    uint8_t flags
    uint16_t reserved
    uint32_t request_id
    uint32_t reserved2


# DELIVER and GET_OK: 32 bytes, then exchange, routing key, properties, body; padded.
# With DELIVER_LENT 32 bytes, a LentBody, exchange, routing key, properties; padded.
cdef packed struct DeliverRecord:
    uint32_t record_bytes
    uint8_t kind
    uint8_t flags
    uint16_t delivery_count         # earlier deliveries of this message
    uint32_t consumer               # DELIVER: consumer handle; GET_OK: request id
    uint32_t properties_bytes
    uint32_t body_bytes
    uint8_t exchange_bytes
    uint8_t routing_key_bytes
    uint16_t offset_high            # DELIVER_STREAM: bits 32 to 47 of the offset
    uint32_t message_count          # GET_OK: ready messages left in the queue; DELIVER_STREAM: low bits of the offset
    uint32_t queue_id


# Where the body of a lent delivery lies: 16 bytes. The shard has told of the file in
# an event "lend" before, and leaves these bytes as they are until the gateway has
# given the batch back to the link. In a publish: where in a room that the shard has
# given in an event "room"; the gateway leaves these bytes as they are for good.
cdef packed struct LentBody:
    uint64_t file               # the number that the event gave it
    uint64_t position           # of the body's first byte


# How far the shard has come with this gateway's batches: 24 bytes. Batches are
# counted from 1 per link incarnation.
cdef packed struct WatermarkRecord:
    uint32_t record_bytes
    uint8_t kind
    uint8_t flags
    uint16_t reserved
    uint64_t processed_batch        # all its records have been applied
    uint64_t durable_batch          # and what of them belongs on the disk is synced


# A publish in confirm mode that the shard could not or would not keep: 24 bytes.
cdef packed struct RefusedRecord:
    uint32_t record_bytes
    uint8_t kind
    uint8_t flags
    uint16_t reserved
    uint32_t channel                # handle
    uint32_t reserved2
    uint64_t publish_sequence


# What a delivery counts in the window of its connection, wherever its body lies.
cdef inline uint64_t delivered_bytes(const DeliverRecord *record) noexcept nogil:
    return <uint64_t> record.record_bytes + (record.body_bytes if record.flags & DELIVER_LENT else 0)


cdef inline size_t aligned(size_t n) noexcept nogil:
    return (n + (RECORD_ALIGNMENT - 1)) & ~(<size_t> (RECORD_ALIGNMENT - 1))
