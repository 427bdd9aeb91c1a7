"""The way of bytes between a client's socket and its connection. See client_socket.pyx."""
from libc.stdint cimport uint64_t

from bus.room cimport Room
from gateway.core.connection cimport ConnectionCore
from gateway.turn cimport GatewayTurn


cdef class ClientSocket:
    cdef readonly GatewayTurn _gateway
    cdef readonly ConnectionCore _connection
    cdef readonly object _transport
    cdef int _descriptor                # -1: what is written has to pass the transport
    cdef bint _reading
    cdef Room _room                     # that the next read goes to, or None
    cdef uint64_t _offered_bytes        # what that may fill
    cdef uint64_t _read_on_bytes        # by reads that did fill it, one after the other
    cdef public bint _finished
    cdef readonly uint64_t received_bytes
    cdef readonly uint64_t sent_bytes
