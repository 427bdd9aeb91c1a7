"""Links between two real processes, woken by their doorbells, both kinds."""
from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bus.doorbell import Doorbell, create_board, map_board
from bus.links import SHARED_MEMORY, ZEROMQ, LinkEnd, LinkSet
from bus.ring import create_link_file
from tests.unit.bus.conftest import RING_BYTES, until

ROOT = Path(__file__).parents[3]
BATCHES = 2000

ECHO = """
import asyncio, sys
import uvloop
from bus.doorbell import Doorbell, map_board
from bus.links import LinkSet
directory, kind, gateway_bell, shard_bell = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])

async def main():
    board = map_board(directory + "/board")
    bells = {"gateway": Doorbell(board, 0, gateway_bell), "shard": Doorbell(board, 1, shard_bell)}
    done = asyncio.Event()
    def echo(link, view):
        if bytes(view[:4]) == b"stop":
            done.set()
        else:
            link.send(view)
    links = LinkSet(asyncio.get_running_loop(), "shard", 0, echo, doorbell=bells["shard"],
                    peer_doorbell=lambda role, index: bells[role])
    up = {"verb": "link.up", "peer_role": "gateway", "peer": 0, "incarnation": 1, "kind": kind}
    if kind == "zeromq":
        links.listen("ipc://" + directory + "/s")
    else:
        up["path"] = directory + "/link"
    links.receive_push(up)
    await done.wait()
    links.close()
uvloop.run(main())
"""


@pytest.mark.parametrize("kind", [SHARED_MEMORY, ZEROMQ])
async def test_an_echo_comes_back_whole_and_in_order(kind: str, short_directory: Path) -> None:
    descriptors = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2)]
    create_board(str(short_directory / "board"), 2)
    create_link_file(str(short_directory / "link"), RING_BYTES)
    process = subprocess.Popen(
        [sys.executable, "-c", ECHO, str(short_directory), kind, *map(str, descriptors)],
        pass_fds=descriptors,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    board = map_board(str(short_directory / "board"))
    bells = {
        role: Doorbell(board, slot, descriptor)
        for slot, (role, descriptor) in enumerate(zip(("gateway", "shard"), descriptors, strict=True))
    }
    received: list[bytes] = []

    def keep(link: LinkEnd, view: memoryview) -> None:
        received.append(bytes(view))

    links = LinkSet(
        asyncio.get_running_loop(), "gateway", 0, keep, doorbell=bells["gateway"],
        peer_doorbell=lambda role, index: bells[role],
    )
    links.receive_push({
        "verb": "link.up", "peer_role": "shard", "peer": 0, "incarnation": 1, "kind": kind,
        "path": str(short_directory / "link"), "address": f"ipc://{short_directory}/s",
    })
    try:
        end = links.get(0)
        assert end is not None
        sent = [number.to_bytes(4, "big") * (1 + number * 131 % 40_000) for number in range(BATCHES)]
        # One at a time first: each crossing needs both bells.
        for batch in sent[:50]:
            end.send(batch)
            wanted = len(received) + 1
            await until(lambda wanted=wanted: len(received) == wanted)
        for number, batch in enumerate(sent[50:]):
            end.send(batch)
            if number % 100 == 0:
                await asyncio.sleep(0)
            while end.congested:
                await asyncio.sleep(0.001)
        await until(lambda: len(received) == BATCHES)
        assert received == sent
        end.send(b"stop")
        await until(lambda: process.poll() is not None)
        assert process.returncode == 0
    finally:
        links.close()
        process.kill()
        process.wait()
        for descriptor in descriptors:
            os.close(descriptor)
