"""Which links there are: made when both processes take links, told to both, unmade when one of them dies.

Every gateway is a client of every shard. A shard becomes a client of another when it asks for that, as it rarely has
anything for it; from then on their link, too, is there whenever both are. Owns the files of shared-memory links.
Knows processes by (role, index) and incarnation only.
"""
from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from broker.children import Child
from bus.limits import SHARD_LINK_RING_BYTES_MAX
from bus.links import SHARED_MEMORY
from bus.ring import LINK_FILE_OVERHEAD_BYTES, create_link_file

logger = logging.getLogger(__name__)

SHARD: Final = "shard"


def links_bytes(gateways: int, shards: int, ring_bytes: int) -> int:
    """Shared memory of all links that there may be."""
    of_gateways = gateways * shards * _file_bytes(ring_bytes)
    return of_gateways + shards * (shards - 1) * _file_bytes(_shard_ring_bytes(ring_bytes))


def _shard_ring_bytes(ring_bytes: int) -> int:
    return min(ring_bytes, SHARD_LINK_RING_BYTES_MAX)


def _file_bytes(ring_bytes: int) -> int:
    return 2 * ring_bytes + LINK_FILE_OVERHEAD_BYTES


@dataclass
class Link:
    client: Child
    client_incarnation: int
    server: Child
    server_incarnation: int
    path: Path | None           # of a shared-memory link

    @property
    def key(self) -> tuple[str, str]:
        return self.client.identity, self.server.identity


class LinkRegistry:
    """`push(identity, message)` tells a process. The first of `directories` that has room takes a link's file."""

    def __init__(
        self, kind: str, directories: Sequence[Path], ring_bytes: int, push: Callable[[str, dict[str, Any]], None]
    ) -> None:
        self._kind = kind
        self._directories = directories
        self._ring_bytes = ring_bytes
        self._push = push
        self._links: dict[tuple[str, str], Link] = {}
        self._wanted: set[tuple[str, str]] = set()      # shards that are clients of shards
        self._serial = 0

    def __len__(self) -> int:
        return len(self._links)

    def connect(self, child: Child, others: Iterable[Child]) -> None:
        """`child` takes links now: to each of the others that does too and is its client or server. OSError where
        there is no memory for one of a gateway."""
        for other in others:
            if other.takes_links:
                for client, server in ((child, other), (other, child)):
                    if self._belong_together(client, server):
                        self._make(client, server)

    def want(self, client: Child, server: Child) -> None:
        """The shard `client` has something for the shard `server`: they are joined from now on, until the client dies.
        Where there is no memory for it, what the client has waits, and it asks again."""
        if client is server:
            raise ValueError(f"{client.title} is no client of itself")
        key = (client.identity, server.identity)
        self._wanted.add(key)
        if key not in self._links and client.takes_links and server.takes_links:
            self._make(client, server)

    def disconnect(self, child: Child) -> None:
        """`child` is gone: its links are down, and its peers hear so."""
        self._wanted -= {key for key in self._wanted if key[0] == child.identity}
        for link in list(self._links.values()):
            if child is link.client:
                self._tell_down(link, to=link.server)
            elif child is link.server:
                self._tell_down(link, to=link.client)
            else:
                continue
            self._remove(link)

    def renew(self, client: Child, server: Child) -> None:
        """One of the two found the link damaged: a new one takes its place."""
        link = self._links.get((client.identity, server.identity))
        if link is None:
            return
        logger.error("the link between %s and %s is damaged: a new one is made", client.title, server.title)
        self._tell_down(link, to=client)
        self._tell_down(link, to=server)
        self._remove(link)
        self._make(client, server)

    def _belong_together(self, client: Child, server: Child) -> bool:
        return server.role == SHARD and (
            client.role != SHARD or (client.identity, server.identity) in self._wanted
        )

    def _make(self, client: Child, server: Child) -> None:
        try:
            path = self._make_file(client, server) if self._kind == SHARED_MEMORY else None
        except OSError as error:
            if client.role != SHARD:
                raise
            logger.error("no memory for a link from %s to %s: %s", client.title, server.title, error.strerror)
            return
        link = Link(client, client.incarnation, server, server.incarnation, path)
        self._links[link.key] = link
        # The server first: over ZeroMQ the client speaks first.
        self._tell_up(link, to=server)
        self._tell_up(link, to=client)

    def _make_file(self, client: Child, server: Child) -> Path:
        self._serial += 1
        ring_bytes = _shard_ring_bytes(self._ring_bytes) if client.role == SHARD else self._ring_bytes
        name = f"link-{client.identity}.{client.incarnation}-{server.identity}.{server.incarnation}-{self._serial}"
        for directory in self._directories[:-1]:
            path = directory / name
            try:
                create_link_file(str(path), ring_bytes)
            except OSError as error:
                logger.warning("no memory for a link in %s: %s", directory, error.strerror)
            else:
                return path
        path = self._directories[-1] / name
        create_link_file(str(path), ring_bytes)
        return path

    def _tell_up(self, link: Link, *, to: Child) -> None:
        message = self._about("link.up", link, to) | {"kind": self._kind}
        if link.path is not None:
            message["path"] = str(link.path)
        else:
            message["address"] = link.server.link_address
        self._push(to.identity, message)

    def _tell_down(self, link: Link, *, to: Child) -> None:
        self._push(to.identity, self._about("link.down", link, to))

    @staticmethod
    def _about(verb: str, link: Link, to: Child) -> dict[str, Any]:
        """Whether the one who is told serves, and who is at the other end."""
        serving = to is link.server
        peer, incarnation = (
            (link.client, link.client_incarnation) if serving else (link.server, link.server_incarnation)
        )
        return {
            "verb": verb, "serving": serving, "peer_role": peer.role, "peer": peer.index, "incarnation": incarnation,
        }

    def _remove(self, link: Link) -> None:
        del self._links[link.key]
        if link.path is not None:
            link.path.unlink(missing_ok=True)
