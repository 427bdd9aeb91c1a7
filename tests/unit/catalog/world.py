"""A catalog with everything around it in one process: a real store, a bus in memory, replicas that subscribe.

The bus keeps order per peer, delivers in turns of the loop, and can hold back
what goes to one peer. Nothing here sleeps or opens a socket.
"""
from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import orjson

from broker.catalog.core import Catalog
from broker.catalog.process import open_store
from broker.catalog.service import Service
from bus.control import ControlClosed, ControlError
from topology.client import TopologyClient
from topology.replica import Replica

Message = dict[str, Any]

SETTINGS = {"default_user": "guest", "default_pass": "guest", "default_vhost": "/", "shards": 2}
INTERNAL_ERROR = 541


def copied(message: Message) -> Message:
    """As if it had gone over a socket."""
    result: Message = orjson.loads(orjson.dumps(message))
    return result


class FakeControl:
    """What a ControlClient is to a TopologyClient."""

    def __init__(self, world: World, identity: str) -> None:
        self.world = world
        self.identity = identity
        self.unanswered: list[tuple[Message, asyncio.Future[Message]]] = []

    async def request(self, message: Message, timeout_s: float | None = None) -> Message:
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        entry = (copied(message), future)
        self.unanswered.append(entry)
        self.world.deliver_request(self.identity, *entry)
        try:
            return await future
        finally:
            self.unanswered.remove(entry)

    def push(self, message: Message) -> None:
        self.world.deliver_push(self.identity, copied(message))

    def resend_pending(self) -> None:
        for entry in self.unanswered:
            self.world.deliver_request(self.identity, *entry)


class Peer:
    """A gateway or a shard: a replica and its client."""

    def __init__(self, world: World, identity: str, incarnation: int) -> None:
        self.identity = identity
        self.held: list[Message] | None = None          # pushes that wait; None: none are held back
        self.seen: list[Message] = []
        self.replica = Replica()
        self.control = FakeControl(world, identity)
        self.client = TopologyClient(
            self.control,  # type: ignore[arg-type]
            self.replica, self.seen.append, incarnation=incarnation,
        )

    def hold(self) -> None:
        self.held = []

    def let_go(self) -> None:
        held, self.held = self.held or [], None
        for message in held:
            self.client.receive_push(message)

    def receive(self, message: Message) -> None:
        if self.held is not None:
            self.held.append(message)
        else:
            self.client.receive_push(message)


class World:
    """The processes around one data directory."""

    def __init__(self, directory: Path, shard_count: int = 2) -> None:
        self.data, self.runtime = directory / "data", directory / "runtime"
        self.data.mkdir(exist_ok=True)
        self.runtime.mkdir(exist_ok=True)
        self.shard_count = shard_count
        self.peers: dict[str, Peer] = {}
        self.incarnations: dict[str, int] = {}
        self.epoch = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self.counts: dict[int, Message] = {}             # what shards answer to delete_check, by queue id
        self.catalog: Catalog | None = None
        self.service: Service | None = None
        self.committing: asyncio.Task[None] | None = None

    # processes

    def start_catalog(self) -> Catalog:
        self.epoch += 1
        store = open_store(self.data, self.runtime, SETTINGS)
        self.catalog = Catalog(
            store, shard_count=self.shard_count, epoch=self.epoch, send=self.deliver_to_peer, ask_shard=self.ask_shard
        )
        self.service = Service(self.catalog)
        self.catalog.distribution.expect(self.peers)
        self.committing = asyncio.get_running_loop().create_task(self.catalog.committer.run())
        return self.catalog

    async def kill_catalog(self) -> None:
        """As kill -9: whatever was under way is forgotten; SQLite's files stay as they are."""
        assert self.catalog is not None and self.committing is not None
        catalog, self.catalog, self.service = self.catalog, None, None
        self.committing.cancel()
        for task in self.tasks:
            task.cancel()
        await asyncio.wait([self.committing, *self.tasks])
        catalog.committer.close()
        catalog.store.close()

    async def start(self, identity: str) -> Peer:
        incarnation = self.incarnations[identity] = self.incarnations.get(identity, 0) + 1
        peer = self.peers[identity] = Peer(self, identity, incarnation)
        await peer.client.start()
        return peer

    async def kill(self, identity: str, tell: bool = True) -> None:
        peer = self.peers.pop(identity)
        await peer.client.close()
        if tell and self.service is not None:
            role, _, index = identity.partition("-")
            self.service.peer_gone({"role": role, "index": int(index), "incarnation": self.incarnations[identity]})

    def restart_clients(self) -> None:
        """What the supervisor tells everybody when a new catalog is ready."""
        for peer in self.peers.values():
            peer.client.catalog_restarted()

    # the bus

    def deliver_to_peer(self, identity: str, message: Message) -> None:
        asyncio.get_running_loop().call_soon(self._to_peer, identity, self.epoch, copied(message))

    def _to_peer(self, identity: str, epoch: int, message: Message) -> None:
        peer = self.peers.get(identity)
        if peer is not None and epoch == self.epoch:
            peer.receive(message)

    def deliver_push(self, identity: str, message: Message) -> None:
        if self.service is not None and identity in self.peers:
            self._spawn(self.service.handle(identity, message))

    def deliver_request(self, identity: str, message: Message, answer: asyncio.Future[Message]) -> None:
        if self.service is not None:
            self._spawn(self._run(self.service, identity, message, answer))

    async def _run(
        self, service: Service, identity: str, message: Message, answer: asyncio.Future[Message]
    ) -> None:
        try:
            result = copied(await service.handle(identity, message) or {})
        except ControlError as error:
            if not answer.done():
                answer.set_exception(error)
            return
        if not answer.done():
            answer.set_result(result)

    async def ask_shard(self, index: int, message: Message) -> Message:
        await asyncio.sleep(0)
        if f"shard-{index}" not in self.peers:
            raise ControlClosed(INTERNAL_ERROR, "not connected")
        count = self.counts.get(message["queue_id"], {"message_count": 0, "consumers": 0})
        if message["if_unused"] and count["consumers"]:
            raise ControlError(406, "queue in use")
        if message["if_empty"] and count["message_count"]:
            raise ControlError(406, "queue not empty")
        return {"message_count": count["message_count"]}

    def _spawn(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


async def turns(count: int = 50) -> None:
    """Let everything happen that can."""
    for _ in range(count):
        await asyncio.sleep(0)


async def patiently(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Until something is so that depends on the commit thread."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while not condition():
        if loop.time() > until:
            raise AssertionError("waited in vain")
        await asyncio.sleep(0.001)


async def started(
    directory: Path, gateways: int = 2, shards: int = 2
) -> World:
    """A broker with its processes up."""
    world = World(directory, shards)
    world.start_catalog()
    for index in range(shards):
        await world.start(f"shard-{index}")
    for index in range(gateways):
        await world.start(f"gateway-{index}")
    return world


def declare(name: str, **fields: Any) -> Message:
    """The fields of queue.declare."""
    return {
        "vhost": "/", "name": name, "durable": False, "exclusive": False, "auto_delete": False, "arguments": {},
        "owner": "g0.1.1", **fields,
    }


def exchange(name: str, type_: str = "direct", **fields: Any) -> Message:
    """The fields of exchange.declare."""
    return {
        "vhost": "/", "name": name, "type": type_, "durable": False, "auto_delete": False, "internal": False,
        "arguments": {}, **fields,
    }


def bound(queue: str, source: str, key: str = "", **arguments: Any) -> Message:
    """The fields of queue.bind and queue.unbind."""
    return {"vhost": "/", "queue": queue, "exchange": source, "routing_key": key, "arguments": arguments}


def passed_on(source: str, destination: str, key: str = "", **arguments: Any) -> Message:
    """The fields of exchange.bind and exchange.unbind."""
    return {
        "vhost": "/", "source": source, "destination": destination, "routing_key": key, "arguments": arguments,
    }


def run(scenario: Awaitable[None]) -> None:
    """Runs a scenario; whatever it left is cancelled."""

    async def body() -> None:
        await scenario

    asyncio.run(body())
