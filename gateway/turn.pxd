"""The turn of a gateway. See turn.pyx."""
from libc.stdint cimport uint8_t, uint32_t

from bus.turns cimport LinkTurns
from gateway.core.gateway cimport GatewayCore
from gateway.core.state cimport ConnectionState


cdef enum:
    READ_BYTES = 256 * 1024     # as much as one read takes; larger reads make larger batches, up to what a cache likes
    # Input beyond which what it became leaves at once: in one turn the loop may read megabytes of every socket.
    EARLY_SEND = 512 * 1024
    # Input of a message or a few: somebody may wait for these alone. With more, as under load, the next input is near.
    FEW_BYTES = 2 * 1024


cdef class GatewayTurn(GatewayCore):
    cdef readonly object loop
    cdef public object links
    cdef public LinkTurns turns         # of these links, where a process has them
    cdef readonly object read_buffer    # of all sockets: what it has is handled before the next read
    cdef const uint8_t *read_data       # where that lies
    cdef readonly set _congested        # shards whose links are
    cdef bint _flush_due
    cdef bint _quiet_due                # end_quiet is
    cdef size_t _unsent_bytes           # of input, since something was sent last
    cdef size_t _turn_bytes             # of input, since this turn began

    cdef int after_read(self, size_t size_bytes) except -1
    cdef bint has_output(self) except -1
    cdef int send(self) except -1
    cdef int write_out(self, ConnectionState connection) except -1
    cdef int send_lent(self) except -1
    cdef int send_quietly(self, uint32_t shard) except -1
