"""The socket's side of a connection: bytes in, bytes out, and when to stop either.

One read buffer serves all connections of the process: what the socket gave is handled before the next
read, and the compiled core keeps what is incomplete. Knows nothing of AMQP.
"""
import asyncio
from typing import TYPE_CHECKING, Final, cast

from gateway.connection import Connection
from gateway.core import PAUSE_OUTPUT
from gateway.wire import Ends

if TYPE_CHECKING:
    from gateway.gateway import Gateway

READ_BUFFER_BYTES: Final = 256 * 1024
"""As much as one read takes; larger reads make larger batches, up to what a cache likes."""
WRITE_HIGH_BYTES: Final = 256 * 1024
"""Unsent output at which a client counts as slow: more of it stays with the core, which asks for no more."""
WRITE_LOW_BYTES: Final = 64 * 1024
LINGER_S: Final = 3.0
"""After the last word: the client's chance to read it and hang up first."""


class ClientProtocol(asyncio.BufferedProtocol):
    """One accepted socket. It is the Wire of its connection."""

    __slots__ = (
        "_connection", "_descriptor", "_finished", "_gateway", "_reading", "_transport", "received_bytes", "sent_bytes",
    )

    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway
        self._transport: asyncio.Transport
        self._connection: Connection
        self._reading = True
        self._finished = False
        self.received_bytes = 0
        self.sent_bytes = 0

    # from the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES, low=WRITE_LOW_BYTES)
        peer = transport.get_extra_info("peername") or ("?", 0)
        own = transport.get_extra_info("sockname") or ("?", 0)
        # what is encrypted on its way has to go through the transport
        encrypted = transport.get_extra_info("sslcontext") is not None
        self._descriptor: int = -1 if encrypted else transport.get_extra_info("socket").fileno()
        self._connection = self._gateway.accept(self, Ends(peer[0], peer[1], own[0], own[1]))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._gateway.read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        connection = self._connection
        self.received_bytes += nbytes
        if connection.paused:
            self.stop_reading()
        try:
            connection.receive(self._gateway.read_buffer[:nbytes])
        except Exception as error:      # a bug in a handler
            connection.crash(error)
        connection.hold_for_output()
        if connection.feeds_flood:
            self._gateway.pacing.rest(connection)
        self._gateway.after_read(nbytes)

    def eof_received(self) -> bool:
        return False                    # the transport closes

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.on_wire_lost()
        self._gateway.wake()

    def pause_writing(self) -> None:
        self._connection.writable = False

    def resume_writing(self) -> None:
        self._connection.writable = True
        self.flush()
        # and wakes: credit for what has left
        self._gateway.guarded(self._connection, lambda: self._connection.go_on(PAUSE_OUTPUT))

    # for the connection

    def flush(self) -> None:
        connection = self._connection
        if connection.writable:
            if connection.has_lent and self._takes_straight():
                self.sent_bytes += connection.send_straight(self._descriptor)
            output = connection.take_output()
            if output is not None and not self._finished:
                self.sent_bytes += len(output)
                self._transport.write(output)       # type: ignore[arg-type]  # any buffer will do

    def _takes_straight(self) -> bool:
        """Whether the socket may be written to without the transport, as that has nothing to write."""
        transport = self._transport
        return (
            self._descriptor >= 0 and not self._finished and not transport.is_closing()
            and transport.get_write_buffer_size() == 0
        )

    def stop_reading(self) -> None:
        if self._reading and not self._transport.is_closing():
            self._reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._reading and not self._transport.is_closing():
            self._reading = True
            self._transport.resume_reading()

    def finish(self) -> None:
        if self._finished or self._transport.is_closing():
            return
        self._connection.writable = True    # the last word goes out whatever is pending
        self.flush()
        self._finished = True
        self.resume_reading()               # to see the client hang up
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._gateway.wheel.at(self._gateway.now_s() + LINGER_S, lambda _: self.abort())

    def abort(self) -> None:
        self._transport.abort()
