# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The way of bytes between a client's socket and its connection, both ways, as far as it runs for every read and write.

Output goes to the socket by send(2) where the transport has nothing to write, and through the transport where the
socket does not take all of it. What happens now and then is its subclass's: gateway/transport.py.
"""
from libc.stdint cimport uint64_t

from bus.batch cimport Batch
from bus.room cimport Room
from gateway.core.connection cimport ConnectionCore
from gateway.core.lent_output cimport send_straight
from gateway.core.rooms cimport room_for
from gateway.turn cimport READ_BYTES, GatewayTurn

cdef extern from "sys/socket.h" nogil:
    ssize_t send(int descriptor, const void *data, size_t n, int flags)
    int MSG_DONTWAIT, MSG_NOSIGNAL

cdef enum:
    # The loop reads up to 32 times from a socket that fills what it reads to, before it looks at any other. After so much
    # the others have their turn, and among them the consumers whose acknowledgements such a publisher's messages wait for.
    READ_ON_BYTES_MAX = 2 * 1024 * 1024


cdef class ClientSocket:
    def __init__(self, GatewayTurn gateway not None):
        self._gateway = gateway
        self._descriptor = -1
        self._reading = True

    def _opened(self, transport, int descriptor):
        self._transport = transport
        self._descriptor = descriptor

    def _accepted(self, ConnectionCore connection not None):
        self._connection = connection
        connection.roomless = self._descriptor < 0

    def get_buffer(self, sizehint):
        cdef ConnectionCore connection = self._connection
        self._room = None
        # what is encrypted is not read by the transport to where this says, but copied there
        if self._descriptor >= 0 and (connection.large_shard or connection.room is not None):
            self._room = room_for(connection)
            if self._room is not None:
                self._offered_bytes = self._room.window_bytes
                return self._room
        self._offered_bytes = READ_BYTES
        return self._gateway.read_buffer

    def buffer_updated(self, size_t nbytes):
        cdef ConnectionCore connection = self._connection
        cdef GatewayTurn gateway = self._gateway
        cdef Room room = self._room
        self._room = None               # who reads no more keeps no room of a file that is gone
        self.received_bytes += nbytes
        if connection.pauses:
            self.stop_reading()
        try:
            if room is not None:
                connection.receive_in_room(room, nbytes)
            else:
                connection.receive_bytes(gateway.read_data, nbytes)
        except Exception as error:      # a bug in a handler
            connection.crash(error)
        if not connection.is_writable:
            connection.hold_for_output()
        if connection.feeds_flood:
            gateway.pacing.rest(connection)
        gateway.after_read(nbytes)
        self._read_on_bytes = self._read_on_bytes + nbytes if nbytes == self._offered_bytes else 0
        if self._read_on_bytes >= READ_ON_BYTES_MAX and self._reading:
            self._read_on_bytes = 0
            self.stop_reading()
            gateway.loop.call_soon(self._read_again)

    def _read_again(self):
        """The others had their turn."""
        if not self._connection.pauses:
            self.resume_reading()

    def flush(self):
        cdef ConnectionCore connection = self._connection
        cdef Batch output
        cdef ssize_t sent = 0
        cdef bint straight
        if not connection.is_writable or connection.output is None:
            return
        straight = self._takes_straight()
        if straight and connection.piece_count:
            self.sent_bytes += send_straight(connection, self._descriptor)
            straight = False            # what is left is more than the socket takes
        output = connection.take_output()
        # A transport whose client is gone refuses to be written to, whatever the connection still has to say.
        if output is None or output.size == 0 or self._finished or self._transport.is_closing():
            return
        self.sent_bytes += output.size
        if straight:
            sent = send(self._descriptor, output.data, output.size, MSG_DONTWAIT | MSG_NOSIGNAL)
        # Errors are left for the transport to meet.
        if sent <= 0:
            self._transport.write(output)
        elif <size_t> sent < output.size:
            self._transport.write(memoryview(output)[sent:])

    def _takes_straight(self):
        """Whether the socket may be written to without the transport, as that is well and has nothing to write."""
        return (
            self._descriptor >= 0 and not self._finished and not self._transport.is_closing()
            and self._transport.get_write_buffer_size() == 0
        )

    def stop_reading(self):
        if self._reading and not self._transport.is_closing():
            self._reading = False
            self._transport.pause_reading()

    def resume_reading(self):
        if not self._reading and not self._transport.is_closing():
            self._reading = True
            self._transport.resume_reading()
