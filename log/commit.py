"""Group commit: one fdatasync for everything that was appended while the last one ran.

`GroupCommit` is a state machine without threads, clock or disk: it says which ticket to
synchronise next. `CommitThread` is the thin thread that does so. A failed
synchronisation is never repeated: a page that failed may be marked clean already.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from log.segment import Segment


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
