# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The process-wide side of the core: batches from and to shards, shards up and down, handles.

Documented in gateway.pyi. Checks every length of a record before anything reads it; what the
records mean is done in deliveries.pyx, confirming.pyx and, for JSON, by the Python side.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, realloc

from bus.batch cimport Batch
from bus.lent cimport LentFile
from bus.records cimport (
    DELIVER_LENT, GET_GONE, KIND_DELIVER, KIND_GET_EMPTY, KIND_GET_OK, KIND_REFUSED, KIND_WATERMARK, RECORD_ALIGNMENT,
    DeliverRecord, GetEmptyRecord, JsonRecord, LentBody, RecordHeader, RefusedRecord, WatermarkRecord,
)
from bus.records cimport KIND_EVENT as EVENT
from bus.records cimport KIND_REQUEST as REQUEST
from bus.records cimport KIND_RESPONSE as RESPONSE
from bus.ring cimport RingEnd
from bus.room cimport Room
from gateway.core.confirming cimport finish, reach_watermark, refuse_by_record, refuse_in_flight, renumber_runs
from gateway.core.deliveries cimport deliver, deliver_got, deliver_nothing, return_credits
from gateway.core.expecting cimport expect_consumers
from gateway.core.handles cimport HandleTable, handle_value
from gateway.core.outgoing cimport append_json
from gateway.core.rooms cimport drop_rooms, end_idle
from gateway.core.state cimport ChannelState, ConnectionState, Consumer, GatewayState, ShardState
from gateway.core.unacked cimport SHARD_BITS, mark_stale

from bus.bad_record import BadRecord

KIND_REQUEST = REQUEST
KIND_RESPONSE = RESPONSE
KIND_EVENT = EVENT
SHARD_COUNT_MAX = 1 << SHARD_BITS
MAX_MESSAGE_BYTES_DEFAULT = 128 * 1024 * 1024

cdef enum:
    PROPERTY_FLAGS_BYTES = 2
    ROOM_FILES_MAX = 8              # mapped per shard: the two in use, the shard's spare ones, and some on their way back
    FLOODED_MAX = 64                # each publish is held against all of them


cdef class GatewayCore(GatewayState):
    def __init__(self, uint32_t shard_count, uint64_t max_message_bytes=128 * 1024 * 1024):
        if self.shards != NULL:
            raise RuntimeError("the gateway has been initialised before")
        if not 0 < shard_count <= 1 << SHARD_BITS:
            raise ValueError(f"a gateway has 1 to {SHARD_COUNT_MAX} shards")
        self.shards = <ShardState *> calloc(shard_count, sizeof(ShardState))
        if self.shards == NULL:
            raise MemoryError()
        self.shard_count = shard_count
        self.batches = [Batch() for _ in range(shard_count)]
        self.rings = [None] * shard_count
        self.lent_files = [{} for _ in range(shard_count)]
        self.rooms = [[] for _ in range(shard_count)]
        self.room_files = [{} for _ in range(shard_count)]
        self.max_message_bytes = max_message_bytes

    cdef ShardState *shard_at(self, uint32_t shard) except NULL:
        if shard >= self.shard_count:
            raise IndexError(f"no shard {shard}")
        return &self.shards[shard]

    # to the shards

    def outgoing(self, uint32_t shard):
        self.shard_at(shard)
        return self.batches[shard]

    def pending_shards(self):
        cdef uint32_t shard
        self.hand_over_rings()
        return [shard for shard in range(self.shard_count) if (<Batch> self.batches[shard]).size]

    cdef int hand_over_rings(self) except -1:
        """What was written straight into rings, before what is in the outgoing batches."""
        for ring in self.rings:
            if ring is not None and (<RingEnd> ring)._laid_bytes:
                (<RingEnd> ring).commit()
        return 0

    def use_ring(self, uint32_t shard, RingEnd ring):
        self.shard_at(shard)
        self.rings[shard] = ring

    def sent(self, uint32_t shard, uint64_t next_batch_number):
        self.shard_at(shard).next_batch = next_batch_number
        self.shards[shard].quiet_bytes = 0
        (<Batch> self.batches[shard]).clear()

    def request(self, uint32_t shard, uint32_t request_id, const uint8_t[::1] document not None):
        if not self.shard_at(shard).up:
            return False
        append_json(self, shard, REQUEST, request_id, document)
        return True

    def event(self, uint32_t shard, const uint8_t[::1] document not None):
        if not self.shard_at(shard).up:
            return False
        append_json(self, shard, EVENT, 0, document)
        return True

    def credits(self):
        return_credits(self)

    def set_flooded(self, uint32_t queue_id, bint flooded):
        cdef uint32_t i
        cdef uint32_t *grown
        for i in range(self.flooded_count):
            if self.flooded[i] == queue_id:
                if not flooded:
                    self.flooded_count -= 1
                    self.flooded[i] = self.flooded[self.flooded_count]
                return
        if not flooded or self.flooded_count >= FLOODED_MAX:
            return
        if self.flooded_count == self.flooded_capacity:
            grown = <uint32_t *> realloc(self.flooded, (2 * self.flooded_capacity + 4) * sizeof(uint32_t))
            if grown == NULL:
                raise MemoryError()
            self.flooded = grown
            self.flooded_capacity = 2 * self.flooded_capacity + 4
        self.flooded[self.flooded_count] = queue_id
        self.flooded_count += 1

    def set_congested(self, uint32_t shard, bint congested):
        self.shard_at(shard).congested = congested

    # from the shards

    def on_batch(self, uint32_t shard, const uint8_t[::1] view not None):
        self.shard_at(shard)
        try:
            if view.shape[0]:
                self.apply(shard, &view[0], view.shape[0])
        finally:
            finish(self)

    # bodies that stay in a shard's log

    def lend(self, uint32_t shard, uint64_t number, str path not None, uint64_t mapped_bytes, bytes beginning not None=b""):
        self.shard_at(shard)
        file = LentFile(path, mapped_bytes, beginning)
        self.lend_end(shard, number)        # one that this replaces may be named by the batch at hand
        (<dict> self.lent_files[shard])[number] = file

    def lend_end(self, uint32_t shard, uint64_t number):
        self.shard_at(shard)
        (<dict> self.room_files[shard]).pop(number, None)
        file = (<dict> self.lent_files[shard]).pop(number, None)
        if file is not None:
            self.ended_files.append(file)

    def room(self, uint32_t shard, uint64_t number, str path not None, uint64_t mapped_bytes, uint64_t start,
             uint64_t end, bytes beginning not None=b""):
        cdef Room room
        self.shard_at(shard)
        room = (<dict> self.room_files[shard]).get(number)
        if room is None:
            room = Room(shard, number, path, mapped_bytes, start, end, beginning)
            (<dict> self.room_files[shard])[number] = room
        elif room in <list> self.rooms[shard]:
            raise ValueError(f"shard {shard} has given room {number} already")
        else:
            room.open(start, end, beginning)
        (<list> self.rooms[shard]).append(room)
        self.unmap_rooms(shard)

    def end_idle_rooms(self):
        end_idle(self)

    cdef int unmap_rooms(self, uint32_t shard) except -1:
        """Rooms that come back again and again stay mapped; those of a backlog do not, or it would count as this process's."""
        cdef dict files = self.room_files[shard]
        if len(files) > ROOM_FILES_MAX:
            for number, room in files.items():
                if room not in <list> self.rooms[shard]:
                    del files[number]
                    break
        return 0

    def take_lent(self):
        cdef list connections = self.lent_connections
        self.lent_connections = []
        return connections

    def end_files(self):
        if self.lent_connections:
            raise RuntimeError("there is output that names them")
        self.ended_files.clear()

    cdef int apply(self, uint32_t shard, const uint8_t *data, size_t n) except -1:
        cdef const RecordHeader *record
        cdef const WatermarkRecord *watermark
        cdef const RefusedRecord *refused
        cdef size_t position = 0
        cdef size_t expected = 0            # what records before it need was asked for
        cdef uint32_t recent = 0
        failure = None
        while position < n:
            record = <const RecordHeader *> (data + position)
            if (
                n - position < sizeof(RecordHeader) or record.record_bytes > n - position
                or record.record_bytes < sizeof(RecordHeader) or record.record_bytes % RECORD_ALIGNMENT
            ):
                raise BadRecord(f"shard {shard}: a record's length is wrong")
            if record.kind == KIND_DELIVER:
                check_deliver(<const DeliverRecord *> record)
                if (<const DeliverRecord *> record).consumer != recent:
                    recent = (<const DeliverRecord *> record).consumer
                    if position >= expected:
                        expected = expect_consumers(self, data, position, n)
                deliver(self, shard, <const DeliverRecord *> record)
            elif record.kind == KIND_WATERMARK:
                check_size(record, sizeof(WatermarkRecord))
                watermark = <const WatermarkRecord *> record
                reach_watermark(self, shard, watermark.processed_batch, watermark.durable_batch)
            elif record.kind == KIND_REFUSED:
                check_size(record, sizeof(RefusedRecord))
                refused = <const RefusedRecord *> record
                refuse_by_record(self, refused.channel, refused.publish_sequence)
            elif record.kind == KIND_GET_OK:
                check_deliver(<const DeliverRecord *> record)
                try:
                    self.got(shard, <const DeliverRecord *> record)
                except Exception as error:
                    failure = failure or error
            elif record.kind == KIND_GET_EMPTY:
                check_size(record, sizeof(GetEmptyRecord))
                try:
                    self.got_nothing(<const GetEmptyRecord *> record)
                except Exception as error:
                    failure = failure or error
            elif record.kind == RESPONSE or record.kind == EVENT or record.kind == REQUEST:
                check_size(record, sizeof(JsonRecord))
                try:
                    self.hand_over(shard, <const JsonRecord *> record)
                except Exception as error:
                    failure = failure or error
            else:
                raise BadRecord(f"shard {shard}: a record of unknown kind {record.kind}")
            position += record.record_bytes
        if failure is not None:
            raise failure
        return 0

    cdef int hand_over(self, uint32_t shard, const JsonRecord *record) except -1:
        cdef const uint8_t *document = <const uint8_t *> record + sizeof(JsonRecord)
        if record.json_bytes > record.record_bytes - sizeof(JsonRecord):
            raise BadRecord(f"shard {shard}: a document's length is wrong")
        (<object> self).on_json(shard, record.kind, record.request_id, document[:record.json_bytes])
        return 0

    cdef int got(self, uint32_t shard, const DeliverRecord *record) except -1:
        cdef ChannelState channel
        expected = self.expected_gets.pop(record.consumer, None)
        if expected is None:
            return 0
        channel = <ChannelState?> expected[0]
        deliver_got(channel, shard, record, expected[2])
        (<object> channel).on_get_ok(record.consumer)
        return 0

    cdef int got_nothing(self, const GetEmptyRecord *record) except -1:
        cdef ChannelState channel
        expected = self.expected_gets.pop(record.request_id, None)
        if expected is None:
            return 0
        channel = <ChannelState?> expected[0]
        if record.flags & GET_GONE:
            (<object> channel).on_get_gone(record.request_id)
            return 0
        deliver_nothing(channel)
        (<object> channel).on_get_ok(record.request_id)
        return 0

    def shard_up(self, uint32_t shard, uint64_t next_batch_number=1):
        cdef ShardState *state = self.shard_at(shard)
        if state.up:
            self.shard_down(shard)
        # what was published meanwhile goes first
        renumber_runs(self, shard, next_batch_number)
        state.next_batch = next_batch_number
        state.up = True
        state.lost = False

    def shard_lost(self, uint32_t shard):
        cdef ShardState *state = self.shard_at(shard)
        if state.up:
            raise ValueError(f"shard {shard} is up")
        state.lost = True
        state.quiet_bytes = 0
        (<Batch> self.batches[shard]).clear()
        try:
            refuse_in_flight(self, shard)
        finally:
            finish(self)

    def shard_down(self, uint32_t shard):
        cdef ShardState *state = self.shard_at(shard)
        cdef ChannelState channel
        cdef ConnectionState connection
        cdef uint32_t slot
        state.up = False
        state.lost = False
        state.congested = False
        state.quiet_bytes = 0
        state.quiet_count = 0
        (<Batch> self.batches[shard]).clear()
        self.rings[shard] = None
        drop_rooms(self, shard)
        self.ended_files.extend((<dict> self.lent_files[shard]).values())
        (<dict> self.lent_files[shard]).clear()
        for request_id in [key for key, expected in self.expected_gets.items() if expected[1] == shard]:
            del self.expected_gets[request_id]
        for slot in range(self.connections.count):
            if self.connections.slots[slot].value != NULL:
                connection = <ConnectionState> self.connections.slots[slot].value
                if connection.credit != NULL:
                    connection.credit[shard].received_bytes = 0
                    connection.credit[shard].returned_bytes = 0
        for slot in range(self.channels.count):
            if self.channels.slots[slot].value != NULL:
                channel = <ChannelState> self.channels.slots[slot].value
                mark_stale(&channel.unacked, shard)
                if channel.by_shard != NULL:
                    channel.by_shard[shard].sequence = 0
                    channel.by_shard[shard].delivered = 0
        try:
            refuse_in_flight(self, shard)
        finally:
            finish(self)

    def shard_is_up(self, uint32_t shard):
        return bool(self.shard_at(shard).up)

    # to the clients

    def dirty(self):
        cdef list connections = self.dirty_connections
        cdef ConnectionState connection
        self.dirty_connections = []
        for connection in connections:
            connection.output_listed = False
        return connections

    # handles

    def connection(self, uint32_t handle):
        cdef void *value = handle_value(&self.connections, handle)
        return None if value == NULL else <object> value

    def channel(self, uint32_t handle):
        cdef void *value = handle_value(&self.channels, handle)
        return None if value == NULL else <object> value

    def consumer(self, uint32_t handle):
        cdef Consumer *consumer = <Consumer *> handle_value(&self.consumers, handle)
        cdef const uint8_t *tag
        if consumer == NULL:
            return None
        tag = consumer.tag
        return <object> consumer.channel, tag[:consumer.tag_bytes]

    def send_outgoing(self, shard):
        pass

    def on_json(self, shard, kind, request_id, document):
        raise NotImplementedError("the worker subclasses GatewayCore")


cdef int check_size(const RecordHeader *record, size_t n) except -1:
    if record.record_bytes < n:
        raise BadRecord(f"a record of kind {record.kind} is too short")
    return 0


cdef int check_deliver(const DeliverRecord *record) except -1:
    cdef uint64_t content_bytes
    check_size(<const RecordHeader *> record, sizeof(DeliverRecord))
    content_bytes = (
        <uint64_t> record.exchange_bytes + record.routing_key_bytes + record.properties_bytes + record.body_bytes
    )
    if record.flags & DELIVER_LENT:
        if record.kind != KIND_DELIVER or record.body_bytes == 0:
            raise BadRecord("nothing is lent that way")
        content_bytes += sizeof(LentBody)
        content_bytes -= record.body_bytes
    if content_bytes > record.record_bytes - sizeof(DeliverRecord):
        raise BadRecord("a delivery's lengths do not fit its record")
    if record.properties_bytes < PROPERTY_FLAGS_BYTES:
        raise BadRecord("a delivery has no property flags")
    return 0
