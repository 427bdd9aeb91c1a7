"""One thing that is measured: how it is set up, and how long it then takes so many times."""
from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

Timed = Callable[[int], float]
"""Does it so many times, and returns the seconds that it took."""
NOW_MS: Final = 1_700_000_000_000


@dataclass(frozen=True)
class Case:
    """`prepare` is given an empty directory and the number of units, and may be told fewer in a test."""

    name: str
    prepare: Callable[[Path, int], Timed]
    units: int = 1                          # messages (or whatever `unit` says) that are done each time
    unit: str = "message"


def calls(function: Callable[..., object], *arguments: Any) -> Callable[[Path, int], Timed]:
    """A function that needs nothing prepared, called with the same arguments again and again."""

    def prepare(_: Path, units: int) -> Timed:
        return repeated(lambda: [function(*arguments) for _ in range(units)])

    return prepare


def repeated(once: Callable[[], object]) -> Timed:
    """What can be done again and again as it stands."""

    def timed(loops: int) -> float:
        began_s = time.perf_counter()
        for _ in range(loops):
            once()
        return time.perf_counter() - began_s

    return timed
