"""The socket's side of a connection, on real sockets."""
import asyncio
import socket
from collections.abc import Callable

import pytest
import uvloop

from gateway.transport import ClientProtocol
from tests.unit.gateway.bench import Bench

WAIT_S = 10.0


async def connected(ours: socket.socket) -> ClientProtocol:
    """A gateway's end of it, with a client that has said nothing."""
    ours.setblocking(False)
    protocol = ClientProtocol(Bench().gateway)
    await asyncio.get_running_loop().create_connection(lambda: protocol, sock=ours)
    return protocol


@pytest.mark.parametrize("last_word", [ClientProtocol.flush, ClientProtocol.finish])
def test_what_is_to_be_said_to_a_client_that_is_gone_goes_nowhere(last_word: Callable[[ClientProtocol], None]) -> None:
    async def scenario() -> None:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        loop = asyncio.get_running_loop()
        with theirs:
            protocol = await connected(ours)
            protocol._connection.write(b"to be read")
            protocol.flush()
            async with asyncio.timeout(WAIT_S):
                assert await loop.sock_recv(theirs, 1000) == b"to be read"
                protocol._transport.abort()     # as it does itself when its client is gone
                lost = False
                while not lost:                 # before connection_lost comes, and after it
                    lost = protocol._connection.wire_lost
                    protocol._connection.write(b"not to be read")
                    last_word(protocol)
                    await asyncio.sleep(0)
                assert await loop.sock_recv(theirs, 1000) == b""

    uvloop.run(scenario())
