"""How far a shard has come with the batches of one gateway: applied, and on the disk.

A state machine: it is told what was applied and what was synchronised, and says what the
gateway may hear. A batch without anything for the disk is durable as soon as all before
it are. Batches are counted from 1 per link.
"""
from collections import deque


class Watermark:
    """The two counts of one link."""

    def __init__(self) -> None:
        self.processed = 0
        self._waiting: deque[tuple[int, int]] = deque()     # batch, position in the log that it needs
        self._told = (0, 0)

    @property
    def durable(self) -> int:
        """The last batch of which, and of all before it, nothing waits for the disk."""
        return self._waiting[0][0] - 1 if self._waiting else self.processed

    @property
    def settled(self) -> bool:
        """Nothing waits for the disk, and everything was told."""
        return self._told == (self.processed, self.processed)

    def applied(self, position: int | None) -> None:
        """The next batch was applied; it has appended up to `position`, or nothing that belongs on the disk."""
        self.processed += 1
        if position is not None:
            self._waiting.append((self.processed, position))

    def durable_up_to(self, position: int) -> None:
        """Everything up to this position of the log is on the disk."""
        while self._waiting and self._waiting[0][1] <= position:
            self._waiting.popleft()

    def news(self) -> tuple[int, int] | None:
        """(processed, durable) where they have moved since the last call."""
        now = (self.processed, self.durable)
        if now == self._told:
            return None
        self._told = now
        return now
