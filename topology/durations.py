"""Ages as RabbitMQ spells them, a number and one unit: `7D`. Of x-max-age, its policy, and x-stream-offset."""
from __future__ import annotations

import re
from typing import Final

AGE: Final = re.compile(r"([0-9]{1,19})([YMDhms])")
"""More digits than this are no age of anything."""

_SECOND_MS: Final = 1000
_DAY_MS: Final = 24 * 3600 * _SECOND_MS
UNIT_MS: Final = {
    "Y": 365 * _DAY_MS,
    "M": 30 * _DAY_MS,
    "D": _DAY_MS,
    "h": 3600 * _SECOND_MS,
    "m": 60 * _SECOND_MS,
    "s": _SECOND_MS,
}
AGE_MS_MAX: Final = (1 << 63) - 1
"""What compiled code counts with; older than anything."""


def age_ms(text: str) -> int | None:
    """The age in milliseconds, at most AGE_MS_MAX; None where the text is none, or says 0."""
    match = AGE.fullmatch(text)
    if match is None or int(match[1]) == 0:
        return None
    return min(int(match[1]) * UNIT_MS[match[2]], AGE_MS_MAX)
