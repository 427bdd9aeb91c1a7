"""One AMQP connection. See connection.pyx and connection.pyi."""
from gateway.core.state cimport ConnectionState


cdef class ConnectionCore(ConnectionState):
    cdef int check_initialised(self) except -1
    cdef int feed(self, const unsigned char *data, size_t n) except -1
    cdef int receive_bytes(self, const unsigned char *data, size_t n) except -1
