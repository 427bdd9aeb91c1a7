# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The store of one shard: its messages, durable and transient, in segments.

Owns the table of segments, the two tails that take records, and the lists of what is
to be synchronised and tidied up. Entries (log/store.pxd) name messages by segment and
slot. It starts no thread and never waits for the disk: `sync_target` says what a
commit has to synchronise (log/commit.py), `take_chores` what may be done on the side
(log/chores.py). All methods belong to the thread of the shard's loop.
"""
import errno
import logging
import os
from collections import deque

import numpy as np

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from log.formats cimport (
    ACKNOWLEDGED, DELIVERY_COUNT_MAX, ENTRY_DELAYED, ENTRY_EXPIRES, HEADER_BYTES, IDENTIFIER_BYTES, INDEX_COPIED,
    INDEX_DELAYED, INDEX_IDENTIFIER, INDEX_SETTLED, MOVED, NO_TTL, RECORD_BYTES_MAX, RECORD_DELAYED, RECORD_DIED,
    RECORD_APART, RECORD_COPIED, RECORD_IDENTIFIER, RECORD_MESSAGE, RECORD_PERSISTENT, IndexEntry, RecordQueue,
    StoredRecord, time_after, ttl_of,
)
from log.segment cimport (
    FORWARD_ACKNOWLEDGED, FORWARD_DAMAGED, SEGMENT_ACTIVE, SEGMENT_COMPLETE, SEGMENT_FORWARDING, SEGMENT_GONE,
    ROOM_START, Segment, fill_entry, plausible_record, record_checksum,
)

from log.chores import PrepareSegment, RemoveFiles, SealSegment
from log.commit import CommitTicket
from log.disk import Disk
from log.formats import ENTRY_DTYPE
from log.machine import close_run

logger = logging.getLogger(__name__)

SEGMENT_BYTES = 64 << 20
SEGMENT_BYTES_MIN = 4 << 10
SEGMENT_BYTES_MAX = 16 << 30        # with a largest message behind it, positions / 8 still fit 32 bits
TRANSIENT_BYTES_MAX = 1 << 30
# Below this the memory file system (/dev/shm in a container is 64 MiB) is left alone.
MEMORY_FREE_BYTES_MIN = 256 << 20

cdef enum:
    # No record for one queue is smaller: what the index of a segment has room for.
    ENTRY_DATA_BYTES_MIN = 64
    SPARE_SEGMENTS_MAX = 1
    # A transient tail that holds nothing starts over once it is this long: its pages stay in the caches.
    REWIND_BYTES = 1 << 20
    POPULATED_BYTES_MIN = 64 << 10
    POPULATED_BYTES_MAX = 1 << 20
    # Of one room, where segments are not smaller: some turns of a gateway, and little enough that a few of them stay in
    # the caches. Below the lesser number a read or two would fill it: then there are none.
    # Of one for bodies of which such a room would have place for three at most. ROOM_BODY_BYTES_MAX is the largest.
    # Each is a little larger than a power of two: so many bodies of a power of two fit it, with the heads of their frames.
    ROOM_BYTES_MAX = (4 << 20) + (256 << 10)
    ROOM_BYTES_OF_LARGE = (16 << 20) + (512 << 10)
    ROOM_SMALL_BODY_BYTES_MAX = 1 << 20
    ROOM_BYTES_MIN = 512 << 10
    # Behind it, for the records of what lies in it: as much as the smallest bodies that are left there need.
    ROOM_RECORDS_BYTES = 64 << 10
    ROOM_SLOTS = 1 << 10
    SPARE_ROOMS_MAX = 4             # as many as there are in turn between a publisher and a consumer that keeps up


cdef void describe(const uint8_t *data, const StoredRecord *record, Message *message) noexcept nogil:
    """The message that a plausible record of a segment's data holds."""
    message.content = (<const uint8_t *> (record + 1)) + <size_t> record.queue_count * sizeof(RecordQueue)
    message.properties_bytes = record.properties_bytes
    message.body_bytes = record.body_bytes
    message.exchange_bytes = record.exchange_bytes
    message.routing_key_bytes = record.routing_key_bytes
    message.content_bytes = (
        <size_t> record.exchange_bytes + record.routing_key_bytes + record.properties_bytes + record.body_bytes
    )
    message.priority = record.priority
    message.persistent = record.flags & RECORD_PERSISTENT
    message.delayed = record.flags & RECORD_DELAYED
    message.died = record.flags & RECORD_DIED
    message.handed_over = False
    message.queue_count = record.queue_count
    message.ttl_ms = record.ttl_ms
    message.received_at_ms = record.received_at_ms
    message.room = NULL
    message.apart = NULL
    if record.flags & RECORD_APART:
        message.apart = data + (<const uint64_t *> ((<const uint8_t *> record) + record.record_bytes) - 1)[0]


cdef inline uint64_t size_of_record(uint64_t content_bytes, uint64_t queue_count) noexcept nogil:
    return (sizeof(StoredRecord) + queue_count * sizeof(RecordQueue) + content_bytes + 7) & ~(<uint64_t> 7)


cdef inline uint64_t size_of_apart(const Message *message, uint64_t queue_count) noexcept nogil:
    """Of a record whose body lies elsewhere."""
    return size_of_record(head_bytes_of(message), queue_count) + sizeof(uint64_t)


cdef uint64_t memory_needed(uint64_t data_bytes, uint64_t queue_count) noexcept nogil:
    """What a segment takes when it is full, with index and acks."""
    return data_bytes + max(data_bytes // ENTRY_DATA_BYTES_MIN, queue_count) * (sizeof(IndexEntry) + 1) + 3 * HEADER_BYTES


cdef class Store:
    """See the module."""

    def __init__(self, str durable_directory not None, str transient_directory not None, str spill_directory not None,
                 *, uint64_t segment_bytes=SEGMENT_BYTES, uint64_t transient_bytes_max=TRANSIENT_BYTES_MAX,
                 clock_ms, disk=None):
        if not SEGMENT_BYTES_MIN <= segment_bytes <= SEGMENT_BYTES_MAX:
            raise ValueError(f"segment_bytes is {segment_bytes}, not {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX}")
        self.durable_directory = durable_directory
        self.transient_directory = transient_directory
        self.spill_directory = spill_directory
        self.segment_bytes = segment_bytes
        self.transient_bytes_max = transient_bytes_max
        self.clock_ms = clock_ms
        self.disk = Disk() if disk is None else disk
        self.segments = []
        self.free_places = []
        self.spare = []
        self.spare_rooms = []
        self.dirty = []
        self.synchronising = []
        self.copied = []
        self.removed_lent = []
        self.compacted_bytes_min = compaction.COMPACTED_BYTES_MIN
        self.spare_bytes_max = segment_bytes + 2 * HEADER_BYTES
        self.chores = deque()
        self.next_number = 1
        self.next_salt = int.from_bytes(os.urandom(4), "little")
        self.highest_numbers = {}
        self.disk.make_directory(durable_directory)
        for directory in (transient_directory, spill_directory):
            os.makedirs(directory, mode=0o750, exist_ok=True)

    # -- per message

    cdef int append(self, bint durable, const Message *message, const uint32_t *queue_ids, const uint64_t *numbers,
                    const uint32_t *attributes, uint32_t queue_count, Entry *entries) except -1:
        return self.append_record(
            durable, message, queue_ids, numbers, attributes, queue_count, entries,
            (RECORD_PERSISTENT if message.persistent else 0) | (RECORD_DELAYED if message.delayed else 0)
            | (RECORD_DIED if message.died else 0))

    cdef int append_record(self, bint durable, const Message *message, const uint32_t *queue_ids,
                           const uint64_t *numbers, const uint32_t *attributes, uint32_t queue_count, Entry *entries,
                           uint8_t flags) except -1:
        cdef Segment segment = self.durable_tail if durable else self.transient_tail
        cdef uint64_t record_bytes = size_of_record(message.content_bytes, queue_count)
        cdef uint64_t position
        cdef StoredRecord *record
        cdef RecordQueue *queue
        cdef IndexEntry *index
        cdef uint8_t *content
        cdef uint64_t copied_bytes = message.content_bytes
        cdef uint32_t i, slot, live = queue_count
        cdef bint large
        flags &= ~RECORD_APART
        if message.room != NULL and not durable and (<Segment> message.room).takes_apart(
                size_of_apart(message, queue_count), queue_count):
            segment = <Segment> message.room
            record_bytes = size_of_apart(message, queue_count)
            copied_bytes = head_bytes_of(message)
            flags |= RECORD_APART
        if queue_count == 0 or record_bytes > RECORD_BYTES_MAX:
            raise ValueError(f"a record of {record_bytes} bytes for {queue_count} queues")
        if segment is None or not segment.fits(record_bytes, queue_count):
            segment = self.rotate(durable, record_bytes, queue_count)
        if (
            segment.data_used_bytes + record_bytes > segment.data_ready_bytes
            or segment.slots_used + queue_count > segment.slots_ready
        ):
            segment = self.grow_tail(segment, record_bytes, queue_count)

        position = segment.data_used_bytes
        slot = segment.slots_used
        if segment.staging != NULL and position + record_bytes > segment.flushed_bytes + segment.staging_bytes:
            segment.flush()
        # A record larger than the staging room has its head in the mapping and its content written directly.
        large = segment.staging != NULL and record_bytes > segment.staging_bytes
        record = <StoredRecord *> ((segment.data if large else <uint8_t *> segment.base(position)) + position)
        record.record_bytes = <uint32_t> record_bytes
        record.kind = RECORD_MESSAGE
        record.flags = flags
        record.reserved = 0
        record.first_slot = slot
        record.received_at_ms = message.received_at_ms
        record.ttl_ms = message.ttl_ms
        record.properties_bytes = message.properties_bytes
        record.body_bytes = message.body_bytes
        record.exchange_bytes = message.exchange_bytes
        record.routing_key_bytes = message.routing_key_bytes
        record.priority = message.priority
        record.reserved2 = 0
        record.queue_count = queue_count
        queue = <RecordQueue *> (record + 1)
        for i in range(queue_count):
            queue[i].queue_id = queue_ids[i]
            queue[i].attributes = 0 if attributes == NULL else attributes[i]
            queue[i].entry_number = numbers[i]
            index = segment.entry(slot + i)
            fill_entry(index, record, queue + i, position)
            entries[i].number = numbers[i]
            entries[i].segment = segment.place
            entries[i].slot = slot + i
            entries[i].position8 = <uint32_t> (position // 8)
            entries[i].flags = 0
            if index.expires_at_ms:
                entries[i].flags = ENTRY_DELAYED if index.flags & INDEX_DELAYED else ENTRY_EXPIRES
            elif index.flags & INDEX_SETTLED:
                segment.ack_byte(slot + i)[0] = ACKNOWLEDGED
                live -= 1
            entries[i].delivery_count = 0
            entries[i].priority = message.priority
        content = <uint8_t *> (queue + queue_count)
        if large:
            record.crc32c = segment.write_content(
                position, record, message.content, head_bytes_of(message), body_of(message), message.body_bytes)
        else:
            if copied_bytes & 7:
                # The last eight bytes first: they hold the padding.
                (<uint64_t *> (content + (copied_bytes & ~(<uint64_t> 7))))[0] = 0
            if flags & RECORD_APART:
                segment.apart_bytes += message.body_bytes
                memcpy(content, message.content, copied_bytes)
                (<uint64_t *> ((<uint8_t *> record) + record_bytes) - 1)[0] = message.apart - segment.data
            elif message.apart != NULL:
                memcpy(content, message.content, head_bytes_of(message))
                memcpy(content + head_bytes_of(message), message.apart, message.body_bytes)
            else:
                memcpy(content, message.content, copied_bytes)
            record.crc32c = record_checksum(segment.salt, position, record)
        if large:
            segment.flushed_bytes = position + record_bytes

        segment.data_used_bytes = position + record_bytes
        segment.slots_used = slot + queue_count
        segment.live += live
        self.live_entries += live
        if flags & RECORD_IDENTIFIER:
            segment.live_identifiers += live
        if durable:
            self.appended_position += record_bytes
            if not segment.dirty:
                segment.dirty = True
                self.dirty.append(segment)
        return 0

    cdef int make_room(self, bint durable, uint64_t content_bytes, uint32_t queue_count,
                       uint32_t identifier_count) except -1:
        cdef Segment segment = self.durable_tail if durable else self.transient_tail
        cdef uint64_t record_bytes = (
            size_of_record(content_bytes, queue_count) + identifier_count * size_of_record(IDENTIFIER_BYTES, 1))
        cdef uint32_t slots = queue_count + identifier_count
        if segment is None or not segment.fits(record_bytes, slots):
            segment = self.rotate(durable, record_bytes, slots)
        if (
            segment.data_used_bytes + record_bytes > segment.data_ready_bytes
            or segment.slots_used + slots > segment.slots_ready
        ):
            self.grow_tail(segment, record_bytes, slots)
        return 0

    cdef int append_identifier(self, bint durable, const uint8_t *identifier, uint64_t received_at_ms,
                               uint32_t queue_id, uint64_t number, bint recovered, Entry *entry) except -1:
        cdef Message message
        memset(&message, 0, sizeof(Message))
        message.content = identifier
        message.content_bytes = message.body_bytes = IDENTIFIER_BYTES
        message.ttl_ms = NO_TTL
        message.received_at_ms = received_at_ms
        return self.append_record(
            durable, &message, &queue_id, &number, NULL, 1, entry,
            RECORD_IDENTIFIER | (RECORD_COPIED if recovered else 0))

    cdef bint synchronise(self, const Entry *entry) except -1:
        cdef Segment segment = self.segment_of(entry)
        if segment is None or not segment.durable:
            return False
        segment.flush()
        segment.synchronise_apart("data")
        return True

    cdef bint identifies(self, const Entry *entry, uint32_t queue_id) except -1:
        cdef Segment segment = self.segment_of(entry)
        cdef const IndexEntry *index
        cdef uint64_t number
        cdef uint32_t position8
        cdef int64_t slot = entry.slot
        if segment is None or segment.state == SEGMENT_FORWARDING:
            return False
        index = segment.entry(entry.slot)
        if index.flags & INDEX_COPIED:
            return True
        number = index.entry_number
        # Before it are the ids of other queues that got the message, and before these the message.
        while slot and segment.entry(<uint32_t> slot).flags & INDEX_IDENTIFIER:
            slot -= 1
        position8 = segment.entry(<uint32_t> slot).position8
        while slot >= 0 and position8 and segment.entry(<uint32_t> slot).position8 == position8:
            index = segment.entry(<uint32_t> slot)
            if index.queue_id == queue_id and index.entry_number == number:
                return True
            slot -= 1
        return False

    cdef Segment segment_of(self, const Entry *entry):
        """The segment that an entry names; None where that is gone, as all its entries were acknowledged."""
        cdef Segment segment = None
        if entry.segment < <uint32_t> len(self.segments):
            segment = <Segment> self.segments[entry.segment]
            if segment is not None and entry.slot >= segment.slots_used:
                segment = None
        return segment

    cdef int read(self, const Entry *entry, Message *message) except -1:
        cdef Segment segment = self.segment_of(entry)
        cdef uint64_t position = <uint64_t> entry.position8 * 8
        cdef uint64_t target
        cdef int64_t row
        cdef uint32_t slot = entry.slot
        cdef const uint8_t *data
        cdef const StoredRecord *record
        if segment is None:
            return 0
        while segment.state == SEGMENT_FORWARDING:
            row = segment.forward_find(slot)
            target = segment.forward_targets[row] if row >= 0 else FORWARD_ACKNOWLEDGED
            if target >= FORWARD_DAMAGED:
                return 0
            segment = <Segment> self.segments[target >> 32]
            slot = <uint32_t> target
            if segment.state != SEGMENT_FORWARDING:
                position = <uint64_t> segment.entry(slot).position8 * 8
        data = segment.base(position)
        record = <const StoredRecord *> (data + position)
        if (
            plausible_record(data, position, segment.data_used_bytes) == 0
            or slot - record.first_slot >= record.queue_count
            or segment.verify and record_checksum(segment.salt, position, record) != record.crc32c
        ):
            self.damaged(segment, slot)
            return 0
        describe(segment.data, record, message)
        return 1

    cdef Segment place_of_body(self, const Entry *entry, const Message *message, uint64_t *position):
        cdef Segment segment = self.segment_of(entry)
        cdef uint32_t slot = entry.slot
        cdef uint64_t target, start
        cdef int64_t row
        cdef const uint8_t *data
        cdef const StoredRecord *record
        if segment is None:
            return None
        while segment.state == SEGMENT_FORWARDING:
            row = segment.forward_find(slot)
            target = segment.forward_targets[row] if row >= 0 else FORWARD_ACKNOWLEDGED
            if target >= FORWARD_DAMAGED:
                return None
            segment = <Segment> self.segments[target >> 32]
            slot = <uint32_t> target
        start = <uint64_t> segment.entry(slot).position8 * 8
        data = segment.base(start)
        if start == 0 or plausible_record(data, start, segment.data_used_bytes) == 0:
            return None
        record = <const StoredRecord *> (data + start)
        if record.body_bytes != message.body_bytes:
            return None
        if record.flags & RECORD_APART:
            position[0] = (<const uint64_t *> (data + start + record.record_bytes) - 1)[0]
            return segment
        position[0] = (
            start + sizeof(StoredRecord) + <uint64_t> record.queue_count * sizeof(RecordQueue)
            + record.exchange_bytes + record.routing_key_bytes + record.properties_bytes)
        return segment

    cdef Segment open_room(self, uint64_t body_bytes=0):
        cdef Segment segment = None
        if body_bytes > ROOM_SMALL_BODY_BYTES_MAX:
            segment = self.open_room_of(min(<uint64_t> ROOM_BYTES_OF_LARGE, self.segment_bytes))
        if segment is None:
            segment = self.open_room_of(min(<uint64_t> ROOM_BYTES_MAX, self.segment_bytes))
        return segment

    cdef Segment spare_room_of(self, uint64_t room_bytes):
        cdef Segment segment
        cdef Py_ssize_t i
        for i in range(len(self.spare_rooms) - 1, -1, -1):
            segment = <Segment> self.spare_rooms[i]
            if segment.room_bytes == room_bytes:
                del self.spare_rooms[i]
                self.idle_rooms = min(self.idle_rooms, i)
                return segment
        return None

    cdef Segment open_room_of(self, uint64_t room_bytes):
        cdef uint64_t data_bytes = ROOM_START - HEADER_BYTES + room_bytes + ROOM_RECORDS_BYTES
        cdef uint64_t needed = data_bytes + ROOM_SLOTS * (sizeof(IndexEntry) + 1) + 3 * HEADER_BYTES
        cdef Segment segment
        if room_bytes < ROOM_BYTES_MIN:
            return None
        segment = self.spare_room_of(room_bytes)
        if segment is not None:
            self.next_salt += 1
            segment.recycle(self.next_salt, self.clock_ms())
        else:
            if self.memory_bytes + needed > self.transient_bytes_max:
                return None
            parameters = self.segment_parameters(False, directory=self.transient_directory, in_memory=True)
            parameters.update(data_bytes=data_bytes, slots=ROOM_SLOTS)
            try:
                if self.disk.free_bytes(self.transient_directory) < MEMORY_FREE_BYTES_MIN + needed:
                    return None
                segment = Segment.create(**parameters)
            except OSError:
                return None             # of descriptors, mappings or memory: whoever needs them says so
            segment.memory_bytes = needed
            self.memory_bytes += needed
        segment.given = True
        self.add(segment)
        try:
            segment.lay_room(room_bytes)
        except OSError:
            self.close_room(segment, True)
            return None
        return segment

    cdef int close_room(self, Segment segment, bint spoiled) except -1:
        segment.given = False
        if spoiled:
            segment.spoiled = True
        segment.complete()
        if segment.live == 0:
            self.emptied(segment)
        return 0

    cdef int give_back(self, Segment segment) except -1:
        segment.lent -= 1
        if segment.lent == 0 and segment.live == 0 and segment.state <= SEGMENT_COMPLETE:
            self.emptied(segment)
        return 0

    cdef const IndexEntry *index_of(self, const Entry *entry) noexcept:
        cdef Segment segment = self.segment_of(entry)
        cdef uint32_t slot = entry.slot
        cdef uint64_t target
        cdef int64_t row
        if segment is None:
            return NULL
        while segment.state == SEGMENT_FORWARDING:
            row = segment.forward_find(slot)
            target = segment.forward_targets[row] if row >= 0 else FORWARD_ACKNOWLEDGED
            if target >= FORWARD_DAMAGED:
                return NULL
            segment = <Segment> self.segments[target >> 32]
            slot = <uint32_t> target
        return segment.entry(slot)

    cdef uint64_t not_before(self, const Entry *entry) noexcept:
        cdef const IndexEntry *index = self.index_of(entry)
        return 0 if index == NULL else index.expires_at_ms

    cdef uint64_t expires_at(self, const Entry *entry) except? 0:
        cdef const IndexEntry *index = self.index_of(entry)
        cdef const RecordQueue *queue
        cdef Message message
        cdef uint64_t ttl_ms
        cdef uint32_t i
        if index == NULL:
            return 0                # it is gone: whoever reads it finds out
        if not index.flags & INDEX_DELAYED:
            return index.expires_at_ms if index.expires_at_ms else NO_TTL
        # The index has the time of a delayed message; its TTLs are in the record.
        if not self.read(entry, &message):
            return 0
        ttl_ms = message.ttl_ms
        queue = (<const RecordQueue *> message.content) - 1
        # The queues of the record lie right before its content, in the order of their slots.
        for i in range(message.queue_count):
            if (queue - i).entry_number == index.entry_number and (queue - i).queue_id == index.queue_id:
                ttl_ms = ttl_of(<const StoredRecord *> (queue + 1 - message.queue_count) - 1, queue - i)
                break
        return NO_TTL if ttl_ms == NO_TTL else time_after(message.received_at_ms, ttl_ms)

    cdef void delivered(self, const Entry *entry, uint8_t delivery_count) noexcept:
        cdef Segment segment = self.segment_of(entry)
        cdef uint8_t *ack
        cdef uint8_t count = DELIVERY_COUNT_MAX if delivery_count > DELIVERY_COUNT_MAX else delivery_count
        cdef uint32_t slot = entry.slot
        cdef uint64_t target
        cdef int64_t row
        if segment is None:
            return
        while True:
            if segment.acks != NULL:
                ack = segment.ack_byte(slot)
                # A byte only ever grows.
                if ack[0] < count:
                    ack[0] = count
            if segment.forward_count == 0:
                return
            row = segment.forward_find(slot)
            target = segment.forward_targets[row] if row >= 0 else FORWARD_ACKNOWLEDGED
            if target >= FORWARD_DAMAGED:
                return
            segment = <Segment> self.segments[target >> 32]
            slot = <uint32_t> target

    cdef int acked(self, const Entry *entry) except -1:
        cdef Segment segment = self.segment_of(entry)
        cdef uint8_t *ack
        if segment is None:
            return 0
        if segment.forward_count:
            self.live_entries -= self.acked_forwarded(segment, entry.slot)
            return 0
        ack = segment.ack_byte(entry.slot)
        if ack[0] >= MOVED:
            return 0
        ack[0] = ACKNOWLEDGED
        segment.live -= 1
        self.live_entries -= 1
        if segment.live_identifiers and segment.entry(entry.slot).flags & INDEX_IDENTIFIER:
            segment.live_identifiers -= 1
        if segment.live == 0:
            self.emptied(segment)
        return 0

    cdef int acked_forwarded(self, Segment segment, uint32_t slot) except -1:
        """Marks the entry here and wherever it was copied to; 1 where it was live, else 0."""
        cdef int64_t row = segment.forward_find(slot)
        cdef uint64_t target
        if row >= 0:
            target = segment.forward_targets[row]
            if target == FORWARD_ACKNOWLEDGED:
                return 0
            segment.forward_targets[row] = FORWARD_ACKNOWLEDGED
            if target != FORWARD_DAMAGED:
                self.acked_forwarded(<Segment> self.segments[target >> 32], <uint32_t> target)
        if segment.acks != NULL:
            if segment.ack_byte(slot)[0] >= MOVED:
                return 0
            segment.ack_byte(slot)[0] = ACKNOWLEDGED
            if segment.live_identifiers and segment.entry(slot).flags & INDEX_IDENTIFIER:
                segment.live_identifiers -= 1
        elif row < 0:
            return 0
        segment.live -= 1
        if segment.live == 0:
            self.emptied(segment)
        return 1

    def forget(self, entries) -> None:
        """Acknowledges entries (ENTRY_DTYPE): of queues that are no more, or purged."""
        cdef const uint8_t[::1] raw
        cdef Py_ssize_t i
        if len(entries):
            if entries.dtype != ENTRY_DTYPE:
                raise TypeError(f"entries are {ENTRY_DTYPE}, not {entries.dtype}")
            raw = np.ascontiguousarray(entries).view(np.uint8)
            for i in range(len(entries)):
                self.acked((<const Entry *> &raw[0]) + i)

    # -- per segment

    cdef Segment rotate(self, bint durable, uint64_t record_bytes, uint32_t queue_count):
        """A tail that a record fits in; the one before is complete. OSError, and the old tail stays, on a full disk."""
        cdef Segment segment
        if durable:
            if self.prepared is not None and self.prepared.fits(record_bytes, queue_count):
                segment, self.prepared = self.prepared, None
            else:
                segment = self.create(True, record_bytes, queue_count, self.durable_directory, False)
        elif self.spare and (<Segment> self.spare[0]).could_hold(record_bytes, queue_count):
            segment = <Segment> self.spare.pop(0)
            self.next_salt += 1
            segment.recycle(self.next_salt, self.clock_ms())
        else:
            segment = self.create_transient(record_bytes, queue_count)
        return self.replace_tail(durable, segment)

    cdef Segment replace_tail(self, bint durable, Segment segment):
        cdef Segment old = self.durable_tail if durable else self.transient_tail
        self.add(segment)
        if durable:
            self.durable_tail = segment
        else:
            self.transient_tail = segment
        if old is not None:
            old.complete()
            if old.live == 0:
                self.emptied(old)
            elif not old.in_memory:
                self.seal_later(old)
            if durable and self.prepared is None and not self.preparing:
                self.preparing = True
                self.chores.append(PrepareSegment(self, self.segment_parameters(True)))
        return segment

    cdef uint64_t populate_bytes(self, Segment segment):
        """How far ahead pages are mapped: as much as came since the last commit began."""
        if not segment.durable:
            return POPULATED_BYTES_MAX
        return max(<uint64_t> POPULATED_BYTES_MIN,
                   min(<uint64_t> POPULATED_BYTES_MAX, self.appended_position - self.ticket_position))

    cdef Segment grow_tail(self, Segment segment, uint64_t record_bytes, uint32_t queue_count):
        """Room on the disk for a record that fits into the tail; OSError where there is none."""
        try:
            segment.reserve(record_bytes, queue_count, self.populate_bytes(segment))
            return segment
        except OSError as error:
            if not segment.in_memory or error.errno != errno.ENOSPC:
                raise
        # The memory file system was filled by somebody else.
        return self.replace_tail(False, self.create(False, record_bytes, queue_count, self.spill_directory, False))

    def segment_parameters(self, bint durable, uint64_t record_bytes=0, uint32_t queue_count=0, str directory=None,
                           bint in_memory=False) -> dict:
        """Of a new segment, of its own size where the record is larger than a segment is meant to be."""
        cdef uint64_t data_bytes = max(self.segment_bytes, record_bytes)
        number, self.next_number = self.next_number, self.next_number + 1
        self.next_salt += 1
        return dict(
            disk=self.disk, directory=self.durable_directory if directory is None else directory, number=number,
            data_bytes=data_bytes, slots=max(data_bytes // ENTRY_DATA_BYTES_MIN, <uint64_t> queue_count),
            durable=durable, in_memory=in_memory, salt=self.next_salt, now_ms=self.clock_ms(),
        )

    def create(self, bint durable, uint64_t record_bytes, uint32_t queue_count, str directory, bint in_memory) -> Segment:
        return Segment.create(**self.segment_parameters(durable, record_bytes, queue_count, directory, in_memory))

    def create_transient(self, uint64_t record_bytes, uint32_t queue_count) -> Segment:
        """In memory as long as there is enough, on the disk otherwise."""
        cdef uint64_t needed = memory_needed(max(self.segment_bytes, record_bytes), queue_count)
        cdef Segment segment
        if self.memory_bytes + needed <= self.transient_bytes_max:
            if self.disk.free_bytes(self.transient_directory) >= MEMORY_FREE_BYTES_MIN + needed:
                try:
                    segment = self.create(False, record_bytes, queue_count, self.transient_directory, True)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                else:
                    segment.memory_bytes = needed
                    self.memory_bytes += needed
                    return segment
            if not self.memory_refused:
                self.memory_refused = True
                logger.warning(
                    "%s has too little room: transient messages go to %s, unsynced",
                    self.transient_directory, self.spill_directory)
        return self.create(False, record_bytes, queue_count, self.spill_directory, False)

    def add(self, Segment segment) -> None:
        """Gives a segment its place in the table."""
        if self.free_places:
            segment.place = self.free_places.pop()
            self.segments[segment.place] = segment
        else:
            segment.place = len(self.segments)
            self.segments.append(segment)

    cdef int emptied(self, Segment segment) except -1:
        """Nothing in it is live: it goes, or is used again, as soon as nobody reads what was lent of it, or writes to it."""
        if segment.lent or segment.given:
            return 0                # give_back and close_room come here again
        if segment.state == SEGMENT_ACTIVE:
            if not segment.durable and segment.data_used_bytes > REWIND_BYTES and not segment.spoiled:
                self.next_salt += 1
                segment.recycle(self.next_salt, self.clock_ms())
            return 0
        if segment.state == SEGMENT_COMPLETE:
            if not segment.in_memory or segment.verify or segment.forward_slots != NULL or segment.sealing \
                    or segment.spoiled:
                self.remove_files(segment)
            elif segment.room_bytes:
                if len(self.spare_rooms) >= SPARE_ROOMS_MAX:    # the oldest may be of a size that is not in use any more
                    self.remove_files(<Segment> self.spare_rooms.pop(0))
                    self.idle_rooms = max(self.idle_rooms - 1, 0)
                self.spare_rooms.append(segment)
            elif len(self.spare) < SPARE_SEGMENTS_MAX \
                    and segment.data_capacity_bytes <= self.spare_bytes_max:
                self.spare.append(segment)
            else:
                self.remove_files(segment)
        self.segments[segment.place] = None
        self.free_places.append(segment.place)
        segment.state = SEGMENT_GONE
        return 0

    cdef int remove_files(self, Segment segment) except -1:
        if segment.in_memory:
            self.memory_bytes -= segment.memory_bytes
        self.removed_segments += 1
        if segment.borrowers:
            self.removed_lent.append(segment)
        self.chores.append(RemoveFiles(segment))
        return 0

    cdef int damaged(self, Segment segment, uint32_t slot) except -1:
        self.damaged_records += 1
        logger.error("segment %s: the message in slot %d is damaged and lost", segment.paths()[0], slot)
        return 0

    # -- commits and chores

    def sync_target(self) -> CommitTicket | None:
        """What a commit of everything appended so far has to synchronise; None where nothing is left to do."""
        if not self.dirty:
            return None
        self.ticket_position = self.appended_position
        segments, self.dirty = self.dirty, []
        self.synchronising = [segment for segment in segments if (<Segment> segment).state != SEGMENT_GONE]
        for segment in segments:
            (<Segment> segment).flush()
            (<Segment> segment).dirty = False
        for segment in self.synchronising:
            (<Segment> segment).synchronising = True
        return CommitTicket(self.appended_position, self.synchronising)

    def committed(self, uint64_t position) -> None:
        """The last ticket is done: all up to this position is on the disk."""
        for done in self.synchronising:
            (<Segment> done).synchronising = False
            (<Segment> done).close_files()
        self.synchronising = []
        self.reclaim(position)

    def reclaim(self, uint64_t position) -> None:
        """Drops what was copied elsewhere, as far as the copies are on the disk."""
        cdef Segment segment
        self.durable_position = max(self.durable_position, position)
        waiting, self.copied = self.copied, []
        for copied_position, segment in waiting:
            if segment.state != SEGMENT_COMPLETE:
                continue
            if copied_position > self.durable_position or segment.sealing or segment.synchronising or segment.lent:
                self.copied.append((copied_position, segment))
            else:
                self.forward(segment)

    cdef int forward(self, Segment segment) except -1:
        """From now on only the table of targets of this segment is used; its files go.

        Tables of older segments that point to it are redirected, so that a message
        that outlives many compactions is still one step away.
        """
        cdef Segment older
        cdef uint32_t row
        cdef int64_t own
        cdef uint64_t target
        segment.release()
        self.remove_files(segment)
        segment.state = SEGMENT_FORWARDING
        for other in list(self.segments):
            if other is None or other is segment:
                continue
            older = <Segment> other
            for row in range(older.forward_count):
                target = older.forward_targets[row]
                if target >= FORWARD_DAMAGED or target >> 32 != segment.place:
                    continue
                own = segment.forward_find(<uint32_t> target)
                older.forward_targets[row] = segment.forward_targets[own] if own >= 0 else FORWARD_DAMAGED
                if own >= 0:
                    segment.forward_targets[own] = FORWARD_ACKNOWLEDGED
                segment.live -= 1
        if segment.live == 0:
            self.emptied(segment)
        return 0

    def compact(self, uint64_t budget_bytes) -> bool:
        """Copies up to `budget_bytes` of live messages out of sparse segments; True where more is to be done.

        The copies are part of the next commit, and the old files go after it.
        """
        return compaction.step(self, budget_bytes)

    def take_chores(self) -> list:
        """What may be done on the side, in order; each is run once, in any one thread, then `finish`ed in the loop."""
        chores = list(self.chores)
        self.chores.clear()
        return chores

    def use_prepared(self, Segment segment) -> None:
        """The next durable segment is ready (None: it could not be made; rotate will try itself)."""
        self.preparing = False
        self.prepared = segment

    def give_back_rooms(self) -> None:
        """The files of spare rooms that were not used since the last call go."""
        for _ in range(self.idle_rooms):
            self.remove_files(<Segment> self.spare_rooms.pop(0))
        self.idle_rooms = len(self.spare_rooms)

    def highest_number(self, uint32_t queue_id) -> int:
        """The highest entry number found for the queue by recovery, acknowledged ones included; 0 if there is none."""
        return self.highest_numbers.get(queue_id, 0)

    @property
    def has_chores(self) -> bool:
        return len(self.chores) > 0

    def recover(self) -> dict:
        """Everything that an earlier process left: {queue_id: entries (ENTRY_DTYPE), by ascending number}.

        UnknownFormat, with nothing changed, where a newer broker has written. Called once, before anything else.
        """
        return recovery.recover(self)

    def adopt(self, Segment segment, dict highest_numbers) -> None:
        """Takes a segment that recovery has opened."""
        self.add(segment)
        self.next_number = max(self.next_number, segment.number + 1)
        for queue_id, number in highest_numbers.items():
            if number > self.highest_numbers.get(queue_id, 0):
                self.highest_numbers[queue_id] = number
        if segment.in_memory:
            segment.memory_bytes = segment.allocated_bytes
            self.memory_bytes += segment.memory_bytes

    def seal_later(self, Segment segment) -> None:
        segment.sealing = True
        self.chores.append(SealSegment(segment, self.clock_ms()))

    def settle(self, Segment segment) -> None:
        """After recovery has merged copies: a segment without anything live goes."""
        self.live_entries += segment.live
        if segment.live == 0:
            self.emptied(segment)

    def now_ms(self) -> int:
        return self.clock_ms()

    def count_damage(self, records: int) -> None:
        """Recovery met records that it could not read."""
        self.damaged_records += records

    def statistics(self) -> dict:
        """Figures for metrics and `warren status`."""
        cdef Segment segment
        segments = [segment for segment in self.segments if segment is not None]
        return {
            "segments": sum(1 for segment in segments if segment.state != SEGMENT_FORWARDING),
            "durable_bytes": sum(segment.stored_bytes for segment in segments if segment.durable),
            "transient_bytes": sum(segment.stored_bytes for segment in segments if not segment.durable),
            "memory_bytes": self.memory_bytes,
            "live_entries": self.live_entries,
            "damaged_records": self.damaged_records,
            "compactions": self.compactions,
            "removed_segments": self.removed_segments,
            "appended_position": self.appended_position,
            "durable_position": self.durable_position,
        }

    def segments_by_state(self) -> dict:
        """Numbers of the segments, by what they are: for tests and debugging."""
        names = {SEGMENT_ACTIVE: "active", SEGMENT_COMPLETE: "complete", SEGMENT_FORWARDING: "forwarding"}
        by_state = {name: [] for name in names.values()}
        for segment in self.segments:
            if segment is not None:
                by_state[names[(<Segment> segment).state]].append((<Segment> segment).number)
        return by_state

    def close(self) -> None:
        """Everything to the disk and sealed, so that the next start has nothing to scan. No thread may be at work."""
        cdef Segment segment
        for segment in (self.durable_tail, self.transient_tail):
            if segment is not None and segment.state == SEGMENT_ACTIVE:
                segment.complete()
                if segment.live == 0:
                    self.emptied(segment)
                elif not segment.in_memory:
                    self.seal_later(segment)
        self.durable_tail = self.transient_tail = None
        ticket = self.sync_target()
        if ticket is not None:
            ticket.synchronise()
            self.committed(ticket.position)
        chores = self.take_chores()
        for chore in chores:
            if not isinstance(chore, PrepareSegment):
                chore.run()
                chore.finish()
        for segment in [*self.spare, *self.spare_rooms, self.prepared]:
            if segment is not None:
                RemoveFiles(segment).run()
        self.spare = []
        self.spare_rooms = []
        self.idle_rooms = 0
        self.prepared = None
        for other in self.segments:
            if other is not None and (<Segment> other).durable and (<Segment> other).state == SEGMENT_COMPLETE:
                (<Segment> other).synchronise_apart("acks")
        close_run(self.disk, self.durable_directory)


from log import compaction, recovery  # noqa: E402  (both work on a Store)
