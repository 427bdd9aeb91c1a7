"""Which links there are: made when both processes take links, told to both, unmade when one of them dies.

Owns the files of shared-memory links. Knows processes by (role, index) and incarnation only.
"""
from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from broker.children import Child
from bus.links import SHARED_MEMORY
from bus.ring import create_link_file

logger = logging.getLogger(__name__)

PEER_ROLE: Final = {"gateway": "shard", "shard": "gateway"}


@dataclass
class Link:
    gateway: Child
    gateway_incarnation: int
    shard: Child
    shard_incarnation: int
    path: Path | None           # of a shared-memory link
    serial: int


class LinkRegistry:
    """`push(identity, message)` tells a process. The first of `directories` that has room takes a link's file."""

    def __init__(
        self, kind: str, directories: Sequence[Path], ring_bytes: int, push: Callable[[str, dict[str, Any]], None]
    ) -> None:
        self._kind = kind
        self._directories = directories
        self._ring_bytes = ring_bytes
        self._push = push
        self._links: dict[tuple[int, int], Link] = {}
        self._serial = 0

    def __len__(self) -> int:
        return len(self._links)

    def connect(self, child: Child, peers: list[Child]) -> None:
        """`child` takes links now: to every peer that does too. OSError where there is no memory for one."""
        for peer in peers:
            if peer.takes_links:
                gateway, shard = (child, peer) if child.role == "gateway" else (peer, child)
                self._make(gateway, shard)

    def disconnect(self, child: Child) -> None:
        """`child` is gone: its links are down, and its peers hear so."""
        for key, link in list(self._links.items()):
            if child in (link.gateway, link.shard):
                peer = link.shard if child is link.gateway else link.gateway
                self._tell_down(link, peer)
                self._remove(key, link)

    def renew(self, child: Child, peer: Child) -> None:
        """One of the two found the link damaged: a new one takes its place."""
        gateway, shard = (child, peer) if child.role == "gateway" else (peer, child)
        link = self._links.get((gateway.index, shard.index))
        if link is None:
            return
        logger.error("the link between %s and %s is damaged: a new one is made", gateway.title, shard.title)
        self._tell_down(link, gateway)
        self._tell_down(link, shard)
        self._remove((gateway.index, shard.index), link)
        self._make(gateway, shard)

    def _make(self, gateway: Child, shard: Child) -> None:
        self._serial += 1
        path = self._make_file(gateway, shard) if self._kind == SHARED_MEMORY else None
        link = Link(gateway, gateway.incarnation, shard, shard.incarnation, path, self._serial)
        self._links[gateway.index, shard.index] = link
        # The shard first: over ZeroMQ the gateway speaks first.
        self._tell_up(link, to=shard, peer=gateway)
        self._tell_up(link, to=gateway, peer=shard)

    def _make_file(self, gateway: Child, shard: Child) -> Path:
        name = f"link-{gateway.index}.{gateway.incarnation}-{shard.index}.{shard.incarnation}-{self._serial}"
        for directory in self._directories[:-1]:
            path = directory / name
            try:
                create_link_file(str(path), self._ring_bytes)
            except OSError as error:
                logger.warning("no memory for a link in %s: %s", directory, error.strerror)
            else:
                return path
        path = self._directories[-1] / name
        create_link_file(str(path), self._ring_bytes)
        return path

    def _tell_up(self, link: Link, *, to: Child, peer: Child) -> None:
        message: dict[str, Any] = {
            "verb": "link.up",
            "peer_role": peer.role,
            "peer": peer.index,
            "incarnation": peer.incarnation,
            "kind": self._kind,
        }
        if link.path is not None:
            message["path"] = str(link.path)
        else:
            message["address"] = link.shard.link_address
        self._push(to.identity, message)

    def _tell_down(self, link: Link, to: Child) -> None:
        peer, incarnation = (
            (link.shard, link.shard_incarnation) if to is link.gateway else (link.gateway, link.gateway_incarnation)
        )
        self._push(
            to.identity,
            {"verb": "link.down", "peer_role": peer.role, "peer": peer.index, "incarnation": incarnation},
        )

    def _remove(self, key: tuple[int, int], link: Link) -> None:
        del self._links[key]
        if link.path is not None:
            link.path.unlink(missing_ok=True)
