"""How long a message that came back waits before it is ready again: two ways to say it, one value.

Warren's own arguments grow the pause by a factor, for queues of both types; RabbitMQ's (4.3, quorum queues) by the
same step each time. Where a queue has both, Warren's own count. Values only, checked by topology/arguments.py.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

BACKOFF_MIN: Final = "x-redelivery-backoff-min"
BACKOFF_FACTOR: Final = "x-redelivery-backoff-factor"
BACKOFF_MAX: Final = "x-redelivery-backoff-max"
FACTOR_DEFAULT: Final = 2.0
FACTOR_MAX: Final = 1000.0
"""Beyond this the second pause is the longest there is."""
MAX_MS_DEFAULT: Final = 24 * 3600 * 1000
"""A day, where no maximum is given: who waits longer than that says so."""

RETRY_TYPE: Final = "x-delayed-retry-type"
RETRY_MIN: Final = "x-delayed-retry-min"
RETRY_MAX: Final = "x-delayed-retry-max"
RETRY_ALL: Final = "all"
RETRY_FAILED: Final = "failed"
RETRY_RETURNED: Final = "returned"
RETRY_TYPES: Final = ("disabled", RETRY_ALL, RETRY_FAILED, RETRY_RETURNED)


@dataclass(frozen=True, slots=True)
class Backoff:
    """The pause before a message that came back is ready again, by the number of its deliveries so far.

    min_ms * factor ** (deliveries - 1), or min_ms * deliveries where factor is None; at most max_ms.
    `of_failed`: after basic.reject or the end of its channel or consumer; `of_given_back`: after basic.nack or recover.
    """

    min_ms: int
    factor: float | None
    max_ms: int
    of_failed: bool = True
    of_given_back: bool = True


def backoff_of(arguments: Mapping[str, Any]) -> Backoff | None:
    """What the arguments of a queue ask for; None: what comes back is ready at once."""
    min_ms = arguments.get(BACKOFF_MIN)
    if min_ms:
        factor = float(arguments.get(BACKOFF_FACTOR, FACTOR_DEFAULT))
        return Backoff(min_ms, factor, arguments.get(BACKOFF_MAX, max(min_ms, MAX_MS_DEFAULT)))
    kind, step_ms = arguments.get(RETRY_TYPE), arguments.get(RETRY_MIN, 0)
    if step_ms and kind in (RETRY_ALL, RETRY_FAILED, RETRY_RETURNED):
        return Backoff(
            step_ms, None, arguments.get(RETRY_MAX, max(step_ms, MAX_MS_DEFAULT)),
            of_failed=kind != RETRY_RETURNED, of_given_back=kind != RETRY_FAILED,
        )
    return None
