"""Connections, channels and consumers of gateways: how they come and go. See members.pyx."""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from shards.engine.state cimport Channel, Connection, Consumer, EngineState, Gateway, Queue


cdef Connection *connection_for(EngineState engine, Gateway *gateway, uint32_t handle) except NULL
cdef Channel *channel_for(EngineState engine, Gateway *gateway, uint32_t handle, Connection *connection) except NULL
cdef Consumer *add_consumer(EngineState engine, Queue *queue, Channel *channel, uint32_t handle, bint no_ack,
                            bint exclusive, uint32_t prefetch, int64_t priority, uint64_t arrival,
                            bint was_active) except NULL
cdef int remove_consumer(EngineState engine, Consumer *consumer, list unused) except -1
cdef void set_prefetch(EngineState engine, Channel *channel, uint32_t prefetch) noexcept
cdef int remove_channel(EngineState engine, Channel *channel, list unused) except -1
cdef int remove_connection(EngineState engine, Connection *connection, list unused) except -1
cdef int remove_gateway(EngineState engine, Gateway *gateway, list unused) except -1
