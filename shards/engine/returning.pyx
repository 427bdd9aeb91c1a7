# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Returns: how often a message may come back, and when it is ready again. A plain queue never comes here.

A message comes back because its client gave it back (basic.nack, basic.recover), or because its delivery failed:
basic.reject, or the end of its channel, connection, gateway or consumer. Entry.delivery_count counts all
deliveries. A quorum queue counts failed ones beside it, in the upper bits of Entry.flags, since only these count for its
delivery limit; what it keeps in the log is that count, and 1 at least once a message was delivered.
"""
from libc.math cimport pow
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from log.formats cimport ENTRY_FAILURES_MAX, ENTRY_FAILURES_SHIFT, ENTRY_RETURNED
from shards.engine.delayed_heap cimport push_delayed
from shards.engine.dying cimport DEATH_DELIVERY_LIMIT, die
from shards.engine.features cimport BACKOFF_FAILED, BACKOFF_GIVEN_BACK, BACKOFF_LINEAR, TYPE_QUORUM, Features
from shards.engine.placing cimport take_back
from shards.engine.timers cimport lower_timer


cdef uint32_t failures_of(const Entry *entry) noexcept:
    return entry.flags >> ENTRY_FAILURES_SHIFT


cdef inline void set_failures(Entry *entry, uint32_t failures) noexcept:
    entry.flags = <uint16_t> (
        entry.flags & ((1 << ENTRY_FAILURES_SHIFT) - 1) | min(failures, <uint32_t> ENTRY_FAILURES_MAX)
        << ENTRY_FAILURES_SHIFT)


cdef inline uint8_t stored_count(const Entry *entry) noexcept:
    """What the log is to keep of a delivered message of a quorum queue."""
    return <uint8_t> min(max(failures_of(entry), <uint32_t> 1), <uint32_t> 255)


cdef void recover_failures(Entry *entry) noexcept:
    """Of a quorum queue's message as the log has it: the delivery that was under way counts as failed."""
    set_failures(entry, entry.delivery_count)


cdef int note_delivery(EngineState engine, Queue *queue, Entry *entry) except -1:
    """The message has just been delivered, and its count is up to date."""
    engine.store.delivered(entry, stored_count(entry) if queue.features.queue_type == TYPE_QUORUM
                           else entry.delivery_count)
    return 0


cdef uint64_t pause_ms(const Features *features, uint8_t delivery_count, bint failed) noexcept:
    """Before it is ready again, after so many deliveries."""
    cdef double pause
    if not features.backoff_returns & (BACKOFF_FAILED if failed else BACKOFF_GIVEN_BACK):
        return 0
    if features.backoff_factor == BACKOFF_LINEAR:
        pause = <double> features.backoff_min_ms * delivery_count
    else:
        pause = <double> features.backoff_min_ms * pow(features.backoff_factor, delivery_count - 1)
    if pause >= <double> features.backoff_max_ms:
        return features.backoff_max_ms
    return <uint64_t> pause


cdef int give_back(EngineState engine, Queue *queue, Entry *entry, bint failed) except -1:
    """It dies where that was once too often; otherwise it is ready, at once or after a pause."""
    cdef Features *features = queue.features
    cdef uint64_t pause
    if features.queue_type == TYPE_QUORUM:
        if failed:
            set_failures(entry, failures_of(entry) + 1)
            engine.store.delivered(entry, stored_count(entry))
        if failures_of(entry) > features.delivery_limit:
            return die(engine, queue, entry, DEATH_DELIVERY_LIMIT)
    if features.backoff_min_ms:
        pause = pause_ms(features, entry.delivery_count, failed)
        if pause:
            entry.flags |= ENTRY_RETURNED
            push_delayed(&features.delayed, engine.now_ms + pause, entry)
            return lower_timer(engine, queue, engine.now_ms + pause)
    return take_back(engine, queue, entry)
