"""The snapshots that subscribers are reading: each a run of operations, cut into pages.

A page is built when it is asked for, so a topology of a hundred thousand
queues holds up neither the catalog nor a gateway.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from topology.changes import Op

PAGE_OPS: Final = 2000


@dataclass(slots=True)
class _Snapshot:
    version: int
    ops: Iterator[Op]
    number: int = -1                    # of the last page that was built
    page: dict[str, Any] = field(default_factory=dict)


class Snapshots:
    """One snapshot per subscriber; a new one replaces it."""

    def __init__(self) -> None:
        self._of_peer: dict[str, _Snapshot] = {}

    def open(self, peer: str, version: int, ops: Iterator[Op]) -> None:
        self._of_peer[peer] = _Snapshot(version, ops)

    def close(self, peer: str) -> None:
        self._of_peer.pop(peer, None)

    def page(self, peer: str, version: int, number: int) -> dict[str, Any]:
        """{"ops", "last"}; empty where that page is not to be had."""
        snapshot = self._of_peer.get(peer)
        if snapshot is None or snapshot.version != version or number not in (snapshot.number, snapshot.number + 1):
            return {}
        if number > snapshot.number:
            if snapshot.page.get("last"):
                return {}
            ops = list(islice(snapshot.ops, PAGE_OPS))
            snapshot.number = number
            snapshot.page = {"ops": ops, "last": len(ops) < PAGE_OPS}
        return snapshot.page
