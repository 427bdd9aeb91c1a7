"""Throughput over time, in bounded memory: when there are too many points, every other one goes."""
from __future__ import annotations

from typing import Final

from bench.perf.result import Series

INTERVAL_S: Final = 0.1
LAST_INTERVAL_MIN_S: Final = 0.02
"""Shorter ones make rates of what is in one read."""
POINTS_MAX: Final = 400
NAMES: Final = ("published", "confirmed", "delivered", "acknowledged", "cycles", "replied")


class Timeline:
    """Totals at growing times, at first every tenth of a second."""

    def __init__(self) -> None:
        self._interval_s = INTERVAL_S
        self._points: list[tuple[float, dict[str, int]]] = []

    def due_s(self) -> float:
        """When the next point is wanted, from the start of the load."""
        return self._points[-1][0] + self._interval_s if self._points else 0.0

    def add(self, at_s: float, totals: dict[str, int]) -> None:
        self._points.append((at_s, {name: totals[name] for name in NAMES}))
        if len(self._points) > POINTS_MAX:
            self._points = self._points[::2]
            self._interval_s *= 2

    def end(self, at_s: float, totals: dict[str, int]) -> None:
        """A last point, without which what is soon over would not be seen; not one too near to the one before."""
        if self._points and at_s > self._points[-1][0] + LAST_INTERVAL_MIN_S:
            self.add(at_s, totals)

    def series(self) -> Series:
        """The rates between the points."""
        made = Series()
        for (from_s, earlier), (to_s, later) in zip(self._points, self._points[1:], strict=False):
            took_s = to_s - from_s
            if took_s <= 0:
                continue
            made.t_s.append(round(to_s, 3))
            publish, confirm, deliver, acknowledge, cycle, reply = (
                round((later[name] - earlier[name]) / took_s, 1) for name in NAMES)
            made.publish.append(publish)
            made.confirm.append(confirm)
            made.deliver.append(deliver)
            made.acknowledge.append(acknowledge)
            made.cycle.append(cycle)
            made.reply.append(reply)
        return made
