"""Dead letters: from the queue that a message died in to where its exchange routes it. See burying.pyx."""
from libc.stdint cimport uint32_t, uint64_t

from log.store cimport Entry
from shards.engine.state cimport EngineState, Queue

cdef enum:
    BURIED_AT_ONCE_MAX = 4096       # letters of one dispatch, before other work has its turn


# The old entry of a message that was written somewhere else is done with, as soon as that is safe.
cdef int give_up(EngineState engine, const Entry *entry, bint durable) except -1
cdef bint can_bury(EngineState engine) noexcept
cdef int bury_dead(EngineState engine, uint32_t *budget) except -1
# The log is on the disk up to this position.
cdef int settle_up_to(EngineState engine, uint64_t position) except -1
# Wall clock; UNLIMITED: never. `bury_again` when it has come.
cdef uint64_t bury_again_at(EngineState engine) noexcept
cdef int bury_again(EngineState engine) except -1
# Answers of the relay.
cdef int letter_answered(EngineState engine, uint64_t ticket, int answer) except -1
cdef int shard_opened(EngineState engine) except -1
# A queue gets a dead-letter exchange, another one, or loses it; a queue goes.
cdef int set_dead_letters(EngineState engine, Queue *queue, exchange, routing_key) except -1
cdef int forget_letters(EngineState engine, Queue *queue) except -1
cdef uint64_t letters_count(const Queue *queue) noexcept
