"""The consumer argument x-stream-offset: where in a stream a consumer begins.

    first, last, next         the oldest message there is, the newest there is, what is published from now on
    an integer                that offset; before the first one that still exists it is the first
    a timestamp               the first message received at that time or later
    an age, `1h`              the same, that long ago

Values only. The gateway refuses what is none of these, the shard looks the place up.
"""
from __future__ import annotations

from enum import IntEnum
from typing import Any, Final, NamedTuple

from amqp091.values import Timestamp
from topology.durations import age_ms
from topology.value_types import INTEGER_TYPES, type_name

STREAM_OFFSET: Final = "x-stream-offset"
NUMBER_MAX: Final = (1 << 63) - 1


class Start(IntEnum):
    """What the number of a StreamOffset means. shards/engine/stream.pxd has the same numbers."""

    FIRST = 0
    LAST = 1
    NEXT = 2
    OFFSET = 3
    TIME_MS = 4


class StreamOffset(NamedTuple):
    """Where a consumer begins. The number is an offset or a time in milliseconds since 1970."""

    start: Start
    number: int = 0


NEXT: Final = StreamOffset(Start.NEXT)
WORDS: Final = {"first": StreamOffset(Start.FIRST), "last": StreamOffset(Start.LAST), "next": NEXT}


def stream_offset(value: Any, now_ms: int) -> StreamOffset | None:
    """What a value of x-stream-offset means at this time; None where it means nothing."""
    if isinstance(value, Timestamp):
        return StreamOffset(Start.TIME_MS, min(int(value) * 1000, NUMBER_MAX))
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        if value in WORDS:
            return WORDS[value]
        ago_ms = age_ms(value)
        return None if ago_ms is None else StreamOffset(Start.TIME_MS, max(0, now_ms - ago_ms))
    if type_name(value) in INTEGER_TYPES:
        return StreamOffset(Start.OFFSET, min(max(0, value), NUMBER_MAX))
    return None
