# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Compaction: the few live messages of a mostly dead segment move to the tail, and its files go.

Entries that a queue holds stay valid: the old segment keeps a table from its slots to
the new ones (`Segment.forward_*`). Until the copies are durable the old files stay,
and acknowledgements are written to both; recovery meets both copies and merges them.
What says that an older entry is settled goes along with the message that it became.
One segment at a time, in steps of a few bytes, so that the loop is never held up.
"""
import logging

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc

from log.formats cimport (
    INDEX_SETTLED, MOVED, RECORD_APART, RECORD_COPIED, RECORD_QUEUE_SETTLED, IndexEntry, RecordQueue, StoredRecord,
)
from log.segment cimport FORWARD_DAMAGED, SEGMENT_COMPLETE, Segment
from log.store cimport Entry, Message, Store, describe

logger = logging.getLogger(__name__)

# A segment is worth copying when this many of its entries, or more, are dead for each live one.
DEAD_PER_LIVE_MIN = 3
# Small files pin little; and each start leaves one.
COMPACTED_BYTES_MIN = 1 << 20

cdef enum:
    # Of an id of a message, with its place in the index.
    IDENTIFIER_STORED_BYTES = 112


cdef bint is_sparse(Segment segment):
    """Whether what is live in it is a small part: of its entries, or, where that are ids of messages, or most of it was
    never anybody's, of its bytes."""
    cdef uint64_t part = 1 + <uint64_t> DEAD_PER_LIVE_MIN
    cdef uint64_t messages = segment.live - segment.live_identifiers
    if segment.live * part <= segment.slots_used:
        return True
    # A room: what else was read there is nobody's.
    if segment.room_bytes and segment.live * segment.apart_bytes * part <= segment.slots_used * segment.room_bytes:
        return True
    return (
        segment.live_identifiers > 0 and messages * part <= segment.slots_used - segment.live_identifiers
        and segment.live_identifiers * <uint64_t> IDENTIFIER_STORED_BYTES * part <= segment.data_used_bytes)


def candidate(Store store not None, uint64_t bytes_min) -> Segment | None:
    """The segment with the smallest part of live entries, if one is sparse enough.

    What is copied was synchronised before: so a copy of a message's id says that the message was, too.
    """
    cdef Segment segment, best = None
    for place in range(len(store.segments)):
        other = store.segments[place]
        if other is None:
            continue
        segment = <Segment> other
        if (
            segment.state == SEGMENT_COMPLETE and segment.forward_slots == NULL and segment.live > 0
            and segment.data_used_bytes >= bytes_min
            and (segment.sealed or not segment.durable)
            and is_sparse(segment)
            and (best is None
                 or <uint64_t> segment.live * best.slots_used < <uint64_t> best.live * segment.slots_used)
        ):
            best = segment
    return best


def step(Store store not None, uint64_t budget_bytes) -> bool:
    """Copies about `budget_bytes`; True where there is more to copy."""
    cdef Segment segment = store.compacting
    cdef uint64_t copied = 0
    if store.copied:
        # What was being sealed or synchronised when its copies became durable; no further commit may be coming.
        store.reclaim(store.durable_position)
    if segment is None or segment.state != SEGMENT_COMPLETE:
        store.compacting = segment = candidate(store, store.compacted_bytes_min)
        if segment is None:
            return False
        segment.forward_prepare()
        store.compacting_slot = 0
    try:
        while store.compacting_slot < segment.slots_used:
            if copied >= budget_bytes:
                return True
            copied += copy_record(store, segment)
    except OSError as error:
        # No room for the copies: what is done is done, the rest waits until there is some.
        if not store.compaction_refused:
            logger.warning("compaction waits: %s", error)
        store.compaction_refused = True
        return False
    store.compaction_refused = False
    store.compacting = None
    store.compactions += 1
    logger.info("segment %s: %d live of %d entries copied to the tail",
                segment.paths()[0], segment.forward_count, segment.slots_used)
    store.copied.append((store.appended_position if segment.durable else 0, segment))
    store.reclaim(store.durable_position)
    return candidate(store, store.compacted_bytes_min) is not None


cdef inline bint goes_along(Segment segment, uint32_t slot) noexcept:
    """Live, or the word that an older entry is settled: until the disk has that one's ack, it is all that says so."""
    return segment.ack_byte(slot)[0] < MOVED or segment.entry(slot).flags & INDEX_SETTLED != 0


cdef uint64_t copy_record(Store store, Segment segment) except? 0xFFFFFFFFFFFFFFFF:
    """Copies the record of the next live slot, for all its live slots; returns how many bytes, 0 at the end."""
    cdef uint32_t slot = store.compacting_slot, first, n = 0, i
    cdef uint32_t position8
    cdef const StoredRecord *record
    cdef Message message
    cdef uint32_t *queue_ids = NULL
    cdef uint64_t *numbers
    cdef uint32_t *slots
    cdef uint32_t *attributes
    cdef Entry *entries
    cdef Segment target
    cdef uint64_t live
    while slot < segment.slots_used and segment.ack_byte(slot)[0] >= MOVED:
        slot += 1
    store.compacting_slot = slot
    if slot == segment.slots_used:
        return 0
    position8 = segment.entry(slot).position8
    first = slot
    while slot < segment.slots_used and segment.entry(slot).position8 == position8:
        if goes_along(segment, slot):
            n += 1
        slot += 1
    if segment.verify and not segment.valid(<uint64_t> position8 * 8):
        store.damaged(segment, first)
        for i in range(first, slot):
            if segment.ack_byte(i)[0] < MOVED:
                remember(segment, i, FORWARD_DAMAGED)
        store.compacting_slot = slot
        return 0
    record = <const StoredRecord *> (segment.data + <uint64_t> position8 * 8)
    describe(segment.data, record, &message)
    numbers = <uint64_t *> malloc(<size_t> n * (sizeof(uint64_t) + sizeof(Entry) + 3 * sizeof(uint32_t)))
    if numbers == NULL:
        raise MemoryError()
    try:
        entries = <Entry *> (numbers + n)
        queue_ids = <uint32_t *> (entries + n)
        slots = queue_ids + n
        attributes = slots + n
        n = 0
        for i in range(first, slot):
            if goes_along(segment, i):
                queue_ids[n] = segment.entry(i).queue_id
                numbers[n] = segment.entry(i).entry_number
                slots[n] = i
                attributes[n] = (<const RecordQueue *> (record + 1))[i - record.first_slot].attributes
                n += 1
        live = store.live_entries
        store.append_record(
            segment.durable, &message, queue_ids, numbers, attributes, n, entries, record.flags | RECORD_COPIED)
        store.live_entries = live
        for i in range(n):
            if attributes[i] & RECORD_QUEUE_SETTLED:
                continue
            target = <Segment> store.segments[entries[i].segment]
            target.ack_byte(entries[i].slot)[0] = segment.ack_byte(slots[i])[0]
            remember(segment, slots[i], (<uint64_t> entries[i].segment << 32) | entries[i].slot)
    finally:
        free(numbers)
    store.compacting_slot = slot
    return record.record_bytes + (message.body_bytes if record.flags & RECORD_APART else 0)


cdef void remember(Segment segment, uint32_t slot, uint64_t target) noexcept:
    if segment.forward_count < segment.forward_capacity:
        segment.forward_slots[segment.forward_count] = slot
        segment.forward_targets[segment.forward_count] = target
        segment.forward_count += 1
