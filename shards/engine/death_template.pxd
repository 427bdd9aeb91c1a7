"""What the letters of a queue have in common; see shards/engine/death.pyx."""
from libc.stdint cimport uint8_t

from amqp091.property_edit cimport Scratch


# What was written for a first death in a queue. That of the next message differs in its time and its routing key at
# most, mostly. All zero at first, one for each queue; its owner calls free_template.
cdef struct DeathTemplate:
    Scratch fields
    bint filled
    uint8_t reason
    uint8_t exchange_bytes
    uint8_t key_bytes
    size_t table_at                 # offsets in `fields`: of the length of the entry in x-death
    size_t time_at
    size_t exchange_at
    size_t key_at
