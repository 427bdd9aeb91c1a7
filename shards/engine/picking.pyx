# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Messages by position: what a person looks at, deletes or moves, without consuming anything.

A position is Entry.number; in a stream it is the offset and one. Whatever keeps the messages (the ring and the heap of each priority, the heap of delayed
ones, the channels that hold unacknowledged ones), they are selected by ascending position, a limited number at a time;
whoever wants more asks again from behind the last one. A ring is passed block by block, so that the start of a
selection in a long queue costs one look per thousand messages before it. To take out of the middle of a ring, its
blocks are filtered in one pass; a block that lost some is made as short as what it has left.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc

from shards.engine.delayed_heap cimport DelayedHeap, DelayedItem, push_delayed
from shards.engine.features cimport Lane, Lanes
from shards.engine.placing cimport enforce_limits, left_ready, stored_body_bytes, watch_head
from shards.engine.ready cimport fill_lane, lane_of
from shards.engine.ready_ring cimport ReadyBlock, ReadyRing, first_ready, free_ready, push_ready
from shards.engine.returned_heap cimport ReturnedHeap, push_returned
from shards.engine.settling cimport queue_of
from shards.engine.state cimport Channel, touch
from shards.engine.stream cimport Stream, drop_slot, fill_from_slot, next_offset, slot_at
from shards.engine.timers cimport lower_timer
from shards.engine.unacked_ring cimport UnackedItem, UnackedRing


# -- selecting

cdef inline bint is_full(const Selection *selection, uint64_t number) noexcept:
    """Whether a message of this position would not be kept."""
    return selection.count == selection.capacity and number > selection.items[0].entry.number


cdef void sink(Picked *items, uint32_t count, Picked item) noexcept:
    """Puts an item into the place of the first, which is given up, and then where it belongs."""
    cdef uint32_t i = 0, child
    while True:
        child = 2 * i + 1
        if child >= count:
            break
        if child + 1 < count and items[child + 1].entry.number > items[child].entry.number:
            child += 1
        if items[child].entry.number <= item.entry.number:
            break
        items[i] = items[child]
        i = child
    items[i] = item


cdef void offer(Selection *selection, const Entry *entry, uint8_t state, uint64_t ready_at_ms) noexcept:
    cdef Picked item
    cdef uint32_t i, parent
    if is_full(selection, entry.number):
        return
    item.entry = entry[0]
    item.state = state
    item.ready_at_ms = ready_at_ms
    if selection.count == selection.capacity:
        sink(selection.items, selection.count, item)
        return
    i = selection.count
    selection.count += 1
    while i:
        parent = (i - 1) // 2
        if selection.items[parent].entry.number >= entry.number:
            break
        selection.items[i] = selection.items[parent]
        i = parent
    selection.items[i] = item


cdef void offer_ring(Selection *selection, const ReadyRing *ring, uint64_t first, uint64_t last) noexcept:
    cdef const ReadyBlock *block = ring.head
    cdef uint64_t start = ring.head_index, end, i
    if ring.count == 0:
        return
    while block != NULL:
        end = ring.tail_index if block == ring.tail else block.capacity
        if block.entries[end - 1].number >= first:
            for i in range(start, end):
                if block.entries[i].number < first:
                    continue
                if block.entries[i].number > last or is_full(selection, block.entries[i].number):
                    return
                offer(selection, &block.entries[i], STATE_READY, 0)
        block = block.next
        start = 0


cdef void offer_stream(Selection *selection, const Stream *stream, uint64_t first, uint64_t last) noexcept:
    """What consumers hold of a stream is in it all the same, so all of it is ready."""
    cdef Entry entry
    cdef uint64_t offset = next_offset(stream, first - 1 if first else 0)
    while offset < stream.end and offset < last and not is_full(selection, offset + 1):
        fill_from_slot(&entry, offset, slot_at(stream, offset))
        offer(selection, &entry, STATE_READY, 0)
        offset = next_offset(stream, offset + 1)


cdef void offer_returned(Selection *selection, const ReturnedHeap *heap, uint64_t first, uint64_t last) noexcept:
    cdef uint64_t i
    for i in range(heap.count):
        if first <= heap.entries[i].number <= last:
            offer(selection, &heap.entries[i], STATE_READY, 0)


cdef void offer_delayed(Selection *selection, const DelayedHeap *heap, uint64_t first, uint64_t last) noexcept:
    cdef uint64_t i
    for i in range(heap.count):
        if first <= heap.items[i].entry.number <= last:
            offer(selection, &heap.items[i].entry, STATE_DELAYED, heap.items[i].ready_at_ms)


cdef void offer_unacked(EngineState engine, Queue *queue, Selection *selection, uint64_t first,
                        uint64_t last) noexcept:
    """The messages that channels hold, whoever consumes from the queue."""
    cdef const UnackedRing *ring
    cdef const UnackedItem *item
    cdef uint64_t left = queue.unacked, i
    cdef uint32_t sender, slot
    for sender in range(engine.sender_count):
        for slot in range(engine.gateways[sender].channels.capacity):
            if left == 0:
                return
            if engine.gateways[sender].channels.slots[slot] == NULL:
                continue
            ring = &(<Channel *> engine.gateways[sender].channels.slots[slot]).unacked
            for i in range(ring.head, ring.tail):
                item = &ring.items[i]
                if item.owner and queue_of(item) == queue:
                    left -= 1
                    if first <= item.entry.number <= last:
                        offer(selection, &item.entry, STATE_UNACKED, 0)


cdef int select_messages(EngineState engine, Queue *queue, uint64_t first, uint64_t last, uint32_t states,
                         Selection *selection) except -1:
    """Fills the selection with the lowest positions from `first` to `last`, ascending. It has room for one at least."""
    cdef Lanes *lanes = NULL if queue.features == NULL else queue.features.lanes
    cdef Picked item
    cdef uint32_t i
    cdef Stream *stream = NULL if queue.features == NULL else queue.features.stream
    selection.count = 0
    if stream != NULL:
        if states & STATE_READY:
            offer_stream(selection, stream, first, last)
    elif states & STATE_READY:
        if lanes != NULL:
            for i in range(lanes.count):
                offer_returned(selection, &lanes.lane[i].returned, first, last)
                offer_ring(selection, &lanes.lane[i].ready, first, last)
        else:
            offer_returned(selection, &queue.returned, first, last)
            offer_ring(selection, &queue.ready, first, last)
    if states & STATE_DELAYED and queue.features != NULL:
        offer_delayed(selection, &queue.features.delayed, first, last)
    if states & STATE_UNACKED and queue.unacked and stream == NULL:
        offer_unacked(engine, queue, selection, first, last)
    for i in range(selection.count, 1, -1):
        item = selection.items[i - 1]
        selection.items[i - 1] = selection.items[0]
        sink(selection.items, i - 1, item)
    return 0


# -- taking out

cdef bint named(const uint64_t *positions, uint32_t count, uint64_t number) noexcept:
    """Whether it is one of the positions, which ascend."""
    cdef uint32_t low = 0, high = count, middle
    while low < high:
        middle = (low + high) // 2
        if positions[middle] < number:
            low = middle + 1
        else:
            high = middle
    return low < count and positions[low] == number


cdef void drop_block(ReadyRing *ring, ReadyBlock *previous, ReadyBlock *block) noexcept:
    """A block that nothing is left in, of a ring that has others."""
    if previous == NULL:
        ring.head = block.next
        ring.head_index = 0
    else:
        previous.next = block.next
    if block == ring.tail:
        ring.tail = previous
        ring.tail_index = <uint32_t> previous.capacity
    free(block)


cdef ReadyBlock *shorten(ReadyRing *ring, ReadyBlock *previous, ReadyBlock *block, uint64_t capacity) noexcept:
    """A block before the tail, with room for what it has and no more."""
    cdef ReadyBlock *moved = <ReadyBlock *> realloc(block, sizeof(ReadyBlock) + (capacity - 1) * sizeof(Entry))
    if moved == NULL:
        moved = block               # it stays where it is, larger than it need be
    moved.capacity = capacity
    if previous == NULL:
        ring.head = moved
    else:
        previous.next = moved
    return moved


cdef uint32_t take_from_ring(ReadyRing *ring, const uint64_t *positions, uint32_t count, Picked *taken) noexcept:
    cdef ReadyBlock *block = ring.head
    cdef ReadyBlock *previous = NULL
    cdef ReadyBlock *following
    cdef uint64_t start = ring.head_index, end, kept, i
    cdef uint32_t at = 0, before, n = 0
    if ring.count == 0:
        return 0
    while block != NULL and at < count:
        following = block.next
        end = ring.tail_index if block == ring.tail else block.capacity
        before = n
        if positions[at] <= block.entries[end - 1].number:
            kept = start
            for i in range(start, end):
                while at < count and positions[at] < block.entries[i].number:
                    at += 1
                if at < count and positions[at] == block.entries[i].number:
                    taken[n].entry = block.entries[i]
                    taken[n].state = STATE_READY
                    taken[n].ready_at_ms = 0
                    n += 1
                    at += 1
                else:
                    block.entries[kept] = block.entries[i]
                    kept += 1
            ring.count -= n - before
            if ring.count == 0:
                free_ready(ring)
                break
            if kept == start:
                drop_block(ring, previous, block)
                block = previous
            elif block == ring.tail:
                ring.tail_index = <uint32_t> kept
            elif kept != end:
                block = shorten(ring, previous, block, kept)
        previous = block
        block = following
        start = 0
    return n


cdef uint32_t take_from_returned(ReturnedHeap *heap, const uint64_t *positions, uint32_t count,
                                 Picked *taken) except? 0xFFFFFFFF:
    cdef uint64_t kept = 0, i
    cdef uint32_t n = 0
    cdef Entry entry
    for i in range(heap.count):
        if named(positions, count, heap.entries[i].number):
            taken[n].entry = heap.entries[i]
            taken[n].state = STATE_READY
            taken[n].ready_at_ms = 0
            n += 1
        else:
            heap.entries[kept] = heap.entries[i]
            kept += 1
    if n:
        # a heap again; each goes to a place before or at its own
        heap.count = 0
        for i in range(kept):
            entry = heap.entries[i]
            push_returned(heap, &entry)
    return n


cdef uint32_t take_from_delayed(DelayedHeap *heap, const uint64_t *positions, uint32_t count,
                                Picked *taken) except? 0xFFFFFFFF:
    cdef uint64_t kept = 0, i
    cdef uint32_t n = 0
    cdef DelayedItem item
    for i in range(heap.count):
        if named(positions, count, heap.items[i].entry.number):
            taken[n].entry = heap.items[i].entry
            taken[n].state = STATE_DELAYED
            taken[n].ready_at_ms = heap.items[i].ready_at_ms
            n += 1
        else:
            heap.items[kept] = heap.items[i]
            kept += 1
    if n:
        heap.count = 0
        for i in range(kept):
            item = heap.items[i]
            push_delayed(heap, item.ready_at_ms, &item.entry)
    return n


cdef uint32_t take_from_lanes(Lanes *lanes, const uint64_t *positions, uint32_t count,
                              Picked *taken) except? 0xFFFFFFFF:
    cdef uint32_t n = 0, before, i
    for i in range(lanes.count):
        if not lanes.filled[i >> 6] >> (i & 63) & 1:
            continue
        before = n
        n += take_from_returned(&lanes.lane[i].returned, positions, count, taken + n)
        n += take_from_ring(&lanes.lane[i].ready, positions, count, taken + n)
        lanes.messages -= n - before
        if lanes.lane[i].ready.count == 0 and lanes.lane[i].returned.count == 0:
            lanes.filled[i >> 6] &= ~(<uint64_t> 1 << (i & 63))
    return n


cdef uint32_t take_from_stream(Stream *stream, const uint64_t *positions, uint32_t count, Picked *taken) noexcept:
    """All but the last, which stays so that its offset is not given again."""
    cdef uint32_t i, n = 0
    cdef uint64_t offset
    for i in range(count):
        offset = positions[i] - 1
        if positions[i] == 0 or offset < stream.first or offset + 1 >= stream.end or slot_at(stream, offset) == NULL:
            continue
        fill_from_slot(&taken[n].entry, offset, slot_at(stream, offset))
        taken[n].state = STATE_READY
        taken[n].ready_at_ms = 0
        drop_slot(stream, offset)
        n += 1
    return n


cdef uint32_t take_out(EngineState engine, Queue *queue, const uint64_t *positions, uint32_t count,
                       Picked *taken) except? 0xFFFFFFFF:
    """Takes ready and delayed messages out of the queue; those that are not there (any more) are left out.

    `positions` ascend, without one twice; `taken` has room for all. Returns how many it got, in no order. They are
    the caller's from here on, in the store as before.
    """
    cdef uint32_t n, i
    if queue.features != NULL and queue.features.stream != NULL:
        return take_from_stream(queue.features.stream, positions, count, taken)
    if queue.features == NULL:
        n = take_from_returned(&queue.returned, positions, count, taken)
        return n + take_from_ring(&queue.ready, positions, count, taken + n)
    if queue.features.lanes != NULL:
        n = take_from_lanes(queue.features.lanes, positions, count, taken)
    else:
        n = take_from_returned(&queue.returned, positions, count, taken)
        n += take_from_ring(&queue.ready, positions, count, taken + n)
    if queue.features.counts_bytes:
        for i in range(n):
            left_ready(engine, queue, stored_body_bytes(engine, &taken[i].entry))
    n += take_from_delayed(&queue.features.delayed, positions, count, taken + n)
    watch_head(engine, queue)
    return n


# -- putting back

cdef ReadyBlock *with_room(ReadyRing *ring, ReadyBlock *previous, ReadyBlock *block) except NULL:
    """A block that takes one more entry."""
    cdef ReadyBlock *moved
    if block == ring.tail and ring.tail_index < block.capacity:
        return block
    moved = <ReadyBlock *> realloc(block, sizeof(ReadyBlock) + block.capacity * sizeof(Entry))
    if moved == NULL:
        raise MemoryError()
    moved.capacity += 1
    if previous == NULL:
        ring.head = moved
    else:
        previous.next = moved
    if block == ring.tail:
        ring.tail = moved
    return moved


cdef int insert_into_ring(ReadyRing *ring, const Entry *entry) except -1:
    """Where its number belongs, behind the first of a ring that is not empty."""
    cdef ReadyBlock *block = ring.head
    cdef ReadyBlock *previous = NULL
    cdef uint64_t end, i
    while True:
        end = ring.tail_index if block == ring.tail else block.capacity
        if block.entries[end - 1].number > entry.number:
            break
        if block == ring.tail:
            return push_ready(ring, entry)
        previous = block
        block = block.next
    block = with_room(ring, previous, block)
    if block == ring.tail:
        ring.tail_index += 1
    i = end
    # not beyond the first one of the ring, whose number is lower
    while i and block.entries[i - 1].number > entry.number:
        block.entries[i] = block.entries[i - 1]
        i -= 1
    block.entries[i] = entry[0]
    ring.count += 1
    return 0


cdef int put_back_at(EngineState engine, Queue *queue, const Picked *picked) except -1:
    """A message that was taken out, to where it was: also in front of such as have not been delivered yet."""
    cdef const Entry *entry = &picked.entry
    cdef ReadyRing *ring = &queue.ready
    cdef ReturnedHeap *heap = &queue.returned
    cdef Lane *lane = NULL
    if picked.state == STATE_DELAYED:
        push_delayed(&queue.features.delayed, picked.ready_at_ms, entry)
        return lower_timer(engine, queue, picked.ready_at_ms)
    if queue.features != NULL and queue.features.lanes != NULL:
        lane = lane_of(queue.features.lanes, entry)
        ring = &lane.ready
        heap = &lane.returned
    if ring.count == 0 or entry.number < first_ready(ring).number:
        push_returned(heap, entry)
    else:
        insert_into_ring(ring, entry)
    if lane != NULL:
        fill_lane(queue.features.lanes, lane)
    if queue.features != NULL:
        if queue.features.counts_bytes:
            queue.features.ready_bytes += stored_body_bytes(engine, entry)
        enforce_limits(engine, queue)
        watch_head(engine, queue)
    if queue.open != NULL:
        touch(engine, queue)
    return 0
