# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The memory of a queue's features: made, filled from topology.features.QueueFeatures, freed. Decides nothing."""
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from log.formats cimport NO_TTL
from log.store cimport Entry
from shards.engine.burial_state cimport DeadLetters, free_letters
from shards.engine.delayed_heap cimport DelayedItem, free_delayed
from shards.engine.ready_ring cimport free_ready, ready_memory_bytes
from shards.engine.returned_heap cimport free_returned
from shards.engine.stream cimport Stream, StreamBlock, free_stream
from shards.engine.window cimport free_window, window_memory_bytes


cdef Features *new_features() except NULL:
    """Of a queue that does nothing special yet."""
    cdef Features *features = <Features *> calloc(1, sizeof(Features))
    if features == NULL:
        raise MemoryError()
    features.message_ttl_ms = NO_TTL
    features.expires_ms = features.max_length = features.max_length_bytes = UNLIMITED
    features.delivery_limit = features.consumer_timeout_ms = UNLIMITED
    features.timer_at_ms = UNLIMITED
    return features


cdef Lanes *new_lanes(uint32_t count) except NULL:
    cdef Lanes *lanes = <Lanes *> calloc(1, sizeof(Lanes) + (count - 1) * sizeof(Lane))
    if lanes == NULL:
        raise MemoryError()
    lanes.count = count
    return lanes


cdef void free_features(Features *features) noexcept:
    """All that hangs off it; the queue is in no list and no heap any more."""
    cdef uint32_t i
    if features == NULL:
        return
    if features.lanes != NULL:
        for i in range(features.lanes.count):
            free_ready(&features.lanes.lane[i].ready)
            free_returned(&features.lanes.lane[i].returned)
        free(features.lanes)
    free_stream(features.stream)
    free_delayed(&features.delayed)
    free_window(features.window)
    free_letters(features.letters)
    free(features)


cdef uint64_t features_memory_bytes(const Features *features) noexcept:
    """With all that hangs off it; 0 of a plain queue."""
    cdef uint64_t size = 0
    cdef uint32_t i
    if features == NULL:
        return 0
    size = sizeof(Features) + features.delayed.capacity * sizeof(DelayedItem)
    if features.lanes != NULL:
        size += sizeof(Lanes) + (features.lanes.count - 1) * sizeof(Lane)
        for i in range(features.lanes.count):
            size += ready_memory_bytes(&features.lanes.lane[i].ready)
            size += features.lanes.lane[i].returned.capacity * sizeof(Entry)
    if features.window != NULL:
        size += window_memory_bytes(features.window)
    if features.letters != NULL:
        size += sizeof(DeadLetters) + features.letters.exchange_bytes + features.letters.key_bytes
        size += ready_memory_bytes(&features.letters.dying)
    if features.stream != NULL:
        size += sizeof(Stream) + features.stream.blocks_capacity * sizeof(void *)
        size += (features.stream.blocks_tail - features.stream.blocks_head) * sizeof(StreamBlock)
    return size
