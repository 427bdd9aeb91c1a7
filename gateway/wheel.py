"""One sweep per process for everything that is due at a time: heartbeats, handshake limits, delayed closes.

A timer per connection would cost the loop a heap entry each; here a callback waits
in the bucket of its second fraction. The wheel reads no clock: it is told the time.
"""
from collections.abc import Callable
from typing import Final

TICK_S: Final = 0.25
"""Resolution. Things are done up to one tick late, never early."""


class Wheel:
    """Callbacks by the tick at which they are due. They cannot be cancelled: each looks whether it still applies."""

    __slots__ = ("_buckets", "_tick")

    def __init__(self, now_s: float) -> None:
        self._buckets: dict[int, list[Callable[[float], None]]] = {}
        self._tick = int(now_s / TICK_S)

    def at(self, due_s: float, callback: Callable[[float], None]) -> None:
        """Calls back with the time then, in the first advance that is not before `due_s`."""
        tick = max(int(due_s / TICK_S) + 1, self._tick + 1)
        self._buckets.setdefault(tick, []).append(callback)

    def advance(self, now_s: float) -> None:
        """Calls what is due."""
        now_tick = int(now_s / TICK_S)
        while self._tick < now_tick:
            if not self._buckets:
                self._tick = now_tick
                return
            self._tick += 1
            for callback in self._buckets.pop(self._tick, ()):
                callback(now_s)
