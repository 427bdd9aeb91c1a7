"""Where dead letters go: the engine asks for routing keys that it has not seen since a route of letters was touched.

What it is asked and answers is in shards/engine/letter_routes.pyx. Says once for each queue why its letters are
dropped. Remembers no route: that does the engine, until `version` is another one. So this keeps what it was asked for,
and hears which routes a change of the topology touches (topology/touched.py). Permissions were checked when the queue
was declared.
"""
from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from amqp091.errors import NotFound
from amqp091.properties import decode
from topology.model import Queue
from topology.replica import Replica
from topology.routing import Scope

logger = logging.getLogger(__name__)

TOLD_MAX: Final = 4096
"""Queues of which it is remembered what was said about them; then all of it may be said again."""


ASKED_MAX: Final = 1 << 16
"""Routing keys that the engine may remember, as many as it does (ROUTES_MAX): they are the clients' to choose."""


class LetterRoute(NamedTuple):
    """The answer to the engine: the name of the queue that letters come from, and their targets."""

    source: bytes
    local: Sequence[tuple[int, bytes]] = ()
    remote: Sequence[tuple[int, int, bytes]] = ()
    by_message: bool = False


def encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


class LetterRouter:
    """The routes of one shard's dead letters. A RouteWatch of its replica."""

    def __init__(self, index: int, replica: Replica) -> None:
        self._index = index
        self._replica = replica
        self._told: set[tuple[int, str]] = set()
        self._exchanges: set[tuple[str, str]] = set()       # asked for since `version` was another one; vhost first
        self._keys: set[tuple[str, str, str]] = set()
        self.version = 0
        replica.tell(self)

    # what changes touch

    def touch_everything(self) -> None:
        self.version += 1
        self._exchanges.clear()
        self._keys.clear()

    def touch_exchange(self, vhost: str, exchange: str) -> None:
        if (vhost, exchange) in self._exchanges:
            self.touch_everything()

    def touch_key(self, vhost: str, exchange: str, routing_key: str) -> None:
        if (vhost, exchange, routing_key) in self._keys:
            self.touch_everything()

    def _note(self, vhost: str, exchange: str, keys: Iterable[str]) -> None:
        if len(self._keys) >= ASKED_MAX:
            self.touch_everything()
        self._exchanges.add((vhost, exchange))
        self._keys.update((vhost, exchange, key) for key in keys)

    # what the engine asks

    def route(self, queue_id: int, exchange: bytes, keys: Sequence[bytes], properties: bytes | None) -> LetterRoute:
        """`properties` are the letter's, where the engine was told that they matter."""
        queue = self._replica.queue_by_id(queue_id)
        if queue is None:
            self.touch_everything()     # nothing is told of a queue that has no name yet
            return LetterRoute(b"")
        source = encoded(queue.name)
        name = _decoded(exchange)
        self._note(queue.vhost, name, map(_decoded, keys))
        if properties is None and self._replica.scope(queue.vhost, name) & (Scope.HEADERS | Scope.CHOICE):
            return LetterRoute(source, by_message=True)
        try:
            targets = self._targets(queue, name, keys, properties)
        except (NotFound, KeyError):
            self._tell_once(queue, "missing", f"the dead-letter exchange {name!r} does not exist")
            return LetterRoute(source)
        if not targets and properties is None:
            self._tell_once(queue, "unroutable", f"the dead-letter exchange {name!r} routes them to no queue")
        return LetterRoute(
            source,
            [(each.queue_id, encoded(each.name)) for each in targets if each.shard == self._index],
            [(each.shard, each.queue_id, encoded(each.name)) for each in targets if each.shard != self._index],
        )

    def goes_in_circles(self, queue_id: int, target: bytes) -> None:
        """A message was not put into the target, in which it had died before."""
        queue = self._replica.queue_by_id(queue_id)
        if queue is not None:
            through = target.decode("utf-8", "backslashreplace")
            self._tell_once(queue, "circle", f"they would go round in circles through {through!r}")

    def _targets(
        self, queue: Queue, exchange: str, keys: Sequence[bytes], properties: bytes | None
    ) -> list[Queue]:
        """Each queue once."""
        first, *copies = map(_decoded, keys)
        if properties is None:
            return self._replica.route(queue.vhost, exchange, first, copies=copies).queues
        return self._replica.route(
            queue.vhost, exchange, first, headers_of(properties), copies=copies, properties=properties
        ).queues

    def _tell_once(self, queue: Queue, what: str, why: str) -> None:
        if (queue.queue_id, what) in self._told:
            return
        if len(self._told) >= TOLD_MAX:
            self._told.clear()
        self._told.add((queue.queue_id, what))
        logger.warning("dead letters of queue %r in vhost %r are dropped: %s", queue.name, queue.vhost, why)


def _decoded(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def headers_of(properties: bytes) -> Mapping[str, Any]:
    return decode(properties).headers or {}
