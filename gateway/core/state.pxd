"""What the core keeps per process, connection, channel and consumer. See state.pyx."""
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from amqp091.property_edit cimport Scratch
from bus.batch cimport Batch
from bus.room cimport Room
from gateway.core.confirms cimport LEVEL_COUNT, PublishWindow, RunQueue
from gateway.core.handles cimport HandleList, HandleTable
from gateway.core.route_cache cimport RouteCache
from gateway.core.route_stamps cimport RouteStamps, Stamps
from gateway.core.unacked cimport UnackedRing


cdef struct ShardState:
    uint64_t next_batch         # the number that the outgoing batch will get
    uint64_t reserved_batch     # and that of the batch in which there was room for the last publish
    size_t quiet_bytes          # of the outgoing batch: acks that the shard may learn of later
    uint64_t quiet_count        # deliveries whose acks it was sent without being woken, or will be
    uint64_t mark               # scratch of one call: highest sequence settled, or seen
    RunQueue runs[LEVEL_COUNT]
    bint up
    bint lost                   # down for so long that nothing is kept for it
    bint congested


cdef class GatewayState:
    cdef readonly uint32_t shard_count
    cdef readonly RouteStamps stamps
    cdef const Stamps *stamps_at        # the same
    cdef public uint64_t max_message_bytes
    cdef public bint publishes_blocked
    cdef uint32_t *flooded              # ids of queues that fill faster than they are emptied
    cdef uint32_t flooded_count
    cdef uint32_t flooded_capacity
    cdef ShardState *shards
    cdef list batches                   # Batch per shard
    cdef list rings                     # RingEnd per shard, or None: large publishes are written there at once
    cdef HandleTable connections        # owned references
    cdef HandleTable channels           # owned references
    cdef HandleTable consumers          # Consumer *, each owned by its channel
    cdef HandleList to_confirm          # channels with answered publishes
    cdef HandleList to_notify           # channels whose on_settled is due
    cdef HandleList to_credit           # connections whose output was taken
    cdef list dirty_connections
    cdef list spare_outputs             # batches that transports have, to be used again when they are done
    cdef Scratch stripped               # changed properties of the publish that is being handled
    cdef Scratch late
    cdef dict expected_gets             # request id: (channel, shard, no_ack)
    cdef Scratch offset_field           # of one delivery: stream_offsets.pyx
    cdef Scratch edited
    cdef list lent_files                # per shard: LentFile by number
    cdef list ended_files               # of which the shard says that they are gone, until the batch is done
    cdef list lent_connections          # connections with pieces in their output
    cdef list rooms                     # per shard: list of Room that are read to, the first one first
    cdef list room_files                # per shard: Room by number, all whose files are mapped
    cdef Room reading                   # where what is being handled lies, or None
    cdef Room joined                    # where the body of the publish that is being handled was put together, or None
    cdef uint8_t *spare_content         # memory for a large publish that comes in pieces: content.pyx
    cdef size_t spare_content_bytes


# What shards have sent to a connection's consumers, and how much of it CREDIT has returned.
cdef struct ShardCredit:
    uint64_t received_bytes
    uint64_t returned_bytes


cdef enum:
    # ConnectionState.pauses
    PAUSED_BY_METHOD = 1
    PAUSED_BY_HOLD = 2
    PAUSED_BY_OUTPUT = 4
    PAUSED_BY_PACE = 8


# Bytes of a connection's output that lie elsewhere: lent_output.pyx.
cdef struct Piece:
    size_t offset               # in the output: it goes before what is there
    const uint8_t *data
    size_t size


cdef class ConnectionState:
    cdef readonly GatewayState gateway
    cdef readonly uint32_t handle
    cdef public uint32_t frame_max
    cdef public bint opened
    cdef public bint closing
    cdef public bint impersonator
    cdef public bytes user_id
    cdef object vhost_name              # str
    cdef uint64_t vhost_hash
    cdef dict channels_by_number        # owns the channels
    cdef void **by_number               # the same, borrowed
    cdef uint32_t by_number_count
    cdef bint is_closed
    cdef bint is_deaf                   # a frame error: where the next frame begins is not known
    cdef bint is_writable
    cdef bint header_seen
    cdef bint publish_seen
    cdef bint settle_seen
    cdef public uint32_t feeds_flood    # id of a flooded queue that it has published to since this was last set to 0
    cdef bint processing
    cdef bint output_listed
    cdef bint credit_listed
    cdef uint8_t pauses
    cdef uint16_t current_channel       # of the frame that is being handled
    cdef int32_t held_by                # the congested shard a publish went to, or -1
    cdef uint8_t *backlog
    cdef size_t backlog_start
    cdef size_t backlog_end
    cdef size_t backlog_capacity
    cdef Batch output                   # None while there is none
    cdef Piece *pieces
    cdef uint32_t piece_count
    cdef uint32_t piece_capacity
    cdef size_t piece_bytes
    cdef ShardCredit *credit            # per shard; NULL until the first delivery
    cdef public bint roomless           # its socket cannot be read into rooms
    cdef uint32_t large_shard           # 1 + the shard that it published something large to, if it lately did; else 0
    cdef uint8_t small_reads            # in a room, since the last one that brought something large
    cdef Room room                      # where its next read goes, and something of it may be kept; or None
    cdef Room join_room                 # where a body of several frames is put together, or None
    cdef uint16_t join_channel          # whose body it is


cdef struct Consumer:
    void *channel                       # ChannelState, borrowed: the channel owns its consumers
    Consumer *next
    uint32_t handle
    uint32_t shard
    uint64_t next_offset                # of a stream: behind the last message that it was given; 0: none yet
    bint no_ack
    uint8_t tag_bytes
    uint8_t tag[1]                      # as long as tag_bytes says


cdef enum:
    CONTENT_NONE = 0
    CONTENT_HEADER = 1
    CONTENT_BODY = 2


# A publish that did not come in one read: exchange, routing key, payload of the content
# header frame, body, as far as they are here.
cdef struct Content:
    uint8_t *data
    size_t used
    size_t capacity
    uint64_t body_bytes
    uint64_t body_received
    uint32_t header_bytes
    uint8_t exchange_bytes
    uint8_t routing_key_bytes
    uint8_t mandatory
    uint8_t state
    bint joins                          # the body is not here: it is put together in connection.join_room


# What a channel knows of one shard.
cdef struct ChannelShard:
    uint64_t sequence                   # deliveries and gets that await an ack, counted as the shard does
    uint64_t delivered                  # of them, deliveries to consumers
    bint known                          # a consume or a get was ever sent there


# An open transaction: entries, see transactions.pyx.
cdef struct Transaction:
    uint8_t *data
    size_t used
    size_t capacity
    uint64_t publishes
    bint committing
    bint failed


cdef class ChannelState:
    cdef readonly ConnectionState connection
    cdef readonly GatewayState gateway
    cdef readonly uint32_t handle
    cdef readonly uint16_t number
    cdef public bint closing
    cdef public bint notify_settled
    cdef public uint32_t ack_slack      # with fewer unacknowledged deliveries, no consumer of it waits for acks
    cdef public bytes reply_to          # the name of its reply queue, or None
    cdef bint is_closed
    cdef bint is_confirming
    cdef bint is_transactional
    cdef bint confirm_listed
    cdef bint notify_listed
    cdef Content content
    cdef RouteCache routes
    cdef PublishWindow window
    cdef UnackedRing unacked
    cdef uint64_t delivery_tag          # the last one given
    cdef ChannelShard *by_shard              # NULL until the first consumer or get
    cdef Consumer *consumers
    cdef Transaction transaction


cdef inline ChannelState channel_at(ConnectionState connection, uint16_t number):
    """The channel open under this number, or None."""
    if number < connection.by_number_count and connection.by_number[number] != NULL:
        return <ChannelState> connection.by_number[number]
    return None


cdef int enter_channel(ConnectionState connection, ChannelState channel, uint16_t number) except -1
cdef int leave_channel(ConnectionState connection, uint16_t number) except -1
cdef int know_shard(ChannelState channel, uint32_t shard) except -1
# A body is not put together in a room any more; what was kept behind it stays where it is.
cdef void unjoin(ConnectionState connection) noexcept
cdef void reset_content(ChannelState channel) noexcept
cdef void forget_channel(ChannelState channel) noexcept
cdef int list_confirm(ChannelState channel) except -1
cdef int list_settled(ChannelState channel) except -1
cdef int list_credit(ConnectionState connection) except -1
cdef void free_consumers(ChannelState channel) noexcept
cdef Batch fresh_output(GatewayState gateway)
cdef int spare_output(GatewayState gateway, Batch taken) except -1
cdef uint8_t *reserve_output(ConnectionState connection, size_t n) except NULL
