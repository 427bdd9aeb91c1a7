"""Deduplication: the arguments by which a queue drops what it has had before, as a value.

    x-message-deduplication     true: it does
    x-deduplication-header      the header whose value is a message's id. Without it: the header of this name if the
                                message has it, else its message-id
    x-cache-size                how many ids are remembered
    x-cache-ttl                 for how long (ms); without it as long as there is room

The names are LavinMQ's and those of RabbitMQ's plugin. Values only, checked by topology/arguments.py.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

DEDUPLICATION: Final = "x-message-deduplication"
DEDUPLICATION_HEADER: Final = "x-deduplication-header"
CACHE_SIZE: Final = "x-cache-size"
CACHE_TTL: Final = "x-cache-ttl"

CACHE_SIZE_DEFAULT: Final = 10_000
CACHE_SIZE_MAX: Final = 1_000_000
"""An id takes 40 to 80 bytes of its shard's memory, and about 110 of the log."""
HEADER_BYTES_MAX: Final = 255
"""A field name of the protocol is no longer."""


@dataclass(frozen=True, slots=True)
class Deduplication:
    """Which messages count as the same, and how long an id is remembered."""

    header: str | None = None
    """None: the rule without x-deduplication-header."""
    ids_max: int = CACHE_SIZE_DEFAULT
    window_ms: int | None = None
    """None: as long as there is room."""


def deduplication_of(arguments: Mapping[str, Any]) -> Deduplication | None:
    """What the arguments of a queue ask for; None: nothing."""
    if not arguments.get(DEDUPLICATION):
        return None
    return Deduplication(
        arguments.get(DEDUPLICATION_HEADER), arguments.get(CACHE_SIZE, CACHE_SIZE_DEFAULT), arguments.get(CACHE_TTL)
    )


def window_queue_id(queue_id: int) -> int:
    """The queue id under which a deduplicating queue keeps its ids in the log: taken together with its own."""
    return queue_id + 1
