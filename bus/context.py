"""What a process of the broker is given at its start: who it is, the settings, the control bus, the doorbells.

A role's worker gets one ProcessContext, makes its links with it, answers what the supervisor asks, says `ready`, and
returns from `run` when `stopping` is set. broker/process.py fills it in.
"""
from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bus.control import ControlClient, ControlError, Message
from bus.doorbell import Doorbell
from bus.links import ZEROMQ, LinkEnd, LinkSet, link_message

logger = logging.getLogger(__name__)


class StartError(Exception):
    """Why the broker cannot start, in one line that says what to do about it."""


@dataclass
class ProcessContext:
    """One process of the broker. `control` is connected to the supervisor."""

    role: str                                   # "catalog", "gateway", "shard"
    index: int
    incarnation: int                            # from 1, one more at each restart of this role and index
    settings: dict[str, Any]                    # the fields of broker.settings.Settings, plain values
    data_directory: Path
    runtime_directory: Path                     # short path, ours alone; swept at the broker's start
    shared_directory: Path                      # memory-backed where /dev/shm is large enough; swept too
    shard_count: int
    gateway_count: int
    catalog_address: str
    reply_key: bytes                            # of this run of the broker: gateway/replies.py
    control: ControlClient
    loop: asyncio.AbstractEventLoop
    doorbells: dict[tuple[str, int], Doorbell] = field(default_factory=dict)
    listen_sockets: list[socket.socket] = field(default_factory=list)   # given by socket activation; else empty: bind
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    serving: bool = False                       # said `ready`
    failed: BaseException | None = None
    _links: LinkSet | None = None
    _subscribers: dict[str, list[Callable[[Message], None]]] = field(default_factory=dict)
    _latest: dict[str, Message] = field(default_factory=dict)
    _handler: Callable[[Message], Awaitable[Message | None]] | None = None

    @property
    def identity(self) -> str:
        """Its name on the control bus."""
        return self.role if self.role == "catalog" else f"{self.role}-{self.index}"

    # --- what the process does

    def make_links(
        self,
        on_batch: Callable[[LinkEnd, memoryview], None],
        on_up: Callable[[LinkEnd], None],
        on_down: Callable[[LinkEnd], None],
        on_writable: Callable[[LinkEnd], None],
        on_idle: Callable[[], None],
    ) -> LinkSet:
        """The links of this process, and word to the supervisor that it takes some now."""
        links = LinkSet(
            self.loop,
            self.role,
            self.index,
            on_batch,
            on_up,
            on_down,
            on_writable,
            on_idle,
            incarnation=self.incarnation,
            doorbell=self.doorbells[self.role, self.index],
            peer_doorbell=lambda role, index: self.doorbells[role, index],
            push=self.tell,
            on_failure=self.fail,
        )
        message: Message = {"verb": "links.open"}
        if self.role == "shard" and self.settings["link"] == ZEROMQ:
            # A name of its own per incarnation: what was sent to a dead shard never reaches the next.
            message["address"] = f"ipc://{self.runtime_directory}/link-{self.index}.{self.incarnation}"
            links.listen(message["address"])
        self._links = links
        self.tell(message)
        return links

    def tell(self, message: Message) -> None:
        """The supervisor, which does not answer."""
        self.control.push(self.signed(message))

    def signed(self, message: Message) -> Message:
        """The last words of a process may be heard when its successor has been started already."""
        return {**message, "own_incarnation": self.incarnation}

    def want_link(self, shard: int) -> None:
        """A shard has something for another: the supervisor joins them as soon as both are there."""
        self.tell({"verb": "link.wanted", "shard": shard})

    def report_broken(self, link: LinkEnd) -> None:
        """A link carried nonsense: the supervisor makes it anew."""
        self.tell(link_message("link.broken", link))

    async def ready(self, **told: Any) -> None:
        """The process serves from now on; what it has found at its start."""
        await self.control.request(self.signed({"verb": "ready", **told}))
        self.serving = True

    def on_push(self, verb: str, callback: Callable[[Message], None]) -> None:
        """`callback` for each push of the supervisor with this verb: "alarm", "peer.restarted".

        An alarm that came earlier is told at once.
        """
        self._subscribers.setdefault(verb, []).append(callback)
        if verb == "alarm" and verb in self._latest:
            callback(self._latest[verb])

    def on_request(self, handler: Callable[[Message], Awaitable[Message | None]]) -> None:
        """Who answers what the command line asks this process, by `message["verb"]`; raises ControlError."""
        self._handler = handler

    def fail(self, error: BaseException) -> None:
        """The process cannot go on: it stops, and the supervisor starts it anew."""
        if self.failed is None:
            self.failed = error
            logger.critical("cannot go on: %s: %s", type(error).__name__, error, exc_info=error)
        self.stopping.set()

    # --- what broker/process.py hands in from the control bus

    def receive_push(self, message: Message) -> None:
        verb: str = message["verb"]
        if verb in ("link.up", "link.down"):
            if self._links is not None:
                self._links.receive_push(message)
            return
        if verb == "stop":
            self.stopping.set()
            return
        self._latest[verb] = message
        for callback in self._subscribers.get(verb, ()):
            callback(message)

    async def receive_request(self, message: Message) -> Message | None:
        if self._handler is None:
            raise ControlError(503, f"{self.identity} does not answer {message.get('verb')!r} yet")
        return await self._handler(message)
