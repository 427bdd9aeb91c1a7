"""The links over which this shard hands messages over to other shards: it is their client.

Joins the links' callbacks with the engine's relay (shards/engine/relay.pyx), sends what the engine has left for each
shard, and has those links made that something waits for. Decides nothing about messages, and needs no back-pressure
of the links: the engine's limit on what is under way is below theirs.
"""
import logging
from collections.abc import Callable
from typing import Any, Final

from bus.links import LinkEnd
from shards.engine import Engine, relay

logger = logging.getLogger(__name__)

WANTED_AGAIN_S: Final = 10.0
"""A link that is wanted comes when its shard does; only where there was no memory for it does asking again help."""


class Relay:
    """The client's ends of this shard's links. What it raises on a batch is BadRecord."""

    def __init__(self, engine: Engine, want_link: Callable[[int], None]) -> None:
        """`want_link` asks for a link to a shard; it may be asked for twice."""
        self._engine = engine
        self._want_link = want_link
        self._links: dict[int, LinkEnd] = {}
        self._wanted: set[int] = set()
        self._wanted_at_s = 0.0

    # callbacks of the links

    def on_up(self, link: LinkEnd) -> None:
        self._links[link.peer] = link
        self._wanted.discard(link.peer)
        relay.up(self._engine, link.peer, link.next_batch_number)

    def on_down(self, link: LinkEnd) -> None:
        """What was under way is handed over again when the next link is up: by those who handed it over."""
        self._links.pop(link.peer, None)
        relay.down(self._engine, link.peer)

    def on_batch(self, link: LinkEnd, view: memoryview) -> None:
        relay.receive(self._engine, link.peer, view)

    # the turn

    def flush(self, minimum_bytes: int) -> None:
        """Sends what waits, where it is at least so much, and asks for the links that are missing."""
        engine = self._engine
        for shard in relay.pending(engine):
            batch = relay.outgoing(engine, shard)
            if len(batch) >= minimum_bytes:
                link = self._links[shard]
                link.send(batch)
                relay.sent(engine, shard, link.next_batch_number)
        for shard in relay.wanted(engine):
            if shard not in self._wanted:
                logger.info("there are messages for shard %d: a link to it is wanted", shard)
                self._wanted.add(shard)
                self._want_link(shard)

    def tick(self, now_s: float) -> None:
        """Now and then."""
        if now_s - self._wanted_at_s >= WANTED_AGAIN_S:
            self._wanted_at_s = now_s
            for shard in self._wanted:
                self._want_link(shard)

    @property
    def idle(self) -> bool:
        """Nothing is under way."""
        return relay.idle(self._engine)

    def close(self) -> None:
        """Nothing more is handed over; what is under way is still answered."""
        relay.close(self._engine)

    def statistics(self) -> list[dict[str, Any]]:
        """Of each shard that something was handed over to."""
        return relay.statistics(self._engine)
