# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What a stream keeps of its messages: a slot of 16 bytes for each offset, in blocks of 256, found by division.

Messages come at the end and go at the front; blocks are freed one by one as the front passes them. An offset
without a message costs its slot, a whole block of them one pointer. Beside the slots: how far the
messages are on the disk, as a few marks of positions of the log. Reads no message and decides nothing.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy, memmove, memset

from log.store cimport Entry
from shards.engine.features cimport UNLIMITED

cdef enum:
    FIRST_CAPACITY = 8
    LENGTH_BYTES = 4


cdef Stream *new_stream(uint64_t end) except NULL:
    """Without messages; the next one has the offset `end`."""
    cdef Stream *stream = <Stream *> calloc(1, sizeof(Stream))
    if stream == NULL:
        raise MemoryError()
    stream.bytes_max = stream.age_ms_max = UNLIMITED
    stream.first = stream.end = stream.durable_end = end
    return stream


cdef void free_stream(Stream *stream) noexcept:
    cdef uint64_t i
    if stream == NULL:
        return
    for i in range(stream.blocks_head, stream.blocks_tail):
        free(stream.blocks[i])
    free(stream.blocks)
    free(stream)


cdef int make_room(Stream *stream, uint64_t more) except -1:
    """For so many more blocks at the tail."""
    cdef uint64_t used = stream.blocks_tail - stream.blocks_head
    cdef uint64_t capacity = stream.blocks_capacity if stream.blocks_capacity else FIRST_CAPACITY
    cdef StreamBlock **grown
    if stream.blocks_tail + more <= stream.blocks_capacity:
        return 0
    if stream.blocks_head and used + more <= stream.blocks_capacity // 2:
        memmove(stream.blocks, stream.blocks + stream.blocks_head, used * sizeof(StreamBlock *))
        stream.blocks_head = 0
        stream.blocks_tail = used
        return 0
    while capacity < stream.blocks_tail + more:
        capacity *= 2
    grown = <StreamBlock **> realloc(stream.blocks, capacity * sizeof(StreamBlock *))
    if grown == NULL:
        raise MemoryError()
    stream.blocks = grown
    stream.blocks_capacity = capacity
    return 0


cdef int push_slot(Stream *stream, const Entry *entry, uint32_t record_bytes) except -1:
    """A message behind all others: its offset is not below `end`. Offsets that it leaves out have no message."""
    cdef uint64_t offset = entry.number - 1
    cdef uint64_t number = offset // BLOCK_SLOTS
    cdef uint64_t missing
    cdef StreamBlock *block
    cdef StreamSlot *slot
    if stream.count == 0:
        free_blocks(stream)
        stream.base = number
        stream.first = offset
    missing = number + 1 - stream.base - (stream.blocks_tail - stream.blocks_head)
    if missing:
        make_room(stream, missing)
        block = <StreamBlock *> malloc(sizeof(StreamBlock))
        if block == NULL:
            raise MemoryError()
        # NO_SEGMENT in every byte
        memset(block, 0xFF, sizeof(StreamBlock))
        memset(stream.blocks + stream.blocks_tail, 0, missing * sizeof(StreamBlock *))
        stream.blocks_tail += missing
        stream.blocks[stream.blocks_tail - 1] = block
    block = stream.blocks[stream.blocks_tail - 1]
    slot = &block.slots[offset % BLOCK_SLOTS]
    slot.segment = entry.segment
    slot.slot = entry.slot
    slot.position8 = entry.position8
    slot.record_bytes = record_bytes
    stream.count += 1
    stream.size_bytes += record_bytes
    stream.end = offset + 1
    return 0


cdef void free_blocks(Stream *stream) noexcept:
    cdef uint64_t i
    for i in range(stream.blocks_head, stream.blocks_tail):
        free(stream.blocks[i])
    stream.blocks_head = stream.blocks_tail = 0


cdef uint64_t next_offset(const Stream *stream, uint64_t offset) noexcept:
    """The first offset that has a message, from this one on; `end`, or this one where it is beyond that, if none."""
    if offset < stream.first:
        offset = stream.first
    while offset < stream.end:
        if block_at(stream, offset) == NULL:
            offset = min((offset // BLOCK_SLOTS + 1) * BLOCK_SLOTS, stream.end)
        elif slot_at(stream, offset) != NULL:
            return offset
        else:
            offset += 1
    return offset


cdef uint64_t last_offset_below(const Stream *stream, uint64_t offset) noexcept:
    """The last offset below this one that has a message; this one where none has. It is not above `end`."""
    cdef uint64_t found = offset
    while found > stream.first:
        found -= 1
        if slot_at(stream, found) != NULL:
            return found
    return offset


cdef void drop_slot(Stream *stream, uint64_t offset) noexcept:
    """The message of this offset, which has one, is no longer the stream's."""
    cdef StreamSlot *slot = slot_at(stream, offset)
    stream.count -= 1
    stream.size_bytes -= slot.record_bytes
    slot.segment = NO_SEGMENT
    if offset != stream.first:
        return
    stream.head_received_at_ms = 0
    if stream.count == 0:
        stream.first = stream.end
        free_blocks(stream)
        return
    stream.first = next_offset(stream, offset + 1)
    while stream.base < stream.first // BLOCK_SLOTS:
        free(stream.blocks[stream.blocks_head])
        stream.blocks_head += 1
        stream.base += 1


# -- what is on the disk

cdef void mark_appended(Stream *stream, uint64_t position, uint64_t ticket_position) noexcept:
    """The stream reaches to `end` at this position of the log; a commit up to `ticket_position` is under way or done.

    One mark for what a commit under way covers and one for what the next one will, mostly: a commit takes all.
    """
    cdef DurableMark *last
    if stream.mark_count:
        last = &stream.marks[stream.mark_count - 1]
        if last.position > ticket_position or stream.mark_count == MARKS_MAX:
            last.position = position
            last.end = stream.end
            return
    stream.marks[stream.mark_count].position = position
    stream.marks[stream.mark_count].end = stream.end
    stream.mark_count += 1


cdef bint mark_durable(Stream *stream, uint64_t position) noexcept:
    """All up to this position is on the disk; True where readers may go further than before."""
    cdef uint32_t covered = 0
    while covered < stream.mark_count and stream.marks[covered].position <= position:
        covered += 1
    if covered == 0:
        return False
    stream.durable_end = stream.marks[covered - 1].end
    stream.mark_count -= covered
    memmove(stream.marks, stream.marks + covered, stream.mark_count * sizeof(DurableMark))
    return True


cdef uint64_t stream_memory_bytes(const Stream *stream) noexcept:
    cdef uint64_t i, size_bytes = sizeof(Stream) + stream.blocks_capacity * sizeof(StreamBlock *)
    for i in range(stream.blocks_head, stream.blocks_tail):
        if stream.blocks[i] != NULL:
            size_bytes += sizeof(StreamBlock)
    return size_bytes


# -- readers

cdef Reader *new_reader(uint64_t offset, filters, bint match_unfiltered) except NULL:
    """`filters`: a list of bytes, or None for one that takes all."""
    cdef Reader *reader
    cdef size_t filter_bytes = 0, at = 0
    cdef uint32_t length
    cdef bytes value
    values = [] if filters is None else filters
    for value in values:
        filter_bytes += LENGTH_BYTES + len(value)
    reader = <Reader *> calloc(1, sizeof(Reader))
    if reader == NULL:
        raise MemoryError()
    reader.next = offset
    reader.filters = filters is not None
    reader.match_unfiltered = match_unfiltered
    if filter_bytes:
        reader.filter = <uint8_t *> malloc(filter_bytes)
        if reader.filter == NULL:
            free(reader)
            raise MemoryError()
    for value in values:
        length = <uint32_t> len(value)
        memcpy(reader.filter + at, &length, LENGTH_BYTES)
        memcpy(reader.filter + at + LENGTH_BYTES, <const char *> value, length)
        at += LENGTH_BYTES + length
        reader.filter_count += 1
    reader.filter_bytes = filter_bytes
    return reader


cdef void free_reader(Reader *reader) noexcept:
    if reader != NULL:
        free(reader.filter)
        free(reader)


cdef bint reader_wants(const Reader *reader, const uint8_t *value, size_t value_bytes) noexcept:
    """Whether a message with this filter value (NULL: none) is for a reader that has filters."""
    cdef const uint8_t *at = reader.filter
    cdef uint32_t i, length
    if value == NULL:
        return reader.match_unfiltered
    for i in range(reader.filter_count):
        memcpy(&length, at, LENGTH_BYTES)
        if length == value_bytes and memcmp(at + LENGTH_BYTES, value, length) == 0:
            return True
        at += LENGTH_BYTES + length
    return False
