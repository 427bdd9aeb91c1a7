"""Group commit of topology changes: what is asked for while one transaction is under way shares the next.

Owns the order of changes and their numbers. A transaction that waits for the
disk runs in a thread; one that touches only transient objects is over sooner
than a thread would have woken, and runs in the loop.
"""
from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from broker.catalog.store import RESERVE_QUEUE_IDS, StoreFull, needs_disk
from topology.changes import Op

OPS_PER_TRANSACTION_MAX: Final = 10_000


class Committer:
    """Takes operations, writes them in batches, hands each batch on with its version once it is committed."""

    def __init__(
        self,
        write: Callable[[list[Op]], None],
        on_committed: Callable[[int, list[Op]], None],
        on_full: Callable[[StoreFull], None],
    ) -> None:
        """`on_full` is called when nothing of a batch, nor of what was submitted since, has been kept."""
        self._write = write
        self._on_committed = on_committed
        self._on_full = on_full
        self._open: list[list[Op]] = [[]]       # batches that wait; the last takes what is submitted
        self._taken = 0                         # the version of the last batch that was taken
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="catalog-commit")

    @property
    def last_version(self) -> int:
        """The version that holds everything submitted so far."""
        return self._taken + len(self._open) - (0 if self._open[-1] else 1)

    def submit(self, ops: list[Op]) -> None:
        """The operations belong to one batch, in the order in which they were submitted."""
        if self._open[-1] and len(self._open[-1]) + len(ops) > OPS_PER_TRANSACTION_MAX:
            self._open.append([])
        self._open[-1].extend(ops)
        self._wake.set()

    async def run(self) -> None:
        """Commits until it is cancelled. Any error but a full disk ends it: what is on the disk is then unknown."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._open[0]:
                await self._commit_first()

    async def _commit_first(self) -> None:
        ops = self._open.pop(0)
        if not self._open:
            self._open.append([])
        self._taken += 1
        try:
            if needs_disk(ops):
                await asyncio.get_running_loop().run_in_executor(self._thread, self._write, ops)
            else:
                self._write(ops)
        except StoreFull as full:
            self._taken -= 1
            self._open = [[]]
            self._on_full(full)
            return
        self._on_committed(self._taken, [op for op in ops if op["op"] != RESERVE_QUEUE_IDS])

    def close(self) -> None:
        self._thread.shutdown()
