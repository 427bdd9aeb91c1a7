# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Brings what the next publishes of a batch will look at into the cache, all of it at once.

Of ten thousand queues in turn none is in the cache when its message comes: its place in the table, the queue, its level
and its consumer, each found by the one before, would be waited for one after the other. Here a step is made for several
messages together, so what is waited for is one of each. It reads what is there and changes nothing.
"""
from libc.stdint cimport uint8_t, uint32_t

from bus.cache cimport fetch_ahead, fetch_bytes_ahead
from bus.records cimport KIND_PUBLISH, PUBLISH_APART, PUBLISH_DELAYED, RECORD_ALIGNMENT, PublishRecord, RecordHeader
from shards.engine.state cimport QUEUE_HOT_BYTES, Consumer, EngineState, Level, Queue
from shards.engine.tables cimport place_of, queue_at

cdef enum:
    # each step waits for its first answer: with more than these that is little of a message's time
    RECORDS_AT_ONCE = 32


cdef size_t expect_queues(EngineState engine, const uint8_t *data, size_t position, size_t end) noexcept:
    """Records with a length that lies end it: whoever applies them says so."""
    cdef const RecordHeader *header
    cdef const PublishRecord *record
    cdef uint32_t ids[RECORDS_AT_ONCE]
    cdef Queue *queues[RECORDS_AT_ONCE]
    cdef Level *levels[RECORDS_AT_ONCE]
    cdef uint32_t queue_id, previous = 0
    cdef int looked_at, i, count = 0, open_count = 0
    if engine.queues.capacity == 0:
        return end
    for looked_at in range(RECORDS_AT_ONCE):
        if end - position < sizeof(RecordHeader):
            break
        header = <const RecordHeader *> (data + position)
        if header.record_bytes < sizeof(RecordHeader) or header.record_bytes % RECORD_ALIGNMENT \
                or header.record_bytes > end - position:
            break
        position += header.record_bytes
        record = <const PublishRecord *> header
        if header.kind != KIND_PUBLISH or header.record_bytes < sizeof(PublishRecord) + sizeof(uint32_t) \
                or record.queue_count == 0 or record.flags & (PUBLISH_APART | PUBLISH_DELAYED):
            continue
        queue_id = (<const uint32_t *> (record + 1))[0]
        if queue_id != previous:
            ids[count] = previous = queue_id
            count += 1
            fetch_ahead(&engine.queues.places[place_of(queue_id, engine.queues.capacity)])
    for i in range(count):
        queues[i] = <Queue *> queue_at(&engine.queues, ids[i])
        if queues[i] != NULL:
            fetch_bytes_ahead(queues[i], QUEUE_HOT_BYTES)
    for i in range(count):
        if queues[i] != NULL and queues[i].open != NULL:
            levels[open_count] = queues[i].open
            fetch_bytes_ahead(levels[open_count], sizeof(Level))
            open_count += 1
    for i in range(open_count):
        fetch_bytes_ahead(levels[i].available.first, sizeof(Consumer))
    return position
