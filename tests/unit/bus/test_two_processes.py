"""Links between two real processes, woken by their doorbells, both kinds."""
from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
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
    up = {"verb": "link.up", "serving": True, "peer_role": "gateway", "peer": 0, "incarnation": 1, "kind": kind}
    if kind == "zeromq":
        links.listen("ipc://" + directory + "/s")
    else:
        up["path"] = directory + "/link"
    links.receive_push(up)
    await done.wait()
    links.close()
uvloop.run(main())
"""


class Echo:
    """A process that sends back what it gets, and this process's side of the link to it."""

    def __init__(self, kind: str, directory: Path) -> None:
        self._descriptors = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2)]
        create_board(str(directory / "board"), 2)
        create_link_file(str(directory / "link"), RING_BYTES)
        self.process = subprocess.Popen(
            [sys.executable, "-c", ECHO, str(directory), kind, *map(str, self._descriptors)],
            pass_fds=self._descriptors,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        board = map_board(str(directory / "board"))
        bells = {
            role: Doorbell(board, slot, descriptor)
            for slot, (role, descriptor) in enumerate(zip(("gateway", "shard"), self._descriptors, strict=True))
        }
        self.received: list[bytes] = []
        self.links = LinkSet(
            asyncio.get_running_loop(), "gateway", 0, self._keep, doorbell=bells["gateway"],
            peer_doorbell=lambda role, index: bells[role],
        )
        self.links.receive_push({
            "verb": "link.up", "serving": False, "peer_role": "shard", "peer": 0, "incarnation": 1, "kind": kind,
            "path": str(directory / "link"), "address": f"ipc://{directory}/s",
        })
        end = self.links.get(0)
        assert end is not None
        self.end = end

    def _keep(self, link: LinkEnd, view: memoryview) -> None:
        self.received.append(bytes(view))

    async def stop(self) -> None:
        self.end.send(b"stop")
        await until(lambda: self.process.poll() is not None)
        assert self.process.returncode == 0

    def close(self) -> None:
        self.links.close()
        self.process.kill()
        self.process.wait()
        for descriptor in self._descriptors:
            os.close(descriptor)


@pytest.fixture(params=[SHARED_MEMORY, ZEROMQ])
async def echo(request: pytest.FixtureRequest, short_directory: Path) -> AsyncIterator[Echo]:
    echo = Echo(request.param, short_directory)
    yield echo
    echo.close()


async def test_each_crossing_wakes_the_other_process(echo: Echo) -> None:
    for number in range(100):
        echo.end.send(b"%d" % number)
        await until(lambda wanted=number + 1: len(echo.received) == wanted)
    await echo.stop()


async def test_an_echo_comes_back_whole_and_in_order(echo: Echo) -> None:
    sent = [number.to_bytes(4, "big") * (1 + number * 131 % 40_000) for number in range(BATCHES)]
    for number, batch in enumerate(sent):
        echo.end.send(batch)
        if number % 100 == 0:
            await asyncio.sleep(0)
        while echo.end.congested:
            await asyncio.sleep(0.001)
    await until(lambda: len(echo.received) == BATCHES)
    assert echo.received == sent
    await echo.stop()


async def test_a_full_link_never_falls_asleep_on_what_waits(echo: Echo) -> None:
    """Both sides run full and wait for room again and again; every wait must end by the other's bell."""
    batch = bytes(15_000)
    for burst in range(150):
        for _ in range(30):
            echo.end.send(batch)
        await until(lambda wanted=30 * (burst + 1): len(echo.received) == wanted)
    await echo.stop()


async def test_no_answer_is_lost_between_waiting_awake_and_falling_asleep(echo: Echo) -> None:
    """The answer comes while this side waits for it, as it falls asleep, or after: each is taken."""
    for number in range(BATCHES):
        echo.links.began()
        echo.end.send(b"%d" % number)
        echo.links.rest()
        await until(lambda wanted=number + 1: len(echo.received) == wanted)
    assert echo.received == [b"%d" % number for number in range(BATCHES)]
    await echo.stop()
