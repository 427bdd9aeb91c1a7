"""What a dead letter says of its deaths: x-death and its kin; see shards/engine/death.pyx."""
from libc.stdint cimport uint8_t, uint64_t

from amqp091.property_edit cimport Scratch
from amqp091.scanner cimport ContentHeader
from shards.engine.death_template cimport DeathTemplate

# One death of one message. The strings are the caller's; each has at most 255 bytes.
cdef struct Death:
    const uint8_t *queue            # that it died in
    const uint8_t *exchange         # that it was published to, and the key
    const uint8_t *routing_key
    uint8_t queue_bytes
    uint8_t exchange_bytes
    uint8_t routing_key_bytes
    uint8_t reason                  # DEATH_*, dying.pxd
    bint recorded                   # it died before, and its x-death is this broker's; else a client's word, not trusted
    bint rekeyed                    # the dead letter goes by another key: CC and BCC do not count any more
    uint64_t time_s                 # wall clock


# Appends the properties of the dead letter to `out`; `fields` is room to work in. `header` is from parse_properties.
cdef int write_death(Scratch *out, Scratch *fields, const ContentHeader *header, const Death *death,
                     DeathTemplate *template) except -1

cdef void free_template(DeathTemplate *template) noexcept

# Whether a target queue would have the message go in a circle that no client takes part in.
cdef bint is_cycle(const ContentHeader *header, const Death *death, const uint8_t *target,
                   uint8_t target_bytes) noexcept nogil

cdef const char *reason_text(uint8_t reason) noexcept nogil
