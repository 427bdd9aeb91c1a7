"""Moving single messages of a queue to another one, or to where an exchange routes them. The verb queue.move_messages.

    fields beside those of message_filter.py
    queue_id
    to_queue_id                 the target; messages keep their exchange and routing key
    to_exchange                 instead: the targets are where this exchange of the same vhost routes each message, by
    to_routing_key              this key; without it by its own

    answer      message_count   how many were moved
                unroutable      how many of those looked at go nowhere; they stay
                next            where to go on, as in messages.py
                stopped         null, or why the move ended early: what was not moved is where it was

Messages are moved by ascending position, some at a time, and reach a target in this order.
"""
from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from amqp091.errors import AMQPError, PreconditionFailed
from amqp091.properties import decode
from shards.engine import Engine, UnknownQueue
from shards.engine.browsing import Browsed
from shards.engine.moving import NOT_READY
from topology.arguments import STREAM, queue_type_of
from topology.model import Queue
from topology.replica import Replica

NAME_BYTES_MAX: Final = 255
READY_S_MAX: Final = 5.0
"""How long a move waits for another shard that is not ready: a link is made, or an earlier message is answered."""
READY_AGAIN_S: Final = 0.02

Document = dict[str, Any]
Targets = tuple[int, ...]
"""Queue ids, ascending; empty: nowhere."""


@dataclass
class Moved:
    """What has become of a move so far."""

    message_count: int = 0
    unroutable: int = 0
    stopped: str | None = None
    stopped_at: int | None = None


@dataclass
class Destination:
    """Where messages of a queue go."""

    source: Queue
    replica: Replica
    queue: Queue | None = None
    exchange: str = ""
    routing_key: str | None = None

    @property
    def exchange_name(self) -> bytes | None:
        """What the messages have as their exchange from then on; None: what they have."""
        return None if self.queue is not None else self.exchange.encode("utf-8", "surrogateescape")

    @property
    def key(self) -> bytes | None:
        if self.queue is not None or self.routing_key is None:
            return None
        return self.routing_key.encode("utf-8", "surrogateescape")

    def targets(self, message: Browsed) -> Targets:
        """Of one message."""
        if self.queue is not None:
            return (self.queue.queue_id,)
        key = message.routing_key if self.key is None else self.key
        try:
            headers = decode(message.properties).headers or {}
        except AMQPError:
            headers = {}
        result = self.replica.route(
            self.source.vhost, self.exchange, key.decode("utf-8", "surrogateescape"), headers,
            properties=message.properties,
        )
        return tuple(sorted(queue.queue_id for queue in result.queues))

    def places(self, targets: Targets) -> tuple[list[int], list[tuple[int, list[int]]]]:
        """(those of this shard, those of others by shard)"""
        local: list[int] = []
        remote: dict[int, list[int]] = {}
        for queue_id in targets:
            queue = self.replica.queue_by_id(queue_id)
            if queue is not None and queue.shard != self.source.shard:
                remote.setdefault(queue.shard, []).append(queue_id)
            else:
                local.append(queue_id)
        return local, sorted(remote.items())


def destination_of(request: Mapping[str, Any], replica: Replica) -> Destination:
    """Where a request wants messages to go. PreconditionFailed, NotFound."""
    source = replica.queue_by_id(request["queue_id"])
    if source is None:
        raise UnknownQueue(request["queue_id"])
    if queue_type_of(source.arguments) == STREAM:
        raise PreconditionFailed("messages of a stream are read, not moved")
    if "to_queue_id" in request:
        queue = replica.queue_by_id(request["to_queue_id"])
        if queue is None:
            raise UnknownQueue(request["to_queue_id"])
        if queue is source:
            raise PreconditionFailed("a message is moved to another queue")
        return Destination(source, replica, queue)
    exchange, routing_key = request.get("to_exchange"), request.get("to_routing_key")
    for name in (exchange, routing_key or ""):
        if not isinstance(name, str) or len(name.encode("utf-8", "surrogateescape")) > NAME_BYTES_MAX:
            raise PreconditionFailed("a move needs a queue, or an exchange and perhaps a routing key, to move to")
    destination = Destination(source, replica, None, str(exchange), routing_key)
    replica.route(source.vhost, destination.exchange, routing_key or "", {})     # NotFound where it is missing
    return destination


class Mover:
    """Moves what it is given, in order, until something stops it."""

    def __init__(
        self, engine: Engine, destination: Destination, now: Callable[[], None], wake: Callable[[], None]
    ) -> None:
        """`now`: the engine is told the time; `wake`: there is something to send."""
        self._engine = engine
        self._destination = destination
        self._now = now
        self._wake = wake
        self.result = Moved()

    async def move(self, messages: Sequence[Browsed]) -> None:
        """Some of the queue's messages, ascending by position."""
        for targets, positions in self._runs(messages):
            if not targets:
                self.result.unroutable += len(positions)
                continue
            if self._destination.source.queue_id in targets:
                self._stop("it would be routed back to its queue", positions[0])
            else:
                await self._move_run(positions, targets)
            if self.result.stopped is not None:
                return

    def _runs(self, messages: Sequence[Browsed]) -> Iterator[tuple[Targets, list[int]]]:
        """Messages that follow one another and have the same targets."""
        for targets, run in itertools.groupby(messages, self._destination.targets):
            yield targets, [message.position for message in run]

    async def _move_run(self, positions: list[int], targets: Targets) -> None:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + READY_S_MAX
        local, remote = self._destination.places(targets)
        while True:
            finished = asyncio.Event()
            self._now()
            move = self._engine.move_messages(
                self._destination.source.queue_id, positions, local, remote, self._destination.exchange_name,
                self._destination.key, finished.set,
            )
            self._wake()
            if move.under_way:
                await finished.wait()
            self.result.message_count += move.moved
            if move.stopped is None:
                return
            positions = sorted(move.returned)
            if move.stopped != NOT_READY or loop.time() >= until_s or not positions:
                break
            await asyncio.sleep(READY_AGAIN_S)
        self._stop(move.stopped, positions[0] if positions else None)

    def _stop(self, why: str, position: int | None) -> None:
        self.result.stopped = why
        self.result.stopped_at = position
