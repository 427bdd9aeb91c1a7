"""The socket's side of a connection: bytes in, bytes out, and when to stop either.

One read buffer serves all connections of the process: what the socket gave is handled before the next
read, and the compiled core keeps what is incomplete. Knows nothing of AMQP. What runs for every read and write is
compiled: gateway/client_socket.pyx.
"""
import asyncio
import contextlib
import socket
from typing import Final, cast

from gateway.client_socket import ClientSocket
from gateway.core import PAUSE_OUTPUT
from gateway.wire import Ends

WRITE_HIGH_BYTES: Final = 256 * 1024
"""Unsent output at which a client counts as slow: more of it stays with the core, which asks for no more."""
WRITE_LOW_BYTES: Final = 64 * 1024
UNPACED: Final = b"reno"
"""The congestion control for clients on this machine, which every kernel has: on the loopback interface there is
nothing to control, and one that paces (bbr) sets a timer for each send, which costs more than a small message does."""
LINGER_S: Final = 3.0
"""After the last word: the client's chance to read it and hang up first."""


class ClientProtocol(ClientSocket, asyncio.BufferedProtocol):
    """One accepted socket. It is the Wire of its connection."""

    __slots__ = ()

    # from the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        wire = cast(asyncio.Transport, transport)
        wire.set_write_buffer_limits(high=WRITE_HIGH_BYTES, low=WRITE_LOW_BYTES)
        peer = wire.get_extra_info("peername") or ("?", 0)
        own = wire.get_extra_info("sockname") or ("?", 0)
        ends = Ends(peer[0], peer[1], own[0], own[1])
        if ends.from_this_machine:
            with contextlib.suppress(OSError):      # a kernel may forbid it: then it is paced
                wire.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, UNPACED)
        # what is encrypted on its way has to go through the transport
        encrypted = wire.get_extra_info("sslcontext") is not None
        self._opened(wire, -1 if encrypted else wire.get_extra_info("socket").fileno())
        self._accepted(self._gateway.accept(self, ends))

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

    def finish(self) -> None:
        if self._finished or self._transport.is_closing():
            return
        self._connection.writable = True    # the last word goes out whatever is pending
        self.flush()
        self._finished = True
        if self._transport.is_closing():    # the client was gone already
            return
        self.resume_reading()               # to see the client hang up
        if self._transport.can_write_eof():
            self._transport.write_eof()
        transport = self._transport         # and nothing of the connection, which may be gone by then
        self._gateway.wheel.at(self._gateway.now_s() + LINGER_S, lambda _: transport.abort())

    def abort(self) -> None:
        self._transport.abort()
