"""The messages of a stream by their offset, and how far each reader has come. See stream.pyx."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from log.store cimport Entry

cdef enum:
    BLOCK_SLOTS = 256
    NO_SEGMENT = 0xFFFFFFFF
    MARKS_MAX = 4
    # Where a reader begins: topology/stream_offset.py.
    START_FIRST = 0
    START_LAST = 1
    START_NEXT = 2
    START_OFFSET = 3
    START_TIME_MS = 4


# Where the message of one offset lies.
cdef packed struct StreamSlot:
    uint32_t segment                # NO_SEGMENT: none has this offset, it was dropped or is damaged
    uint32_t slot
    uint32_t position8
    uint32_t record_bytes


cdef struct StreamBlock:
    StreamSlot slots[BLOCK_SLOTS]


# What is on the disk up to this position of the log is on the disk up to this offset of the stream.
cdef struct DurableMark:
    uint64_t position
    uint64_t end


cdef struct Stream:
    # settings
    uint64_t bytes_max              # UNLIMITED of features.pxd: none
    uint64_t age_ms_max
    # messages
    StreamBlock **blocks            # of consecutive offsets; NULL where none of them has a message
    uint64_t blocks_capacity
    uint64_t blocks_head            # in `blocks`
    uint64_t blocks_tail
    uint64_t base                   # block number of blocks[blocks_head]
    uint64_t first                  # the first offset that has a message; `end` where none has
    uint64_t end                    # the offset that the next message gets
    uint64_t durable_end            # readers get what is below
    uint64_t count
    uint64_t size_bytes             # of the records in the log
    uint64_t head_received_at_ms    # of the first message; 0: not looked up yet
    # what is not on the disk yet
    DurableMark marks[MARKS_MAX]
    uint32_t mark_count
    bint unsynced                   # in the engine's list
    void *unsynced_next             # Queue


# What a consumer of a stream has besides.
cdef struct Reader:
    uint64_t next                   # offset
    bint filters                    # only what has one of these values
    bint match_unfiltered           # and what has none
    uint32_t filter_count
    size_t filter_bytes
    uint8_t *filter                 # each with its length before it, 4 bytes


cdef Stream *new_stream(uint64_t end) except NULL
cdef void free_stream(Stream *stream) noexcept
cdef int push_slot(Stream *stream, const Entry *entry, uint32_t record_bytes) except -1
cdef uint64_t next_offset(const Stream *stream, uint64_t offset) noexcept
cdef uint64_t last_offset_below(const Stream *stream, uint64_t offset) noexcept
cdef void drop_slot(Stream *stream, uint64_t offset) noexcept
cdef void mark_appended(Stream *stream, uint64_t position, uint64_t ticket_position) noexcept
cdef bint mark_durable(Stream *stream, uint64_t position) noexcept
cdef uint64_t stream_memory_bytes(const Stream *stream) noexcept
cdef Reader *new_reader(uint64_t offset, filters, bint match_unfiltered) except NULL
cdef void free_reader(Reader *reader) noexcept
cdef bint reader_wants(const Reader *reader, const uint8_t *value, size_t value_bytes) noexcept


cdef inline StreamBlock *block_at(const Stream *stream, uint64_t offset) noexcept:
    """Of an offset from `first` on; NULL where none of its block has a message."""
    cdef uint64_t i = stream.blocks_head + offset // BLOCK_SLOTS - stream.base
    return stream.blocks[i] if i < stream.blocks_tail else NULL


cdef inline StreamSlot *slot_at(const Stream *stream, uint64_t offset) noexcept:
    """Of an offset from `first` on; NULL where no message has it."""
    cdef StreamBlock *block = block_at(stream, offset)
    cdef StreamSlot *slot
    if block == NULL:
        return NULL
    slot = &block.slots[offset % BLOCK_SLOTS]
    return slot if slot.segment != NO_SEGMENT else NULL


cdef inline void fill_from_slot(Entry *entry, uint64_t offset, const StreamSlot *slot) noexcept:
    """The entry that the store knows. An offset is the number of the entry less one."""
    entry.number = offset + 1
    entry.segment = slot.segment
    entry.slot = slot.slot
    entry.position8 = slot.position8
    entry.flags = 0
    entry.delivery_count = 0
    entry.priority = 0
