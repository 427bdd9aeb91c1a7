"""The socket's side of a connection, on real sockets."""
import asyncio
import socket
from collections.abc import Callable

import pytest
import uvloop

from amqp091.constants import PROTOCOL_HEADER
from gateway.transport import UNPACED, ClientProtocol
from gateway.wire import Ends
from tests.unit.gateway.bench import Bench, scenario, turn

WAIT_S = 10.0
READ_ON_BYTES_MAX = 2 << 20


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


async def accepted_from(host: str) -> bytes:
    """The congestion control of the gateway's end when a client comes from there."""
    with socket.create_server((host, 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    with theirs:
        await connected(ours)
        return congestion_control_of(ours)


def congestion_control_of(one: socket.socket) -> bytes:
    return one.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0")


def test_a_client_of_this_machine_is_not_paced_by_a_congestion_control() -> None:
    assert uvloop.run(accepted_from("127.0.0.1")) == UNPACED


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True), ("127.8.9.10", True), ("::1", True), ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False), ("::ffff:10.0.0.1", False), ("fe80::1%eth0", False), ("?", False), ("", False),
    ],
)
def test_who_comes_over_the_loopback_interface_is_on_this_machine(host: str, local: bool) -> None:
    assert Ends(host, 1, "127.0.0.1", 5672).from_this_machine is local


def test_what_leaves_nothing_to_send_begins_no_turn() -> None:
    """A part of a frame, or a heartbeat: an idle gateway has many of these."""

    async def scenario() -> None:
        turns: list[str] = []
        ours, theirs = socket.socketpair()
        with theirs:
            protocol = await connected(ours)
            gateway = protocol._gateway
            gateway.flush = lambda: turns.append("turn")    # type: ignore[method-assign]
            for part, expected in ((PROTOCOL_HEADER[:3], []), (PROTOCOL_HEADER[3:], ["turn"])):
                protocol.get_buffer(-1)[:len(part)] = part
                protocol.buffer_updated(len(part))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                assert turns == expected
            protocol.abort()

    uvloop.run(scenario())


class Transport:
    """As far as one is asked to stop reading and to go on."""

    def __init__(self) -> None:
        self.reads = True

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True


def read_by(bench: Bench) -> tuple[ClientProtocol, Transport]:
    """A client of whose input nothing is listened to any more, and its transport."""
    protocol, transport = ClientProtocol(bench.gateway), Transport()
    protocol._opened(transport, -1)                     # type: ignore[arg-type]
    connection = bench.client().connection
    connection.close()
    protocol._accepted(connection)
    return protocol, transport


def read(protocol: ClientProtocol, missing_bytes: int = 0) -> int:
    size = len(protocol.get_buffer(-1)) - missing_bytes
    protocol.buffer_updated(size)
    return size


@scenario
async def test_a_client_that_fills_every_read_lets_the_others_have_their_turn(bench: Bench) -> None:
    protocol, transport = read_by(bench)
    for _ in range(3):
        size_bytes = 0
        while transport.reads:
            size_bytes += read(protocol)
            assert size_bytes <= READ_ON_BYTES_MAX
        assert size_bytes == READ_ON_BYTES_MAX
        await turn()
        assert transport.reads, "its own turn came again"


@scenario
async def test_a_client_that_fills_no_read_is_not_stopped(bench: Bench) -> None:
    protocol, transport = read_by(bench)
    size_bytes = 0
    while size_bytes < 2 * READ_ON_BYTES_MAX:
        size_bytes += read(protocol, missing_bytes=1)
        assert transport.reads


@scenario
async def test_a_client_that_is_paused_meanwhile_is_not_read_on(bench: Bench) -> None:
    protocol, transport = read_by(bench)
    while transport.reads:
        read(protocol)
    protocol._connection.pause()
    await turn()
    assert not transport.reads
    protocol.resume_reading()                           # as at the end of every pause
    assert transport.reads
