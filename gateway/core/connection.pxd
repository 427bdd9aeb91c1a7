"""One AMQP connection. See connection.pyx and connection.pyi."""
from gateway.core.state cimport ConnectionState


from bus.room cimport Room


# Appends `n` bytes to the backlog, with room made for `room`.
cdef int keep(ConnectionState connection, const unsigned char *data, size_t n, size_t room) except -1


cdef class ConnectionCore(ConnectionState):
    cdef int check_initialised(self) except -1
    cdef int feed(self, const unsigned char *data, size_t n) except -1
    cdef int receive_bytes(self, const unsigned char *data, size_t n) except -1
    # `n` more bytes are in the window of its room.
    cdef int receive_in_room(self, Room room, size_t n) except -1
cdef void drop_backlog(ConnectionState connection) noexcept
