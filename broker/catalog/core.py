"""The catalog's heart: decides, commits, distributes, and only then lets a request be answered.

Owns the one writable topology. A request is decided at once and in full, before
its first await, on a state that already holds every decision before it; its
operations then share a commit with others and are distributed. So requests need
no locks, and a request that finds its work done already (it was asked again
after a restart) still waits until that work is settled.
"""
from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from amqp091.errors import ResourceError
from broker.catalog.committer import Committer
from broker.catalog.distribution import Distribution
from broker.catalog.queue_ids import QueueIds
from broker.catalog.store import Store, StoreFull
from broker.catalog.usage import Usage
from broker.version import VERSION
from bus.context import StartError
from topology import changes
from topology.changes import Op
from topology.deduplication import deduplication_of
from topology.definitions import Origin
from topology.model import EXCHANGE, Binding, Destination, Exchange, Queue
from topology.placement import place
from topology.replica import Replica
from topology.vhost import VhostTopology

logger = logging.getLogger(__name__)

Message = dict[str, Any]
AskShard = Callable[[int, Message], Awaitable[Message]]

FULL_PAUSE_S: Final = 1.0       # how long changes are refused after the disk was full, before the next try


class Catalog:
    """The state and the way of a change. The verbs are in broker.catalog.requests."""

    def __init__(
        self,
        store: Store,
        *,
        shard_count: int,
        epoch: int,
        send: Callable[[str, Message], None],
        ask_shard: AskShard,
        cluster_name: str = "warren",
    ) -> None:
        self.store = store
        self.topology: Final[Replica] = store.load()
        self.shard_count = shard_count
        self.epoch = epoch
        self.ask_shard = ask_shard
        self.distribution = Distribution(epoch, send, self._settled)
        self.committer = Committer(store.write, self._committed, self._store_full)
        self._queue_ids = QueueIds(store.queue_ids_reserved())
        self._waiting: dict[int, list[asyncio.Future[None]]] = {}       # by the version waited for
        self._refusing_until_s = 0.0
        self.send = send
        self.running: dict[str, int] = {}               # subscribers: the incarnation that subscribed last
        self.ended_gateways: dict[int, int] = {}        # index: incarnation up to which all have ended
        self.usage = Usage()
        self.origin = Origin(VERSION, cluster_name)     # of what is exported

    # deciding

    def check_writable(self) -> None:
        """ResourceError for a while after the disk was full."""
        if asyncio.get_running_loop().time() < self._refusing_until_s:
            raise ResourceError("the disk with the catalog is full")

    def decide(self, *, frees: bool = False) -> Decision:
        """A set of operations that take effect one by one and are committed together.

        One that `frees`, that only deletes, is tried even while the disk is thought to be full.
        """
        if not frees:
            self.check_writable()
        return Decision(self)

    def placed(self, queue: Queue) -> tuple[Queue, list[Op]]:
        """A new queue with its id and its shard, and what has to be stored for the id. ResourceError: none is left."""
        # One that deduplicates keeps the ids of its messages under the second one.
        queue_id, reservation = self._queue_ids.take(1 if deduplication_of(queue.arguments) is None else 2)
        shard = place(queue.vhost, queue.name, self.shard_count)
        return replace(queue, queue_id=queue_id, shard=shard), reservation

    async def settled(self) -> None:
        """Everything decided so far is committed and known to every process."""
        version = self.committer.last_version
        if version <= self.distribution.settled:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(version, []).append(future)
        await future

    # what comes of it

    def _committed(self, version: int, ops: list[Op]) -> None:
        self.distribution.publish(version, ops)

    def _settled(self, version: int) -> None:
        for waited_for in [number for number in self._waiting if number <= version]:
            for future in self._waiting.pop(waited_for):
                if not future.done():
                    future.set_result(None)

    def _store_full(self, full: StoreFull) -> None:
        """Nothing of the last batch was kept, so the state goes back to what was."""
        logger.error("a change was refused: the disk with the catalog is full (%s)", full)
        self._refusing_until_s = asyncio.get_running_loop().time() + FULL_PAUSE_S
        self.topology.become(self.store.load(), self.topology.catalog_version)
        self._queue_ids = QueueIds(self.store.queue_ids_reserved())
        # Whoever took a snapshot in the meantime may have seen what was never committed.
        for identity in self.distribution.expect_all_again():
            self.send(identity, {"verb": "resubscribe", "epoch": self.epoch})
        for version in [number for number in self._waiting if number > self.distribution.published]:
            for future in self._waiting.pop(version):
                if not future.done():
                    future.set_exception(ResourceError("the disk with the catalog is full"))


class Decision:
    """The operations of one request. Each is applied as it is added, so the next is decided on its outcome.

    All checks come before the first operation: nothing is taken back.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._ops: list[Op] = []

    def add(self, op: Op) -> None:
        self._catalog.topology.apply_ops((op,))
        self._ops.append(op)

    def store_only(self, ops: Iterable[Op]) -> None:
        self._ops.extend(ops)

    def delete_queue(self, queue: Queue) -> None:
        """The queue, its bindings, and the auto-delete exchanges that lose their last binding by it."""
        vhost = self._catalog.topology.vhosts[queue.vhost]
        sources = _sources(vhost.bindings.to_destination(Destination("queue", queue.name)))
        self.add(changes.queue_delete(queue))
        self._delete_unused(vhost, sources)

    def delete_exchange(self, exchange: Exchange) -> None:
        """The exchange, its bindings, and the auto-delete exchanges that lose their last binding by it."""
        vhost = self._catalog.topology.vhosts[exchange.vhost]
        sources = _sources(vhost.bindings.to_destination(Destination(EXCHANGE, exchange.name)))
        self.add(changes.exchange_delete(exchange))
        self._delete_unused(vhost, sources)

    def delete_binding(self, binding: Binding) -> None:
        """The binding, and its source where that is an auto-delete exchange without another."""
        vhost = self._catalog.topology.vhosts[binding.vhost]
        self.add(changes.binding_delete(binding, self.is_durable(binding)))
        self._delete_unused(vhost, [binding.source])

    def _delete_unused(self, vhost: VhostTopology, sources: list[str]) -> None:
        while sources:
            exchange = vhost.exchanges.get(sources.pop())
            if exchange is None or not exchange.auto_delete or vhost.bindings.count_from(exchange.name):
                continue
            sources.extend(_sources(vhost.bindings.to_destination(Destination(EXCHANGE, exchange.name))))
            self.add(changes.exchange_delete(exchange))

    def is_durable(self, binding: Binding) -> bool:
        """A binding outlives the broker when both its ends do."""
        topology = self._catalog.topology
        return topology.is_durable(binding.vhost, EXCHANGE, binding.source) and topology.is_durable(
            binding.vhost, binding.destination_kind, binding.destination
        )

    def submit(self) -> None:
        """To be committed with the next batch."""
        if self._ops:
            self._catalog.committer.submit(self._ops)

    def commit_now(self) -> None:
        """While nobody has subscribed yet. StartError where there is no room; the process is to end then."""
        if self._ops:
            try:
                self._catalog.store.write(self._ops)
            except StoreFull as full:
                raise StartError(f"the disk with the catalog is full ({full})") from None

    async def settle(self) -> None:
        """Commits, and waits until every process has applied it."""
        self.submit()
        await self._catalog.settled()


def _sources(bindings: Iterable[Binding]) -> list[str]:
    return list(dict.fromkeys(binding.source for binding in bindings))
