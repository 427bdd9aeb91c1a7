"""A link between two LinkSets in one loop, over each kind of link."""
from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from bus.doorbell import Doorbell, create_board, map_board
from bus.links import SHARED_MEMORY, ZEROMQ, LinkEnd, LinkSet
from bus.ring import create_link_file

RING_BYTES = 64 * 1024
BELLS = (("gateway", 0), ("shard", 0), ("shard", 1))
WAIT_S = 10.0


class Side:
    """One process of the link: what its callbacks were told."""

    def __init__(self, world: World, role: str, incarnation: int, index: int) -> None:
        self.role = role
        self.index = index
        self.incarnation = incarnation
        self.batches: list[bytes] = []
        self.idles = 0
        self.ups = 0
        self.downs = 0
        self.writable = 0
        self.failures: list[BaseException] = []
        self.on_batch: Callable[[LinkEnd, memoryview], None] = self.keep
        self.links = LinkSet(
            asyncio.get_running_loop(),
            role,
            index,
            lambda link, view: self.on_batch(link, view),
            self._up,
            self._down,
            self._writable,
            self._idle,
            incarnation=incarnation,
            doorbell=world.bell(role, index),
            peer_doorbell=world.bell,
            push=world.pushed.append,
            on_failure=self.failures.append,
        )

    def keep(self, link: LinkEnd, view: memoryview) -> None:
        self.batches.append(bytes(view))

    def _up(self, link: LinkEnd) -> None:
        self.ups += 1

    def _down(self, link: LinkEnd) -> None:
        self.downs += 1

    def _writable(self, link: LinkEnd) -> None:
        self.writable += 1

    def _idle(self) -> None:
        self.idles += 1

    @property
    def end(self) -> LinkEnd:
        """The one link's."""
        (end,) = self.links.up()
        return end

    def end_of(self, peer: Side, *, serving: bool) -> LinkEnd:
        (end,) = [
            end for end in self.links.up()
            if (end.serving, end.peer_role, end.peer) == (serving, peer.role, peer.index)
        ]
        return end


class World:
    """What the supervisor does for real processes."""

    def __init__(self, kind: str, directory: Path) -> None:
        self.kind = kind
        self.directory = directory
        self.pushed: list[dict[str, Any]] = []
        self._serial = 0
        self._descriptors = [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in BELLS]
        create_board(str(directory / "board"), len(BELLS))
        self._sides: list[Side] = []

    def bell(self, role: str, index: int) -> Doorbell:
        slot = BELLS.index((role, index))
        return Doorbell(map_board(str(self.directory / "board")), slot, self._descriptors[slot])

    def rings(self, role: str, index: int = 0) -> int:
        """How often its bell was rung since it was looked at last."""
        try:
            return os.eventfd_read(self._descriptors[BELLS.index((role, index))])
        except BlockingIOError:
            return 0

    def side(self, role: str, incarnation: int = 1, index: int = 0) -> Side:
        side = Side(self, role, incarnation, index)
        if self.kind == ZEROMQ and role == "shard":
            side.links.listen(self._address(side))
        self._sides.append(side)
        return side

    def _address(self, shard: Side) -> str:
        return f"ipc://{self.directory}/s{shard.index}.{shard.incarnation}"

    def connect(self, client: Side, shard: Side) -> Path | None:
        self._serial += 1
        message: dict[str, Any] = {"verb": "link.up", "kind": self.kind}
        path = None
        if self.kind == SHARED_MEMORY:
            path = self.directory / f"link{self._serial}"
            create_link_file(str(path), RING_BYTES)
            message["path"] = str(path)
        else:
            message["address"] = self._address(shard)
        for side, peer in ((shard, client), (client, shard)):
            side.links.receive_push({**message, **self._peer(peer, serving=side is shard)})
        return path

    def disconnect(self, side: Side, gone: Side, *, serving: bool | None = None) -> None:
        """`serving` says which of the links between two shards."""
        serving = side.role == "shard" if serving is None else serving
        side.links.receive_push({"verb": "link.down", **self._peer(gone, serving=serving)})

    @staticmethod
    def _peer(peer: Side, *, serving: bool) -> dict[str, Any]:
        return {"serving": serving, "peer_role": peer.role, "peer": peer.index, "incarnation": peer.incarnation}

    def close(self) -> None:
        for side in self._sides:
            side.links.close()
        for descriptor in self._descriptors:
            os.close(descriptor)


@pytest.fixture(params=[SHARED_MEMORY, ZEROMQ])
async def world(request: pytest.FixtureRequest, short_directory: Path) -> AsyncIterator[World]:
    world = World(request.param, short_directory)
    yield world
    world.close()
    await asyncio.sleep(0)


@pytest.fixture
def short_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unix socket paths are short."""
    return tmp_path_factory.mktemp("b")


async def until(condition: Callable[[], bool]) -> None:
    """Lets the loop run until something is so."""
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.001)
