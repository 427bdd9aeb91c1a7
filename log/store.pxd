"""What the queue engine uses of the log, in C. See log/store.pyx."""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from log.formats cimport IndexEntry, StoredRecord
from log.segment cimport Segment


# One ready or unacknowledged message of one queue, in memory: 24 bytes
# (numpy: log.formats.ENTRY_DTYPE). `segment` and `slot` name the entry in a
# segment's index; they stay valid for the entry's life, compaction included.
cdef packed struct Entry:
    uint64_t number             # per queue, ascending: the queue's order. A queue that was recovered goes on above
                                # Store.highest_number(queue_id): none is used again while the log has anything of it.
    uint32_t segment            # index in the store's table of segments
    uint32_t slot               # entry in that segment's index and ack map
    uint32_t position8          # byte offset of the record in the segment / 8, a hint: use Store.read
    uint16_t flags              # for the engine
    uint8_t delivery_count      # as the engine counts it; recovered up to 253
    uint8_t priority


# A message as it came (append) or as it is stored (read). On read the pointers go
# into the mapped segment and stay valid until the next append, acked or compact.
cdef struct Message:
    const uint8_t *content      # exchange, routing key, properties, and the body unless it lies apart: one run
    size_t content_bytes        # of all four, wherever they lie
    uint32_t properties_bytes
    uint32_t body_bytes
    uint8_t exchange_bytes
    uint8_t routing_key_bytes
    uint8_t priority
    uint8_t persistent
    uint8_t delayed             # not ready before received_at_ms
    uint8_t handed_over         # by another shard: it has been in a queue before
    uint8_t died                # x-death and its kin in its headers are this broker's own
    uint32_t queue_count        # as stored: the queues of its record
    uint64_t ttl_ms             # the message's own, NO_TTL: none
    uint64_t received_at_ms     # wall clock
    const uint8_t *apart        # the body, where it does not lie behind the properties; else NULL
    void *room                  # append: the Segment in whose room `apart` lies; else NULL


cdef inline size_t head_bytes_of(const Message *message) noexcept nogil:
    """Exchange, routing key and properties."""
    return message.content_bytes - message.body_bytes


cdef inline const uint8_t *body_of(const Message *message) noexcept nogil:
    return message.apart if message.apart != NULL else message.content + head_bytes_of(message)


cdef class Store:
    # Durable entries go to the disk and count for the next commit, others do not.
    # `entries[i]` receives the entry for queue_ids[i], numbers[i]; one record serves all.
    # `attributes` (log/formats.py: the queues' TTLs, entries settled) may be NULL: none.
    # Raises OSError (ENOSPC) with nothing appended.
    cdef int append(self, bint durable, const Message *message, const uint32_t *queue_ids, const uint64_t *numbers,
                    const uint32_t *attributes, uint32_t queue_count, Entry *entries) except -1
    # One segment takes the next message for so many queues, with the ids of it that are appended right behind. OSError.
    cdef int make_room(self, bint durable, uint64_t content_bytes, uint32_t queue_count,
                       uint32_t identifier_count) except -1
    # The id (IDENTIFIER_BYTES) of the message that was appended before it, for the window of ids with that queue id.
    # `number` is the message's in its own queue. Does not fail behind make_room. A `recovered` one may lie anywhere: its
    # message was synchronised before.
    cdef int append_identifier(self, bint durable, const uint8_t *identifier, uint64_t received_at_ms,
                               uint32_t queue_id, uint64_t number, bint recovered, Entry *entry) except -1
    # The record of a recovered entry is on the disk, if it belongs there (True).
    cdef bint synchronise(self, const Entry *entry) except -1
    # After recovery: whether an id may be believed, as its message in that queue was in the log with it. After a power
    # failure that need not be: of what was not synchronised any part may be there. One that was copied was synchronised.
    cdef bint identifies(self, const Entry *entry, uint32_t queue_id) except -1
    # Fills `message`; returns 1, or 0 where the record is damaged (counted and logged; the caller drops the entry).
    cdef int read(self, const Entry *entry, Message *message) except -1
    # When an entry with ENTRY_EXPIRES expires, or one with ENTRY_DELAYED is ready (ms, wall clock); NO_TTL: never.
    cdef uint64_t expires_at(self, const Entry *entry) except? 0
    cdef uint64_t not_before(self, const Entry *entry) noexcept
    # What the index says of an entry, NULL where it is gone. Its entry_number is the one that the log knows it by.
    cdef const IndexEntry *index_of(self, const Entry *entry) noexcept
    # Delivered once more: keeps the count (it saturates at 253) beside the entry, through restarts.
    cdef void delivered(self, const Entry *entry, uint8_t delivery_count) noexcept
    # Done with: the entry never comes back. Frees the segment when it was the last.
    cdef int acked(self, const Entry *entry) except -1

    # The segment that has the stored message's body in its file, and where; None where that is not to be known.
    # Before anybody else reads it there: Segment.flush.
    cdef Segment place_of_body(self, const Entry *entry, const Message *message, uint64_t *position)
    # A transient segment that begins with room (Segment.room_bytes from ROOM_START on) for a gateway to read into; None
    # where memory is short. A message in it is appended without its body being copied, as long as there is place.
    cdef Segment open_room(self, uint64_t body_bytes=*)
    cdef Segment open_room_of(self, uint64_t room_bytes)
    cdef Segment spare_room_of(self, uint64_t room_bytes)
    # The gateway writes there no more; `spoiled`: that is not certain.
    cdef int close_room(self, Segment segment, bint spoiled) except -1
    # One user of the segment's data file (Segment.lent) less.
    cdef int give_back(self, Segment segment) except -1

    # Private.
    cdef readonly str durable_directory
    cdef readonly str transient_directory
    cdef readonly str spill_directory
    cdef readonly uint64_t segment_bytes
    cdef readonly uint64_t transient_bytes_max
    cdef readonly uint64_t appended_position        # durable bytes appended since the store was opened
    cdef readonly uint64_t durable_position         # of these, known to be on the disk
    cdef object clock_ms
    cdef readonly object disk
    cdef list segments                              # by place; None where free
    cdef list free_places
    cdef Segment durable_tail
    cdef Segment transient_tail
    cdef Segment prepared                           # the next durable segment
    cdef bint preparing
    cdef list spare                                 # transient segments in memory, to be used again
    cdef list spare_rooms                           # and such that begin with room, the last used one last
    cdef list copied                                # (position, segment): old files that go when the copies are durable
    cdef list dirty                                 # segments with records that no ticket covers
    cdef list synchronising                         # segments of the ticket under way
    cdef Py_ssize_t idle_rooms                      # so many of these, the first ones, were not used since the last look
    cdef object chores
    cdef uint64_t ticket_position                   # appended_position at the last ticket
    cdef uint64_t spare_bytes_max
    cdef uint64_t next_number
    cdef uint32_t next_salt
    cdef dict highest_numbers
    cdef bint memory_refused                        # it was said that transient messages go to the disk
    cdef readonly uint64_t memory_bytes             # allocated on the memory file system
    cdef readonly uint64_t live_entries
    cdef readonly uint64_t damaged_records
    cdef readonly uint64_t compactions
    cdef public uint64_t compacted_bytes_min
    cdef Segment compacting                         # under way, and how far
    cdef uint32_t compacting_slot
    cdef bint compaction_refused
    cdef readonly uint64_t removed_segments
    cdef readonly list removed_lent                 # segments whose files go, of which somebody was told

    cdef int append_record(self, bint durable, const Message *message, const uint32_t *queue_ids,
                           const uint64_t *numbers, const uint32_t *attributes, uint32_t queue_count, Entry *entries,
                           uint8_t flags) except -1
    cdef Segment segment_of(self, const Entry *entry)
    cdef int acked_forwarded(self, Segment segment, uint32_t slot) except -1
    cdef int forward(self, Segment segment) except -1
    cdef int remove_files(self, Segment segment) except -1
    cdef uint64_t populate_bytes(self, Segment segment)
    cdef Segment rotate(self, bint durable, uint64_t record_bytes, uint32_t queue_count)
    cdef Segment replace_tail(self, bint durable, Segment segment)
    cdef Segment grow_tail(self, Segment segment, uint64_t record_bytes, uint32_t queue_count)
    cdef int emptied(self, Segment segment) except -1
    cdef int damaged(self, Segment segment, uint32_t slot) except -1


cdef void describe(const uint8_t *data, const StoredRecord *record, Message *message) noexcept nogil
