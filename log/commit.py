"""Group commit: one fdatasync for everything that was appended while the last one ran.

`CommitCycle` is the state machine, without threads, clock or disk: it says which ticket
to synchronise next. `GroupCommit` drives it with two thin threads: one synchronises
commits, through log/handover.pyx, the other does the store's chores, so that sealing a segment never delays a
confirm. A failed synchronisation is never repeated: a page that failed may be marked
clean already, so asking again would lie. The process has to exit then.
"""
from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

from log.disk import Disk
from log.handover import ASK_PYTHON, SyncHandover

if TYPE_CHECKING:
    from log.chores import Chore
    from log.segment import Segment

logger = logging.getLogger(__name__)


class CommitTicket:
    """The segments to synchronise so that everything up to `position` is on the disk."""

    __slots__ = ("position", "segments")

    def __init__(self, position: int, segments: list[Segment]) -> None:
        self.position = position
        self.segments = segments

    def synchronise(self) -> None:
        """In the sync thread. OSError where the disk failed."""
        directories = set()
        for segment in self.segments:
            segment.synchronise_data()
            if not segment.named:
                directories.add(segment.directory)
        for directory in directories:
            self.segments[0].disk.synchronise_directory(directory)
        for segment in self.segments:
            segment.named = True

    def descriptor(self) -> int:
        """The one file to synchronise; ASK_PYTHON where there is more to do, or the disk has its own way."""
        if len(self.segments) != 1:
            return ASK_PYTHON
        (segment,) = self.segments
        real = getattr(segment.disk.synchronise, "__func__", None) is Disk.synchronise
        return segment.data_descriptor if real and segment.named and segment.data_descriptor >= 0 else ASK_PYTHON


class CommitSource(Protocol):
    """What the cycle needs of the store."""

    def sync_target(self) -> CommitTicket | None:
        """Takes what was appended; OSError where it cannot even be written."""

    def committed(self, position: int) -> None:
        """It is on the disk."""


class CommitCycle:
    """At most one ticket is under way; what is appended meanwhile waits for the next."""

    def __init__(self, source: CommitSource) -> None:
        self.source = source
        self.under_way: CommitTicket | None = None
        self.failure: Exception | None = None

    def request(self) -> CommitTicket | None:
        """Something was appended: the ticket to synchronise now, None where one is under way or nothing is new."""
        if self.failure is not None or self.under_way is not None:
            return None
        self.under_way = self.source.sync_target()
        return self.under_way

    def finished(self) -> int:
        """The ticket under way is on the disk: the position that is durable now. The next may be requested."""
        ticket = self.under_way
        if ticket is None:
            raise RuntimeError("no commit is under way")
        self.under_way = None
        self.source.committed(ticket.position)
        return ticket.position

    def failed(self, error: Exception) -> None:
        """The disk failed: nothing is ever reported durable again."""
        self.failure = error
        self.under_way = None


class ChoreSource(CommitSource, Protocol):
    """What the threads need of the store."""

    @property
    def has_chores(self) -> bool: ...
    def take_chores(self) -> list[Chore]: ...


class GroupCommit:
    """Runs the cycle of a store for an event loop.

    `on_durable(position)` is called in the loop when everything up to `position` (see
    Store.appended_position) is on the disk; `on_failure(error)` once, when the disk failed or anything here did.
    """

    def __init__(self, store: ChoreSource, loop: asyncio.AbstractEventLoop, *,
                 on_durable: Callable[[int], None], on_failure: Callable[[Exception], None]) -> None:
        self.store = store
        self.cycle = CommitCycle(store)
        self._loop = loop
        self._on_durable = on_durable
        self._on_failure = on_failure
        self._handover = SyncHandover()
        self._by_python: CommitTicket | None = None
        self._error: Exception | None = None        # of that
        self._chores: SimpleQueue[Chore | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._synchronise, name="log sync", daemon=True),
            threading.Thread(target=self._tidy_up, name="log housekeeping", daemon=True),
        ]

    def start(self) -> None:
        self._loop.add_reader(self._handover.finished_descriptor, self._on_synchronised)
        for thread in self._threads:
            thread.start()
        self.request()

    def request(self) -> None:
        """Commits what was appended, and starts chores that are due. Cheap: call it at the end of every turn."""
        try:
            ticket = self.cycle.request()
        except OSError as error:
            self._fail(error)
            return
        if ticket is not None:
            descriptor = ticket.descriptor()
            if descriptor == ASK_PYTHON:
                self._by_python = ticket
            self._handover.ask(descriptor)
        if self.store.has_chores:
            for chore in self.store.take_chores():
                self._chores.put(chore)

    def close(self) -> None:
        """Waits for both threads. What was not requested is left to Store.close."""
        self._handover.end()
        self._chores.put(None)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        if not self._loop.is_closed():
            self._loop.remove_reader(self._handover.finished_descriptor)

    def _synchronise(self) -> None:
        while self._handover.serve():
            assert self._by_python is not None
            try:
                self._by_python.synchronise()
            except Exception as error:      # whatever it is: nothing is confirmed ever again
                self._error = error
            self._handover.finish()

    def _on_synchronised(self) -> None:
        number = self._handover.take()
        if number:
            self._fail(OSError(number, os.strerror(number)))
        elif self._error is not None:
            self._fail(self._error)
        else:
            self._finish()

    def _tidy_up(self) -> None:
        while (chore := self._chores.get()) is not None:
            try:
                chore.run()
            except Exception as error:
                self._call(self._fail, error)
                return
            self._call(self._guarded, chore.finish)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            logger.debug("the loop is closed already")

    def _finish(self) -> None:
        if self.cycle.failure is not None:
            return
        self._guarded(self._report)

    def _report(self) -> None:
        position = self.cycle.finished()
        self.request()
        self._on_durable(position)

    def _guarded(self, function: Callable[[], None]) -> None:
        """A loop only logs what its callbacks raise; here nobody would go on."""
        try:
            function()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if self.cycle.failure is None:
            self.cycle.failed(error)
            logger.critical("the log cannot be synchronised, the process has to stop: %s", error)
            self._on_failure(error)
