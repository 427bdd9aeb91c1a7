"""The one timer of a shard: goes off when the engine has something due.

The engine's times are wall-clock times, as messages carry them; the loop's are not. So it never sleeps for longer than
RECHECK_MS at once: a wall clock that is set moves what is due by that at most.
"""
import asyncio
from collections.abc import Callable
from typing import Final

RECHECK_MS: Final = 60_000


class Alarm:
    """Calls `ring` at a wall-clock time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock_ms: Callable[[], int], ring: Callable[[], None]) -> None:
        self._loop = loop
        self._clock_ms = clock_ms
        self._ring = ring
        self._at_ms: int | None = None
        self._handle: asyncio.TimerHandle | None = None

    def set(self, at_ms: int | None) -> None:
        """The time to go off, None for never; the one before is void."""
        if at_ms == self._at_ms:
            return
        self.cancel()
        self._at_ms = at_ms
        if at_ms is not None:
            wait_ms = min(max(0, at_ms - self._clock_ms()), RECHECK_MS)
            self._handle = self._loop.call_later(wait_ms / 1000, self._off)

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._at_ms = None

    def _off(self) -> None:
        self._handle = self._at_ms = None
        self._ring()
