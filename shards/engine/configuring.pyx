# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""From topology.features.QueueFeatures to a queue's own: at its declaration, and whenever a policy changes them.

A new limit holds at once; a new TTL holds for messages that come from now on, as in RabbitMQ.
"""
from libc.stdint cimport uint64_t

from log.formats cimport NO_TTL
from shards.engine.burying cimport set_dead_letters
from shards.engine.consumer_timeout cimport watch_holders
from shards.engine.deduplication cimport set_window
from shards.engine.features cimport (
    BACKOFF_FAILED, BACKOFF_GIVEN_BACK, BACKOFF_LINEAR, OVERFLOW_DROP_HEAD, OVERFLOW_REJECT, OVERFLOW_REJECT_DLX,
    TYPE_CLASSIC, TYPE_QUORUM, TYPE_STREAM, UNLIMITED, Features,
)
from shards.engine.placing cimport count_bytes, enforce_limits, features_for, now_unused
from shards.engine.retaining cimport retain

from topology.features import DROP_HEAD

QUEUE_TYPES = {"classic": TYPE_CLASSIC, "quorum": TYPE_QUORUM, "stream": TYPE_STREAM}
OVERFLOWS = {
    DROP_HEAD: OVERFLOW_DROP_HEAD, "reject-publish": OVERFLOW_REJECT, "reject-publish-dlx": OVERFLOW_REJECT_DLX,
}


cdef uint64_t number_or(value, uint64_t absent) except? 0:
    return absent if value is None else value


cdef int set_backoff(Features *own, backoff) except -1:
    own.backoff_min_ms = 0 if backoff is None else backoff.min_ms
    if backoff is not None:
        own.backoff_max_ms = backoff.max_ms
        own.backoff_factor = BACKOFF_LINEAR if backoff.factor is None else backoff.factor
        own.backoff_returns = (
            (BACKOFF_FAILED if backoff.of_failed else 0) | (BACKOFF_GIVEN_BACK if backoff.of_given_back else 0))
    return 0


cdef int configure_stream(Features *own, features) except -1:
    """Of all that limits a queue it knows these two."""
    own.stream.bytes_max = own.max_length_bytes
    own.stream.age_ms_max = number_or(features.max_age_ms, UNLIMITED)
    own.message_ttl_ms = NO_TTL
    own.expires_ms = own.max_length = own.max_length_bytes = UNLIMITED
    own.overflow = OVERFLOW_DROP_HEAD
    own.consumer_timeout_ms = UNLIMITED
    return 0


cdef int set_consumer_timeout(EngineState engine, Queue *queue, uint64_t timeout_ms) except -1:
    """A shorter one holds also for what is with consumers already, and counts from now."""
    if timeout_ms < queue.features.consumer_timeout_ms and queue.unacked:
        watch_holders(engine, timeout_ms)
    queue.features.consumer_timeout_ms = timeout_ms
    return 0


cdef int configure(EngineState engine, Queue *queue, features) except -1:
    cdef Features *own = features_for(engine, queue)
    own.queue_type = QUEUE_TYPES[features.queue_type]
    own.keeps_all = features.keeps_all
    own.message_ttl_ms = number_or(features.message_ttl_ms, NO_TTL)
    own.expires_ms = number_or(features.expires_ms, UNLIMITED)
    own.max_length = number_or(features.max_length, UNLIMITED)
    own.max_length_bytes = number_or(features.max_length_bytes, UNLIMITED)
    own.overflow = OVERFLOWS[features.overflow]
    own.delivery_limit = number_or(features.delivery_limit, UNLIMITED)
    set_consumer_timeout(engine, queue, number_or(features.consumer_timeout_ms, UNLIMITED))
    set_backoff(own, features.backoff)
    set_window(engine, queue, features.deduplication)
    own.single_active = features.single_active_consumer
    exchange = None if own.stream != NULL else features.dead_letter_exchange
    set_dead_letters(engine, queue, exchange, features.dead_letter_routing_key)
    if own.stream != NULL:
        configure_stream(own, features)
        return retain(engine, queue)
    if own.max_length_bytes == UNLIMITED:
        own.counts_bytes = False
        own.ready_bytes = 0
    elif not own.counts_bytes:
        count_bytes(engine, queue)
    enforce_limits(engine, queue)
    return now_unused(engine, queue)
