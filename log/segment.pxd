"""One segment in memory: its three mapped files; see log/segment.pyx."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from log.formats cimport (
    INDEX_COPIED, INDEX_DELAYED, INDEX_IDENTIFIER, INDEX_SETTLED, NO_TTL, RECORD_COPIED, RECORD_DELAYED,
    RECORD_IDENTIFIER, RECORD_QUEUE_SETTLED, IndexEntry, RecordQueue, StoredRecord, time_after, ttl_of,
)

cdef enum:
    SEGMENT_ACTIVE = 0          # takes records
    SEGMENT_COMPLETE = 1        # takes no more; sealed by housekeeping
    SEGMENT_FORWARDING = 2      # its files are gone; entries find their messages by the table of targets
    SEGMENT_GONE = 3            # nothing refers to it

    STAGING_BYTES_MAX = 256 << 10

# Targets of entries that need none: acknowledged, or found damaged when they were to be copied.
cdef extern from *:
    """
    #define WARREN_FORWARD_ACKNOWLEDGED 0xFFFFFFFFFFFFFFFFULL
    #define WARREN_FORWARD_DAMAGED 0xFFFFFFFFFFFFFFFEULL
    """
    const uint64_t FORWARD_ACKNOWLEDGED "WARREN_FORWARD_ACKNOWLEDGED"
    const uint64_t FORWARD_DAMAGED "WARREN_FORWARD_DAMAGED"


cdef class Segment:
    cdef readonly object disk
    cdef readonly str directory
    cdef readonly uint64_t number
    cdef public uint32_t place              # in the store's table
    cdef readonly uint8_t state
    cdef readonly bint durable              # its records count for commits
    cdef readonly bint in_memory            # on the memory file system
    cdef bint verify                        # not written by this process: checksums are checked on read
    cdef bint dirty                         # has records that no commit ticket covers yet
    cdef public bint named                  # the names of its files are on the disk
    cdef readonly uint32_t salt
    cdef uint8_t *data                      # the mappings; the header page comes first
    cdef uint8_t *index
    cdef uint8_t *acks
    cdef readonly uint64_t data_capacity_bytes      # mapped
    cdef readonly uint64_t data_allocated_bytes     # safe to write
    cdef readonly uint64_t data_used_bytes          # end of the last record
    cdef readonly uint64_t data_ready_bytes         # safe and cheap to write
    # A durable tail collects records here and writes them in runs: a write to the file costs a fifth
    # of a write through its mapping, which takes a fault for every page. NULL: records go to the mapping.
    cdef uint8_t *staging
    cdef uint64_t staging_bytes
    cdef readonly uint64_t flushed_bytes            # of the data file; what is behind it is in `staging`
    cdef readonly uint32_t slots_capacity
    cdef readonly uint32_t slots_allocated
    cdef readonly uint32_t slots_ready
    cdef readonly uint32_t slots_used
    cdef readonly uint32_t live                     # entries that are not acknowledged
    cdef readonly uint32_t live_identifiers         # of these, ids of messages: small, whatever the messages were
    cdef public uint64_t memory_bytes               # what the store counts for it on the memory file system
    cdef public bint synchronising                  # in a commit ticket under way
    cdef public bint sealed                         # complete on the disk; its descriptors are not needed
    cdef public bint sealing                        # a chore has it: the mappings must stay
    cdef public uint32_t lent                       # batches under way that name bodies in it
    cdef readonly uint64_t room_bytes               # in it, for a gateway to read into: as Store.open_room made it
    cdef uint64_t apart_bytes                       # of the bodies in it that records have named
    cdef public bint given                          # a gateway writes there
    cdef public bint spoiled                        # somebody who is not heard any more may read or write there: not used again
    cdef public set borrowers                       # who has been told of its data file; None: nobody
    # Where compaction has copied entries to: sorted slots, and for each place << 32 | slot, or a FORWARD_ constant.
    cdef uint32_t *forward_slots
    cdef uint64_t *forward_targets
    cdef uint32_t forward_count
    cdef uint32_t forward_capacity
    cdef size_t data_mapped_bytes
    cdef size_t index_mapped_bytes
    cdef size_t acks_mapped_bytes
    cdef readonly int data_descriptor
    cdef int index_descriptor
    cdef int acks_descriptor

    cdef inline IndexEntry *entry(self, uint32_t slot) noexcept nogil:
        return (<IndexEntry *> (self.index + 4096)) + slot

    cdef inline uint8_t *ack_byte(self, uint32_t slot) noexcept nogil:
        return self.acks + 4096 + slot

    # The bytes at a position of the data file, wherever they are now.
    cdef inline const uint8_t *base(self, uint64_t position) noexcept nogil:
        if self.staging != NULL and position >= self.flushed_bytes:
            return self.staging - self.flushed_bytes
        return self.data

    cdef bint fits(self, uint64_t record_bytes, uint32_t queue_count) noexcept nogil
    cdef bint takes_apart(self, uint64_t record_bytes, uint32_t queue_count) noexcept nogil
    cdef bint could_hold(self, uint64_t record_bytes, uint32_t queue_count) noexcept nogil
    cdef int reserve(self, uint64_t record_bytes, uint32_t queue_count, uint64_t populate_bytes) except -1
    cdef int forward_prepare(self) except -1
    cdef int64_t forward_find(self, uint32_t slot) noexcept nogil
    cdef bint valid(self, uint64_t position) noexcept nogil
    cdef int flush(self) except -1
    cdef uint32_t write_content(self, uint64_t position, const StoredRecord *record, const uint8_t *head,
                                uint64_t head_bytes, const uint8_t *body, uint64_t body_bytes) except? 0xFFFFFFFF
    cdef int lay_room(self, uint64_t room_bytes) except -1
    cdef int write(self, const uint8_t *source, uint64_t n, uint64_t position) except -1
    cdef void release(self) noexcept nogil
    cdef void release_mappings(self) noexcept nogil
    cdef void release_descriptors(self) noexcept nogil


# Where in a room a gateway reads to: behind the head of its record.
cdef enum:
    ROOM_START = 4096 + 64

cdef uint32_t room_at(uint32_t salt, const uint8_t *data, uint64_t position, uint64_t end) noexcept nogil
cdef uint32_t record_checksum(uint32_t salt, uint64_t position, const StoredRecord *record) noexcept nogil
cdef uint32_t plausible_record(const uint8_t *data, uint64_t position, uint64_t end) noexcept nogil


cdef inline void fill_entry(IndexEntry *entry, const StoredRecord *record, const RecordQueue *queue,
                            uint64_t position) noexcept nogil:
    """The index entry of one queue of a record."""
    entry.position8 = <uint32_t> (position // 8)
    entry.record_bytes = record.record_bytes
    entry.queue_id = queue.queue_id
    entry.priority = record.priority
    entry.flags = INDEX_COPIED if record.flags & RECORD_COPIED else 0
    if record.flags & RECORD_IDENTIFIER:
        entry.flags |= INDEX_IDENTIFIER
    entry.reserved = 0
    entry.entry_number = queue.entry_number
    entry.expires_at_ms = 0
    if queue.attributes & RECORD_QUEUE_SETTLED:
        entry.flags |= INDEX_SETTLED
    elif record.flags & RECORD_DELAYED:
        entry.flags |= INDEX_DELAYED
        entry.expires_at_ms = record.received_at_ms
    elif queue.attributes or record.ttl_ms != NO_TTL:
        entry.expires_at_ms = time_after(record.received_at_ms, ttl_of(record, queue))
