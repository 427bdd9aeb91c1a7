"""Messages over a Unix socket: whole, in order, whatever their size; a server that comes late or again; nonsense."""
from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from bus.limits import CONTROL_MESSAGE_BYTES_MAX
from bus.unix_carrier import NAME_BYTES_MAX, UnixClient, UnixServer, path_of
from tests.unit.bus.conftest import until

LARGE = 3_000_000


class World:
    """Servers and clients of one address, and what each was given."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.heard: list[tuple[str, bytes]] = []
        self.told: list[bytes] = []
        self._ends: list[Callable[[], None]] = []

    def server(self) -> UnixServer:
        made = UnixServer(
            asyncio.get_running_loop(), self.address, lambda name, payload: self.heard.append((name, payload)))
        self._ends.append(lambda: made.close(0.0))
        return made

    def client(self, name: str = "shard-1") -> UnixClient:
        made = UnixClient(asyncio.get_running_loop(), self.address, name, self.told.append)
        self._ends.append(made.close)
        return made

    def close(self) -> None:
        for end in self._ends:
            end()


@pytest.fixture
async def world(short_directory: Path) -> AsyncIterator[World]:
    made = World(f"unix://{short_directory}/c")
    yield made
    made.close()


async def test_messages_of_every_size_arrive_whole_and_in_order(world: World) -> None:
    server, client = world.server(), world.client()
    sent = [bytes([n % 251]) * size for n, size in enumerate((0, 1, 65_531, 65_532, 65_533, LARGE, 2, LARGE, 0))]
    sent += [b"%d" % n for n in range(500)]
    for payload in sent:
        assert client.send(payload)
    await until(lambda: len(world.heard) == len(sent))
    assert [payload for _, payload in world.heard] == sent and {name for name, _ in world.heard} == {"shard-1"}
    for payload in sent:
        assert server.send("shard-1", payload)
    await until(lambda: len(world.told) == len(sent))
    assert world.told == sent


async def test_a_client_may_be_there_first(world: World) -> None:
    client = world.client()
    client.send(b"early")
    await asyncio.sleep(0)
    world.server()
    await until(lambda: world.heard == [("shard-1", b"early")])


async def test_what_is_sent_while_the_server_is_away_waits_for_the_next(world: World) -> None:
    first, client = world.server(), world.client()
    client.send(b"first")
    await until(lambda: len(world.heard) == 1)
    first.close(0.0)
    await asyncio.sleep(0.01)
    client.send(b"second")
    world.server()
    await until(lambda: world.heard[1:] == [("shard-1", b"second")])


async def test_nobody_of_that_name(world: World) -> None:
    server = world.server()
    assert not server.send("shard-1", b"x")
    client = world.client()
    client.send(b"here")
    await until(lambda: bool(world.heard))
    assert server.send("shard-1", b"x")
    client.close()
    await until(lambda: not server.send("shard-1", b"x"))
    assert not client.send(b"x")


async def test_a_client_takes_the_place_of_its_predecessor(world: World) -> None:
    server = world.server()
    first = world.client()
    first.send(b"first")
    await until(lambda: len(world.heard) == 1)
    later: list[bytes] = []
    second = UnixClient(asyncio.get_running_loop(), world.address, "shard-1", later.append)
    second.send(b"second")
    await until(lambda: len(world.heard) == 2)
    server.send("shard-1", b"for the second")
    await until(lambda: later == [b"for the second"])
    assert world.told == []
    second.close()


async def test_what_was_said_last_still_arrives(world: World) -> None:
    server, client = world.server(), world.client()
    client.send(b"hello")
    await until(lambda: bool(world.heard))
    server.send("shard-1", b"stopped")
    server.close(0.5)
    await until(lambda: world.told == [b"stopped"])


@pytest.mark.parametrize("nonsense", [
    struct.pack("<I", CONTROL_MESSAGE_BYTES_MAX + 1),
    struct.pack("<I", NAME_BYTES_MAX + 1) + b"n" * (NAME_BYTES_MAX + 1),
], ids=["a length beyond the limit", "a name beyond the limit"])
async def test_nonsense_is_cut_off(world: World, nonsense: bytes) -> None:
    world.server()
    with socket.socket(socket.AF_UNIX) as peer:
        peer.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(peer, path_of(world.address))
        await loop.sock_sendall(peer, nonsense)
        assert await asyncio.wait_for(loop.sock_recv(peer, 1), 5) == b""
    assert world.heard == []


async def test_a_server_in_place_of_one_that_died(world: World) -> None:
    """Its socket is still in the file system."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path_of(world.address))
    world.server()
    world.client().send(b"x")
    await until(lambda: bool(world.heard))
