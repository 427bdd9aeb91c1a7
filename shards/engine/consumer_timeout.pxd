"""Deliveries that are not settled in time. See consumer_timeout.pyx."""
from libc.stdint cimport uint64_t

from shards.engine.state cimport Channel, EngineState


cdef int watch(EngineState engine, Channel *channel, uint64_t timeout_ms) except -1
cdef void unwatch(EngineState engine, Channel *channel) noexcept
cdef int watch_holders(EngineState engine, uint64_t timeout_ms) except -1
cdef bint look_is_due(EngineState engine, uint64_t now_ms) noexcept
cdef int look(EngineState engine) except -1
