"""The links of one process: the interface of a link's end, and the set that opens, drains and closes them.

A link joins one incarnation of a client, a gateway or a shard, to one incarnation of the shard that serves it, and
carries ordered batches both ways. Two shards may be joined by two links, one for each that is the other's client. Two
kinds stand behind one interface: shared memory (bus/ring.pyx) and ZeroMQ (bus/zmq_link.py, which is loaded where a
link is of that kind). The supervisor says when a link is up or down; the set opens its end, calls back for every
batch, and lets the process sleep only when no ring holds anything.

Never blocks, never knows what is in a batch. The turn itself is compiled: bus/turns.pyx.
"""
from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from bus.ring import LinkBroken, RingEnd
from bus.turns import LinkTurns

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from bus.doorbell import Doorbell
    from bus.zmq_link import ZmqConnection, ZmqEnd, ZmqListener

logger = logging.getLogger(__name__)

SHARED_MEMORY: Final = "shared-memory"
ZEROMQ: Final = "zeromq"

SHARD: Final = "shard"

Key = tuple[bool, str, int]
"""Which link of a process: does it serve, the role of its peer, the peer's index."""

PEER_FIELDS: Final = ("serving", "peer_role", "peer", "incarnation")
"""What names a link in what the supervisor is told and tells."""


class LinkEnd(Protocol):
    """One side of a link; ordered batches both ways; never blocks."""

    @property
    def serving(self) -> bool:
        """Is this the serving shard's end? Else it is its client's."""
    @property
    def peer_role(self) -> str: ...
    @property
    def peer(self) -> int:
        """Index of the process at the other end."""
    @property
    def peer_incarnation(self) -> int: ...
    @property
    def next_batch_number(self) -> int:
        """The number that the next send will return."""
    @property
    def pending_bytes(self) -> int:
        """Accepted here, not yet in the peer's ring or socket."""
    @property
    def congested(self) -> bool:
        """Too much is pending: the caller stops producing until on_writable (send still accepts)."""
    @property
    def closed(self) -> bool: ...
    @property
    def shares_files(self) -> bool:
        """Are both ends on one host, and does this one know what the other has given back?"""
    @property
    def sent_position(self) -> int:
        """Only grows: behind all that was sent. Only where files are shared."""
    @property
    def returned_position(self) -> int:
        """A batch has been given back (`release`) when this is sent_position as it was after its send, or more."""

    def send(self, batch: Buffer) -> int:
        """Takes a copy of the bytes; returns the batch's number, from 1. A closed end drops them."""
    def send_quietly(self, batch: Buffer) -> int:
        """As send, but a peer that sleeps may go on doing so until the next send, or `wake_peer`."""
    def wake_peer(self) -> None:
        """It takes what was sent quietly, if it has not yet."""
    def receive(self) -> memoryview | None:
        """The next whole batch, valid until the next receive or release."""
    def release(self) -> None:
        """Done with the batch last received."""
    def close(self) -> None: ...

    # for the LinkSet alone
    def pump(self) -> bool:
        """Moves what is pending as far as there is room; True where congestion has ended."""
    def can_pump(self) -> bool: ...
    def has_input(self) -> bool: ...


def key_of(link: LinkEnd) -> Key:
    return link.serving, link.peer_role, link.peer


def link_message(verb: str, link: LinkEnd) -> dict[str, Any]:
    """For the supervisor, about this end's link."""
    return {
        "verb": verb, "serving": link.serving, "peer_role": link.peer_role, "peer": link.peer,
        "incarnation": link.peer_incarnation,
    }


def _ignore(link: LinkEnd) -> None:
    pass


def _nothing() -> None:
    pass


class LinkSet(LinkTurns):
    """All link ends of one process. `receive_push` takes the supervisor's link.up and link.down.

    on_batch(link, view)   a whole batch; the view is invalid after the call. BadRecord: the link is made anew
    on_up(link)            the link can be used; on_down(link): it is gone, its end is closed
    on_writable(link)      it was congested and is no longer
    on_idle()              once per turn, after the batches: time to send what they produced
    on_failure(error)      one of the callbacks above raised: the state of this process is unknown
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        role: str,
        index: int,
        on_batch: Callable[[LinkEnd, memoryview], None],
        on_up: Callable[[LinkEnd], None] = _ignore,
        on_down: Callable[[LinkEnd], None] = _ignore,
        on_writable: Callable[[LinkEnd], None] = _ignore,
        on_idle: Callable[[], None] = _nothing,
        *,
        incarnation: int = 1,
        doorbell: Doorbell | None = None,
        peer_doorbell: Callable[[str, int], Doorbell] | None = None,
        push: Callable[[dict[str, Any]], None] = lambda message: None,
        on_failure: Callable[[BaseException], None] | None = None,
    ) -> None:
        super().__init__(loop, on_batch, on_writable, on_idle, on_failure, doorbell)
        self.role = role
        self.index = index
        self.incarnation = incarnation
        self._on_up = on_up
        self._on_down = on_down
        self._peer_doorbell = peer_doorbell
        self._push = push
        self._connections: dict[Key, ZmqConnection] = {}
        self._listener: ZmqListener | None = None
        if doorbell is not None:
            loop.add_reader(doorbell.descriptor, self._on_doorbell)
            self.schedule()

    # --- for the process

    def get(self, shard: int) -> LinkEnd | None:
        """The link over which this process is that shard's client, None while it is down."""
        return self._ends.get((False, SHARD, shard))

    def up(self) -> list[LinkEnd]:
        return list(self._ends.values())

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._doorbell is not None:
            self._doorbell.awake()
            self._loop.remove_reader(self._doorbell.descriptor)
        for end in list(self._ends.values()):
            self._drop(end)
        if self._listener is not None:
            self._listener.close()

    # --- for the supervisor's messages

    def listen(self, address: str) -> None:
        """The serving side of ZeroMQ links; before link.up of the first."""
        from bus.zmq_link import ZmqListener

        self._listener = ZmqListener(self._loop, address)

    def receive_push(self, message: dict[str, Any]) -> None:
        if self._closed:
            return
        if message["verb"] == "link.up":
            self._link_up(message)
        elif message["verb"] == "link.down":
            end = self._ends.get((message["serving"], message["peer_role"], message["peer"]))
            if end is not None and end.peer_incarnation == message["incarnation"]:
                self._link_down(end)

    def _link_up(self, message: dict[str, Any]) -> None:
        key: Key = (message["serving"], message["peer_role"], message["peer"])
        old = self._ends.get(key)
        if old is not None:
            self._link_down(old)
        try:
            end = self._open(message)
        except (LinkBroken, OSError) as error:
            # Its file is already gone when the peer died meanwhile; then link.down is on its way.
            logger.warning("the link to %s %d cannot be opened: %s", message["peer_role"], message["peer"], error)
            self._push({name: message[name] for name in PEER_FIELDS} | {"verb": "link.broken"})
            return
        self._add(key, end)
        self._call(self._on_up, end)
        self.schedule()

    def _open(self, message: dict[str, Any]) -> LinkEnd:
        serving: bool = message["serving"]
        role: str = message["peer_role"]
        peer: int = message["peer"]
        incarnation: int = message["incarnation"]
        if message["kind"] == SHARED_MEMORY:
            assert self._peer_doorbell is not None, "shared memory needs doorbells"
            ring = RingEnd(message["path"], serving, role, peer, incarnation, self._peer_doorbell(role, peer))
            ring.on_broken = self.schedule
            return ring
        from bus.zmq_link import ZmqConnection, zmq_identity

        end: ZmqEnd
        if serving:
            assert self._listener is not None, "who serves over ZeroMQ listens"
            end = self._listener.open(role, peer, incarnation)
        else:
            identity = zmq_identity(self.role, self.index, self.incarnation)
            connection = ZmqConnection(self._loop, message["address"], identity, role, peer, incarnation)
            self._connections[serving, role, peer] = connection
            end = connection.end
        end.on_input = self.schedule
        return end

    def _link_down(self, end: LinkEnd) -> None:
        """What the peer had sent before it died is still taken: acknowledgements, watermarks, whole batches."""
        try:
            while (view := end.receive()) is not None:
                self._call_batch(end, view)
        except LinkBroken as error:
            logger.warning("the rest of a link cannot be read: %s", error)
        if self._ends.get(key_of(end)) is not end:
            return                          # its last words broke it
        self._drop(end)
        self._call(self._on_down, end)
        self.schedule()

    def _drop(self, end: LinkEnd) -> None:
        key = key_of(end)
        self._remove(key)
        end.close()
        connection = self._connections.pop(key, None)
        if connection is not None:
            connection.close()
        elif self._listener is not None and key[0]:
            self._listener.forget(cast("ZmqEnd", end))

    def _broken(self, end: LinkEnd, error: Exception) -> None:
        logger.error("link broken, it is made anew: %s", error)
        if self._ends.get(key_of(end)) is end:
            self._drop(end)
            self._call(self._on_down, end)
        self._push(link_message("link.broken", end))
