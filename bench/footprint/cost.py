"""The CPU time that a broker takes for a message, and how it compares with few and with many of something."""
from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from bench.footprint.row import Row
from bench.footprint.usage import cpu_s
from bench.perf.local_broker import LocalBroker

RATIO_MAX: Final = 1.5
"""The target."""
FEW: Final = 10
MESSAGES: Final = 2_000_000
"""Of a run at full scale; no fewer than everything has at least once."""
US: Final = 1e6

Cost = tuple[float, float]
"""Microseconds of CPU time per message, messages per second."""


def timed(broker: LocalBroker, messages: int, run: Callable[[], None]) -> Cost:
    """Of so many messages in `run`."""
    cpu_before, began_s = cpu_s(broker), time.monotonic()
    run()
    took_s = time.monotonic() - began_s
    return (cpu_s(broker) - cpu_before) * US / messages, messages / took_s


def ratio(subject: str, quantity: str, few: int, many: int, cost_of: Callable[[int], Cost]) -> Row:
    """Measured with few and with many."""
    return compared(subject, quantity, cost_of(few), cost_of(many))


def compared(subject: str, quantity: str, small: Cost, large: Cost) -> Row:
    return Row(
        f"growth: {subject}", quantity, "x CPU", round(large[0] / small[0], 2) if small[0] else 0.0, RATIO_MAX,
        {"us of CPU, few": round(small[0], 3), "many": round(large[0], 3),
         "msgs/s, few": round(small[1]), "msgs/s, many": round(large[1])})
