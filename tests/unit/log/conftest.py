"""A store in temporary directories, with small segments."""
from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from log.access import StoredMessage
from log.store import Store

SEGMENT_BYTES = 64 << 10


class OpenStore:
    """Opens the same directories again and again, like a process that is restarted."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.durable = root / "durable"
        self.transient = root / "transient"
        self.spill = root / "spill"

    def __call__(self, **options: Any) -> Store:
        options = {"segment_bytes": SEGMENT_BYTES, "clock_ms": lambda: 1_700_000_000_000} | options
        return Store(str(self.durable), str(self.transient), str(self.spill), **options)

    def files(self, kind: str = "data") -> list[Path]:
        return sorted(self.durable.glob(f"*.{kind}"))


    def open_files(self) -> int:
        """Descriptors that this process has of files in these directories."""
        found = 0
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(FileNotFoundError):
                found += os.readlink(f"/proc/self/fd/{name}").startswith(str(self.root))
        return found


@pytest.fixture
def open_store(tmp_path: Path) -> OpenStore:
    return OpenStore(tmp_path)


@pytest.fixture
def message() -> Callable[..., StoredMessage]:
    def make(body: bytes = b"body", **fields: Any) -> StoredMessage:
        return StoredMessage(**{"exchange": b"ex", "routing_key": b"key", "properties": b"\0\0", "body": body} | fields)
    return make


def run_chores(store: Store) -> None:
    """What the housekeeping thread does, at once."""
    while store.has_chores:
        for chore in store.take_chores():
            chore.run()
            chore.finish()


def commit(store: Store) -> None:
    """What the sync thread does, at once."""
    ticket = store.sync_target()
    if ticket is not None:
        ticket.synchronise()
        store.committed(ticket.position)
