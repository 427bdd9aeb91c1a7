"""Rendering publishes from a template. See template.pyx."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    # the stamp at the start of a body, little-endian
    STAMP_TIME = 0                      # CLOCK_MONOTONIC in ns when the message was handed over, u64
    STAMP_SEQUENCE = 8                  # of the producer, from 0, u64
    STAMP_PRODUCER = 16                 # u32
    STAMP_RUN = 20                      # tells one run's messages from another's, u32
    STAMP_BYTES = 24


cdef struct Stamp:
    uint64_t time_ns
    uint64_t sequence
    uint32_t producer
    uint32_t run


cdef class Template:
    cdef list kept                      # the bytes that the pointers go into
    cdef const uint8_t **heads
    cdef size_t *head_bytes
    cdef readonly uint32_t keys
    cdef const uint8_t *tail
    cdef size_t tail_bytes
    cdef size_t body_at                 # of the first byte of the body in the tail
    cdef size_t stamp_bytes             # of the stamp that the body has room for
    cdef readonly uint32_t run

    # How many bytes a message with that key is; the key is below `keys`.
    cdef size_t message_bytes(self, uint32_t key) noexcept
    # Fills that room; returns the end of it.
    cdef uint8_t *render(self, uint8_t *out, uint32_t key, const Stamp *stamp) noexcept
