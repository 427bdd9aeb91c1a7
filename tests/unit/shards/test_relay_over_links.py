"""Shards that hand messages to one another over real links of each kind, joined by the supervisor's registry.

What dies is dropped without a word, as by kill -9, and comes back with what is in its log. Who hands over keeps a
message until it is taken, as a dead letter's source does in its log.
"""
from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from broker.children import Child
from broker.link_registry import LinkRegistry
from bus.doorbell import Doorbell, create_board, map_board
from bus.links import SHARED_MEMORY, ZEROMQ, LinkSet
from log.commit import GroupCommit
from log.store import Store
from shards.engine import Engine, relay
from shards.worker import settle
from tests.unit.shards import wire
from tests.unit.shards.test_shard import Host

SHARDS = 2
QUEUE = 1
RING_BYTES = 64 * 1024
WAIT_S = 30.0


class Keeping(Engine):
    """Keeps each message until the other shard has it."""

    def __init__(self, store: Store, gateway_count: int, shard_count: int) -> None:
        super().__init__(store, gateway_count, shard_count)
        self.other = 0
        self.kept: dict[int, bytes] = {}
        self.waiting: deque[int] = deque()
        self.refused = 0

    def keep(self, messages: dict[int, bytes]) -> None:
        self.kept |= messages
        self.waiting.extend(messages)
        self.hand_over()

    def hand_over(self) -> None:
        while self.waiting:
            ticket = self.waiting[0]
            if not relay.publish(
                self, self.other, ticket, [QUEUE], b"dlx", b"key", b"\0\0", self.kept[ticket], persistent=True
            ):
                break
            self.waiting.popleft()

    def relayed(self, shard: int, ticket: int, answer: int) -> int:
        if answer == relay.TAKEN:
            del self.kept[ticket]
        else:
            self.waiting.append(ticket)
        return 0

    def relay_opened(self, shard: int) -> int:
        self.hand_over()
        return 0


class Process(Host):
    """One incarnation of a shard, with links and commits of its own."""

    def __init__(self, world: World, index: int) -> None:
        super().__init__(world.root / f"shard{index}", Keeping)
        loop = asyncio.get_running_loop()
        child = world.children[index]
        child.incarnation += 1
        assert isinstance(self.engine, Keeping)
        self.engine.other = 1 - index
        self.real_links = LinkSet(
            loop, "shard", index, self.shard.on_batch, self.shard.on_up, self.shard.on_down, self.shard.on_writable,
            self.shard.on_idle, incarnation=child.incarnation, doorbell=world.bell("shard", index),
            peer_doorbell=world.bell, push=lambda message: world.link_broken(child, message),
            on_failure=world.failures.append,
        )
        child.link_address = f"ipc://{world.root}/{index}.{child.incarnation}"
        if world.kind == ZEROMQ:
            self.real_links.listen(child.link_address)
        self.group_commit = GroupCommit(
            self.store, loop, on_durable=self.shard.on_durable, on_failure=world.failures.append
        )
        self.shard.links, self.shard.commit = self.real_links, self.group_commit
        self.want_link = lambda shard: world.registry.want(child, world.children[shard])
        self.group_commit.start()

    @property
    def keeping(self) -> Keeping:
        assert isinstance(self.engine, Keeping)
        return self.engine

    def keep(self, messages: dict[int, bytes]) -> None:
        self.keeping.keep(messages)
        self.real_links.schedule()

    def die(self) -> None:
        self.real_links.close()
        self.group_commit.close()

    def bodies(self) -> list[bytes]:
        """All that is ready here."""
        records: list[Any] = []
        for number in range(self.engine.count(QUEUE)[0]):
            records += self.feed(wire.get(number, queue_id=QUEUE))
        return [record.body for record in records if isinstance(record, wire.GetOk)]


class World:
    """The supervisor's part."""

    def __init__(self, root: Path, kind: str) -> None:
        self.root = root
        self.kind = kind
        self.failures: list[Any] = []
        self.children = [Child("shard", index) for index in range(SHARDS)]
        self._descriptors = [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(SHARDS)]
        create_board(str(root / "board"), SHARDS)
        self.registry = LinkRegistry(kind, [root], RING_BYTES, self._push)
        self.processes: dict[int, Process] = {}
        for index in range(SHARDS):
            self.start(index)

    def bell(self, role: str, index: int) -> Doorbell:
        return Doorbell(map_board(str(self.root / "board")), index, self._descriptors[index])

    def _push(self, identity: str, message: dict[str, Any]) -> None:
        """In a later turn, as over the control bus; to nobody where the process is gone."""
        process = self.processes.get(int(identity.removeprefix("shard-")))
        if process is not None:
            asyncio.get_running_loop().call_soon(process.real_links.receive_push, message)

    def link_broken(self, child: Child, message: dict[str, Any]) -> None:
        """As when its file was gone before it was opened: the peer has died meanwhile."""
        peer = self.children[message["peer"]]
        if peer.takes_links and peer.incarnation == message["incarnation"]:
            self.failures.append(message)

    def start(self, index: int) -> Process:
        process = self.processes[index] = Process(self, index)
        self.children[index].takes_links = True
        self.registry.connect(self.children[index], self.children)
        return process

    def kill(self, index: int) -> Process:
        process = self.processes.pop(index)
        self.children[index].takes_links = False
        process.die()
        self.registry.disconnect(self.children[index])
        return process

    def restart(self, index: int) -> Process:
        """Killed and started again, with what its log has: what it had not seen taken is still to be handed over."""
        old = self.kill(index)
        process = self.start(index)
        process.keep(dict(old.keeping.kept))
        return process

    def close(self) -> None:
        for index in list(self.processes):
            self.kill(index)
        for descriptor in self._descriptors:
            os.close(descriptor)


@pytest.fixture(params=[SHARED_MEMORY, ZEROMQ])
async def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    world = World(tmp_path_factory.mktemp("r"), request.param)
    yield world
    world.close()
    await asyncio.sleep(0)
    assert world.failures == []


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.002)


def messages(first: int, count: int, size: int = 40) -> dict[int, bytes]:
    return {ticket: b"%08d" % ticket + bytes(size) for ticket in range(first, first + count)}


async def test_the_first_message_makes_the_link_and_crosses(world: World) -> None:
    assert len(world.registry) == 0
    world.processes[0].keep(messages(0, 3))
    await until(lambda: not world.processes[0].keeping.kept)
    assert len(world.registry) == 1
    assert world.processes[1].bodies() == list(messages(0, 3).values())


async def test_both_shards_hand_over_to_one_another(world: World) -> None:
    for process in world.processes.values():
        process.keep(messages(0, 3000))
    await until(lambda: not any(process.keeping.kept for process in world.processes.values()))
    for process in world.processes.values():
        assert process.bodies() == list(messages(0, 3000).values())


async def test_messages_larger_than_the_ring_cross(world: World) -> None:
    world.processes[0].keep(messages(0, 40, 3 * RING_BYTES))
    await until(lambda: not world.processes[0].keeping.kept)
    assert world.processes[1].bodies() == list(messages(0, 40, 3 * RING_BYTES).values())


@pytest.mark.parametrize("killed", [(1,), (0,), (0, 1)], ids=["target", "source", "both"])
async def test_nothing_is_lost_when_shards_die(world: World, killed: tuple[int, ...]) -> None:
    count = 6000
    world.processes[0].keep(messages(0, count))
    for round_ in range(4):
        done = count // 6 * (round_ + 1)
        await until(lambda wanted=count - done: len(world.processes[0].keeping.kept) <= wanted)
        for index in killed:
            world.restart(index)
    await until(lambda: not world.processes[0].keeping.kept)
    bodies = world.processes[1].bodies()
    assert set(bodies) == set(messages(0, count).values())


async def test_after_a_clean_stop_no_message_is_on_both_shards(world: World) -> None:
    source, target = world.processes[0], world.processes[1]
    synchronise = target.store.disk.synchronise
    gate = threading.Event()

    def wait_for_gate(descriptor: int) -> None:
        gate.wait(WAIT_S)
        synchronise(descriptor)

    target.store.disk.synchronise = wait_for_gate
    source.keep(messages(0, 20_000))            # more than goes at once
    await until(lambda: target.engine.count(QUEUE)[0] > 0)
    assert len(source.keeping.kept) == 20_000

    async def stop(index: int, process: Process) -> None:
        context: Any = SimpleNamespace(loop=asyncio.get_running_loop(), failed=None)
        await settle(process.shard, context)
        world.kill(index)

    asyncio.get_running_loop().call_later(0.05, gate.set)
    await asyncio.gather(stop(1, target), stop(0, source))
    kept = set(source.keeping.kept.values())
    stored = world.start(1).bodies()
    assert len(stored) == len(set(stored))
    assert not kept & set(stored)
    assert kept | set(stored) == set(messages(0, 20_000).values())
    assert kept and stored


async def test_a_target_that_is_away_is_waited_for_with_bounded_memory(world: World) -> None:
    source = world.processes[0]
    source.keep(messages(0, 10))
    await until(lambda: not source.keeping.kept)
    world.kill(1)
    source.keep(messages(10, 50_000))
    await until(lambda: source.real_links.get(1) is None)
    await asyncio.sleep(0)
    assert len(source.keeping.waiting) == 50_000
    assert relay.under_way(source.engine, 1) == (0, 0)
    world.start(1)
    await until(lambda: len(source.keeping.kept) < 45_000)
    messages_under_way, bytes_under_way = relay.under_way(source.engine, 1)
    assert messages_under_way <= relay.MESSAGES_MAX
    assert bytes_under_way <= relay.BYTES_MAX + 200
    await until(lambda: not source.keeping.kept)
    assert world.processes[1].engine.count(QUEUE)[0] == 50_010
