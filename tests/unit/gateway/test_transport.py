"""The socket's side of a connection, on real sockets."""
import asyncio
import socket
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvloop

from gateway.transport import ClientProtocol


class FakeConnection:
    """Always has something to say."""

    writable = True
    lost = False

    def take_output(self) -> bytes:
        return b"x" * 100

    def on_wire_lost(self) -> None:
        self.lost = True


class FakeGateway:
    """One connection, whatever comes."""

    def __init__(self) -> None:
        self.connection = FakeConnection()
        self.read_buffer = memoryview(bytearray(1024))
        self.wheel = SimpleNamespace(at=lambda *_: None)

    def accept(self, wire: Any, ends: Any) -> FakeConnection:
        return self.connection

    def wake(self) -> None:
        """Nothing to be done."""

    def now_s(self) -> float:
        return 0.0


@pytest.mark.parametrize("last_word", [ClientProtocol.flush, ClientProtocol.finish])
def test_what_is_to_be_said_to_a_client_that_is_gone_goes_nowhere(last_word: Any) -> None:
    async def scenario() -> None:
        gateway = FakeGateway()
        ours, theirs = socket.socketpair()
        with theirs:
            ours.setblocking(False)
            protocol = ClientProtocol(cast(Any, gateway))
            transport, _ = await asyncio.get_running_loop().create_connection(lambda: protocol, sock=ours)
            protocol.flush()
            assert theirs.recv(1000) == b"x" * 100
            transport.abort()               # as it does itself when its client is gone
            last_word(protocol)             # before it says connection_lost
            assert not gateway.connection.lost
            while not gateway.connection.lost:
                await asyncio.sleep(0)
            last_word(protocol)             # and after that
            assert theirs.recv(1000) == b""

    uvloop.run(scenario())


def test_a_last_word_that_finds_the_client_gone_is_the_end() -> None:
    async def scenario() -> None:
        gateway = FakeGateway()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        protocol = ClientProtocol(cast(Any, gateway))
        await asyncio.get_running_loop().create_connection(lambda: protocol, sock=ours)
        theirs.close()                      # the write of the last word finds out
        protocol.finish()
        while not gateway.connection.lost:
            await asyncio.sleep(0)

    uvloop.run(scenario())
