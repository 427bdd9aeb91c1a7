# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Deduplication: a queue remembers the ids of the messages that it took, and takes each once.

A duplicate counts as taken. Its publisher may hear so only when the message that it duplicates is on the disk, and that
may have come over another link a moment ago: EngineState.leans_on_log tells the shard.

The ids outlive the messages. Each is a small record of the log (log/formats.py: RECORD_IDENTIFIER) behind the record of
its message, in the same segment and covered by the same synchronisation, under a queue id of its own; it is
acknowledged when the id leaves the window, by number or by time. So after a crash

- a message without its id is possible, as the last one of the log: the id is taken from the message (load_window);
- an id without its message is not believed, unless the message was in the log with it (Store.identifies): nothing is
  ever taken for a duplicate of something that was lost.

What the broker itself moves (a dead letter, a message from another shard, one moved by an operator) has been in a queue
before. It is never a duplicate, or a message could not come back from where it waited for another try; but its id is
remembered, if it is not yet.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from log.store cimport Entry, Message
from shards.engine.features cimport UNLIMITED
from shards.engine.identifier cimport IDENTIFIER_BYTES, identify
from shards.engine.timers cimport lower_timer
from shards.engine.window cimport (
    KnownIdentifier, drop_oldest, find_identifier, new_window, oldest, push_identifier,
)

from topology.deduplication import window_queue_id

cdef enum:
    NO_SEGMENT = 0xFFFFFFFF         # of an id that the log had no room for: it is remembered until the process ends


cdef bint is_duplicate(EngineState engine, Window *window, const Message *message, bint had_before) except -1:
    """Whether the queue has had the message. If not, `remember` is to follow once it is stored.

    `had_before`: it comes out of another queue.
    """
    cdef uint64_t budget = UNLIMITED
    window.identified = identify(&window.rule, message, &window.identifier)
    if not window.identified:
        return False
    forget_old(engine, window, &budget)
    if find_identifier(window, &window.identifier) == NULL:
        return False
    window.identified = False
    if had_before or message.died or message.handed_over:
        return False
    window.duplicates += 1
    engine.leans_on_log = True
    return True


cdef inline uint64_t due_at(const Window *window) noexcept:
    """When the oldest id leaves by its age."""
    if window.count == 0 or window.window_ms == UNLIMITED:
        return UNLIMITED
    return oldest(window).known_at_ms + window.window_ms


cdef int forget_oldest(EngineState engine, Window *window) except -1:
    cdef Entry entry
    entry.segment = oldest(window).segment
    entry.slot = oldest(window).slot
    drop_oldest(window)
    return engine.store.acked(&entry)


cdef uint64_t forget_old(EngineState engine, Window *window, uint64_t *budget) except? 0:
    """Ids whose time is over go, as many as the budget has; returns when the next one goes."""
    while budget[0] and due_at(window) <= engine.now_ms:
        budget[0] -= 1
        forget_oldest(engine, window)
    return due_at(window)


cdef int forget_all(EngineState engine, Window *window) except -1:
    """The queue goes."""
    while window.count:
        forget_oldest(engine, window)
    return 0


cdef int remember_one(EngineState engine, Queue *queue, uint64_t number, bint durable, uint64_t known_at_ms,
                      bint recovered) except -1:
    cdef Window *window = queue.features.window
    cdef KnownIdentifier known
    cdef Entry entry
    window.identified = False
    known.identifier = window.identifier
    known.known_at_ms = known_at_ms
    try:
        engine.store.append_identifier(
            durable, <const uint8_t *> &window.identifier, known_at_ms, window.window_queue_id, number, recovered,
            &entry)
        known.segment = entry.segment
        known.slot = entry.slot
    except OSError:
        # Of messages in memory alone, where that became full between the two: the id can be taken from the message.
        known.segment = NO_SEGMENT
        known.slot = 0
    push_identifier(window, &known)
    if window.count > window.identifiers_max:
        forget_oldest(engine, window)
    if window.count == 1:
        lower_timer(engine, queue, due_at(window))
    return 0


cdef int remember(EngineState engine, Queue **queues, const Entry *entries, uint32_t count, bint durable) except -1:
    """The ids of a message that has been stored, for those of its queues that asked is_duplicate for them."""
    cdef uint32_t i
    for i in range(count):
        if queues[i].features != NULL and queues[i].features.window != NULL and queues[i].features.window.identified:
            remember_one(engine, queues[i], entries[i].number, durable, engine.now_ms, False)
    return 0


cdef int set_window(EngineState engine, Queue *queue, deduplication) except -1:
    """What the arguments of the queue say; they never change."""
    cdef bytes header
    cdef Window *window
    if deduplication is None or queue.features.window != NULL:
        return 0
    header = b"" if deduplication.header is None else encoded(deduplication.header)
    window = new_window(<const uint8_t *> <const char *> header, len(header))
    window.window_queue_id = window_queue_id(queue.queue_id)
    window.identifiers_max = deduplication.ids_max
    window.window_ms = UNLIMITED if deduplication.window_ms is None else deduplication.window_ms
    queue.features.window = window
    return 0


cdef bytes encoded(header):
    """A field table gives a name as text, or as bytes where it is none."""
    return header if isinstance(header, bytes) else header.encode("utf-8", "surrogateescape")


# -- after a restart

cdef int load_window(EngineState engine, Queue *queue, const Entry *identifiers, size_t identifier_count,
                     const Entry *entries, size_t entry_count, uint64_t highest_number) except -1:
    """Fills the window with what recovery has found: ids, ascending by number, and messages of the queue.

    `highest_number` is that of any id of the queue that is still in the log; messages behind it have none yet.
    """
    cdef Window *window = queue.features.window
    cdef uint64_t budget = UNLIMITED
    cdef KnownIdentifier known
    cdef Message message
    cdef size_t i
    for i in range(identifier_count):
        if (
            not engine.store.identifies(&identifiers[i], queue.queue_id)
            or not engine.store.read(&identifiers[i], &message) or message.content_bytes != IDENTIFIER_BYTES
        ):
            engine.store.acked(&identifiers[i])
            continue
        memcpy(&known.identifier, message.content, IDENTIFIER_BYTES)
        known.known_at_ms = message.received_at_ms
        known.segment = identifiers[i].segment
        known.slot = identifiers[i].slot
        if find_identifier(window, &known.identifier) != NULL:
            engine.store.acked(&identifiers[i])
            continue
        push_identifier(window, &known)
        if window.count > window.identifiers_max:
            forget_oldest(engine, window)
    for i in range(entry_count):
        if entries[i].number > highest_number and engine.store.read(&entries[i], &message):
            take_from_message(engine, queue, &entries[i], &message)
    forget_old(engine, window, &budget)
    return lower_timer(engine, queue, due_at(window))


cdef int take_from_message(EngineState engine, Queue *queue, const Entry *entry, const Message *message) except -1:
    """Remembers the id of a message that is in the queue without it."""
    cdef Window *window = queue.features.window
    cdef bint durable
    cdef uint64_t received_at_ms = engine.now_ms if message.delayed else message.received_at_ms
    if identify(&window.rule, message, &window.identifier) and find_identifier(window, &window.identifier) == NULL:
        # Before its id is: the two are not in one segment.
        durable = engine.store.synchronise(entry)
        remember_one(engine, queue, entry.number, durable, received_at_ms, True)
    window.identified = False
    return 0
