"""The log of a shard: appended, read and acknowledged, synchronised, recovered, compacted; and its checksum."""
from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.engine import MEMORY_DIRECTORY
from bench.micro.case import NOW_MS, Case, Timed, calls, repeated
from log import access
from log.checksum import checksum
from log.store import Store

QUEUE: Final = 1
BATCH: Final = 1000
RECOVERED: Final = 100_000
COMPACTED: Final = 20_000
LEFT_OF: Final = 20
"""What is compacted has one live entry in so many."""
COMPACTED_SEGMENT_BYTES: Final = 1 << 20
BUDGET_BYTES: Final = 1 << 20
DURABLE: Final = "durable"


def opened(directory: Path, transient: Path | None = None, **options: Any) -> Store:
    return Store(str(directory / DURABLE), str(transient or directory / "transient"), str(directory / "spill"),
                 clock_ms=lambda: NOW_MS, **options)


def do_chores(store: Store) -> None:
    """What the housekeeping thread does."""
    while store.has_chores:
        for chore in store.take_chores():
            chore.run()
            chore.finish()


def commit(store: Store) -> None:
    """What the sync thread does."""
    ticket = store.sync_target()
    if ticket is not None:
        ticket.synchronise()
        store.committed(ticket.position)


def pass_through(body_bytes: int, durable: bool) -> Callable[[Path, int], Timed]:
    """Messages appended, read and acknowledged: what they cost the loop of a shard. The sync is not part of it."""

    def prepare(directory: Path, units: int) -> Timed:
        memory = tempfile.TemporaryDirectory(dir=MEMORY_DIRECTORY)      # as long as the store is used, below
        store = opened(directory, Path(memory.name))
        body = b"x" * body_bytes
        first = itertools.count(1, units)

        def timed(loops: int) -> float:
            took_s = 0.0
            os.stat(memory.name)
            for _ in range(loops):
                began_s = time.perf_counter()
                entries = access.append_many(store, durable, body, QUEUE, next(first), units)
                access.read_many(store, entries)
                access.ack_many(store, entries)
                took_s += time.perf_counter() - began_s
                commit(store)
                do_chores(store)
            return took_s

        return timed

    return prepare


def synchronise(directory: Path, units: int) -> Timed:
    """One fdatasync for a batch of messages: the disk's speed."""
    store = opened(directory)
    first = itertools.count(1, BATCH)

    def timed(loops: int) -> float:
        took_s = 0.0
        for _ in range(loops * units):
            access.ack_many(store, access.append_many(store, True, b"x" * 100, QUEUE, next(first), BATCH))
            began_s = time.perf_counter()
            commit(store)
            took_s += time.perf_counter() - began_s
            do_chores(store)
        return took_s

    return timed


def recover(sealed: bool) -> Callable[[Path, int], Timed]:
    """What a broker left: whole segments with their index, or one that has to be scanned."""

    def prepare(directory: Path, units: int) -> Timed:
        store = opened(directory / "left")
        access.append_many(store, True, b"x" * 100, QUEUE, 1, units)
        commit(store)
        if sealed:
            store.close()
            store = opened(directory / "left")
            store.recover()
            do_chores(store)
        serial = itertools.count()

        def timed(loops: int) -> float:
            took_s = 0.0
            for _ in range(loops):
                copy = directory / str(next(serial))
                shutil.copytree(directory / "left" / DURABLE, copy / DURABLE)
                began_s = time.perf_counter()
                found = opened(copy)
                entries = found.recover()[QUEUE]
                took_s += time.perf_counter() - began_s
                if len(entries) != units:
                    raise RuntimeError(f"{len(entries)} of {units} entries were recovered")
                found.close()
                shutil.rmtree(copy)
            return took_s

        return timed

    return prepare


def compact(directory: Path, units: int) -> Timed:
    """Segments of which little is left; per entry that they held."""
    store = opened(directory, segment_bytes=COMPACTED_SEGMENT_BYTES)
    store.compacted_bytes_min = 0
    first = itertools.count(1, units)

    def timed(loops: int) -> float:
        took_s = 0.0
        for _ in range(loops):
            entries = access.append_many(store, True, b"x" * 100, QUEUE, next(first), units)
            commit(store)
            do_chores(store)
            left = np.arange(units) % LEFT_OF == 0
            access.ack_many(store, entries[~left])
            began_s = time.perf_counter()
            while store.compact(BUDGET_BYTES):
                pass
            took_s += time.perf_counter() - began_s
            access.ack_many(store, entries[left])
            commit(store)
            do_chores(store)
        return took_s

    return timed


CASES: Final = (
    Case("durable, 100 bytes: append, read, acknowledge", pass_through(100, True), BATCH),
    Case("durable, 1 KiB: append, read, acknowledge", pass_through(1024, True), BATCH),
    Case("durable, 64 KiB: append, read, acknowledge", pass_through(65536, True), 10),
    Case("transient, 100 bytes: append, read, acknowledge", pass_through(100, False), BATCH),
    Case("fdatasync of 1,000 messages", synchronise, 1, "sync"),
    Case("recovery from indexes", recover(True), RECOVERED),
    Case("recovery by a scan", recover(False), RECOVERED),
    Case("compaction, one entry of 20 live", compact, COMPACTED, "entry"),
    Case("checksum of 100 bytes", calls(checksum, b"x" * 100), BATCH, "checksum"),
    Case("checksum of 64 KiB", calls(checksum, b"x" * 65536), 10, "checksum"),
    Case("checksum of 64 KiB without the instruction for it", lambda directory, units: repeated(
        lambda: [checksum(b"x" * 65536, portable=True) for _ in range(units)]), 10, "checksum"),
)
