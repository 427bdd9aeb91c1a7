"""A gateway or a shard that starts while the catalog dies: it comes up with the next catalog."""
from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from broker.settings import Settings, plain
from bus.context import ProcessContext
from bus.control import ControlClient, ControlServer, Message
from bus.doorbell import Doorbell, create_board, map_board
from gateway import worker as gateway_worker
from shards import worker as shard_worker
from topology import changes

WAIT_S = 20.0
INCARNATION = 3
RUN = {"gateway": gateway_worker.run, "shard": shard_worker.run}


class Supervisor:
    """What a process knows of it."""

    def __init__(self, directory: Path) -> None:
        self.said: list[Message] = []
        self.met, self.ready = asyncio.Event(), asyncio.Event()
        self.server = ControlServer(
            f"unix://{directory}/supervisor", self._handle, on_peer=lambda identity: self.met.set()
        )

    async def _handle(self, peer: str, message: Message) -> Message | None:
        self.said.append(message)
        if message["verb"] == "ready":
            self.ready.set()
        return None


class Catalog:
    """One incarnation; `silent`: it dies before it answers."""

    def __init__(self, directory: Path, epoch: int, *, silent: bool) -> None:
        self.asked = asyncio.Event()
        self._epoch, self._silent = epoch, silent
        self.server = ControlServer(f"unix://{directory}/catalog", self._handle)

    async def _handle(self, peer: str, message: Message) -> Message | None:
        if message["verb"] != "subscribe":
            return None
        self.asked.set()
        if self._silent:
            await asyncio.Event().wait()
        return {"ops": [changes.vhost_add("/")], "last": True, "version": 0, "epoch": self._epoch}


def context_of(role: str, directory: Path, bells: dict[tuple[str, int], Doorbell]) -> ProcessContext:
    async def handle(message: Message) -> Message | None:
        return await context.receive_request(message)

    control = ControlClient(
        f"unix://{directory}/supervisor", f"{role}-0",
        on_push=lambda message: context.receive_push(message), handle=handle,
    )
    settings: dict[str, Any] = plain(Settings(data=directory, gateways=1, shards=1, segment_bytes=1 << 20))
    listener = socket.create_server(("127.0.0.1", 0))
    context = ProcessContext(
        role=role, index=0, incarnation=INCARNATION, settings=settings, data_directory=directory,
        runtime_directory=directory, shared_directory=directory, shard_count=1, gateway_count=1,
        catalog_address=f"unix://{directory}/catalog", reply_key=bytes(32), control=control,
        loop=asyncio.get_running_loop(), doorbells=bells, listen_sockets=[listener],
    )
    return context


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unix socket paths are short."""
    return tmp_path_factory.mktemp("s")


@pytest.mark.parametrize("role", ["gateway", "shard"])
async def test_it_asks_the_next_catalog_for_the_state(role: str, directory: Path) -> None:
    create_board(f"{directory}/bells", 2)
    descriptors = [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in RUN]
    bells = {
        (name, 0): Doorbell(map_board(f"{directory}/bells"), slot, descriptors[slot]) for slot, name in enumerate(RUN)
    }
    supervisor = Supervisor(directory)
    dying, successor = Catalog(directory, 1, silent=True), Catalog(directory, 2, silent=False)
    await supervisor.server.start()
    await dying.server.start()
    context = context_of(role, directory, bells)
    await context.control.start()
    running = asyncio.ensure_future(RUN[role](context))
    try:
        async with asyncio.timeout(WAIT_S):
            await supervisor.met.wait()
            await dying.asked.wait()
            await dying.server.close()
            await successor.server.start()
            supervisor.server.push(f"{role}-0", {"verb": "peer.restarted", "role": "catalog"})
            await supervisor.ready.wait()
            assert {message["own_incarnation"] for message in supervisor.said} == {INCARNATION}
            context.stopping.set()
            await running
    finally:
        running.cancel()
        await context.control.close()
        await successor.server.close()
        await supervisor.server.close()
        for descriptor in descriptors:
            os.close(descriptor)
