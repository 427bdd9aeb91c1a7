# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The memory of a queue's features: made, filled from topology.features.QueueFeatures, freed. Decides nothing."""
from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free

from log.formats cimport NO_TTL
from shards.engine.delayed_heap cimport free_delayed
from shards.engine.ready_ring cimport free_ready
from shards.engine.returned_heap cimport free_returned
from shards.engine.stream cimport free_stream
from shards.engine.window cimport free_window


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
    free(features)
