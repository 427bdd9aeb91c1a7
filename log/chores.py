"""What the store has done on the side: sealing, preparing and removing files.

A chore is run once, in the housekeeping thread, and touches only what it was given;
then `finish` is called in the thread of the loop. An OSError of a synchronisation
ends the process like one of a commit does.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from log.segment import Segment
    from log.store import Store


class Chore(Protocol):
    """One piece of housekeeping."""

    def run(self) -> None:
        """In the housekeeping thread."""

    def finish(self) -> None:
        """In the loop, after `run` has returned."""


class SealSegment:
    """Data, then index to the disk: the next start needs no scan of this segment."""

    def __init__(self, segment: Segment, now_ms: int) -> None:
        self.segment = segment
        self.now_ms = now_ms

    def run(self) -> None:
        if self.segment.durable:
            self.segment.synchronise_apart("data")
        self.segment.write_seal(self.now_ms)
        self.segment.trim()

    def finish(self) -> None:
        self.segment.sealing = False
        self.segment.sealed = True
        self.segment.close_files()


class RemoveFiles:
    """The files of a segment that nothing needs any more, and its mappings."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.synchronising = segment.synchronising

    def run(self) -> None:
        for path in self.segment.paths():
            self.segment.disk.remove(path)
        self.segment.free_files(self.synchronising)

    def finish(self) -> None:
        """Nothing is left to do."""


class PrepareSegment:
    """Makes the next durable segment, so that the loop finds it ready."""

    def __init__(self, store: Store, parameters: dict[str, Any]) -> None:
        self.store = store
        self.parameters = parameters
        self.segment: Segment | None = None

    def run(self) -> None:
        from log.segment import Segment
        try:
            self.segment = Segment.create(**self.parameters)
        except OSError:
            # A full disk is reported to the publisher whose message needs the segment.
            return
        self.segment.disk.synchronise_directory(self.segment.directory)
        self.segment.named = True

    def finish(self) -> None:
        self.store.use_prepared(self.segment)
