"""Queue ids: numbers that never come back, given out from blocks that are reserved in the store.

A crash skips what is left of a block; it never gives an id to a second queue.
"""
from __future__ import annotations

from typing import Final

from amqp091.errors import ResourceError
from broker.catalog.store import RESERVE_QUEUE_IDS
from topology.changes import Op
from topology.model import NAMED_QUEUE_ID_MAX

BLOCK_IDS: Final = 1024         # a commit to the disk at most once per so many transient queues


class QueueIds:
    """Knows which ids are free; the operation that it returns has to be stored before, or with, the id's queue."""

    def __init__(self, reserved: int) -> None:
        """`reserved`: the first id that no earlier process can have given out."""
        self._next = reserved
        self._reserved = reserved

    def take(self, count: int = 1) -> tuple[int, list[Op]]:
        """The first of so many new ids in a row, and what has to be stored for them."""
        if self._next + count > NAMED_QUEUE_ID_MAX + 1:
            raise ResourceError("no queue ids are left")
        queue_id = self._next
        self._next += count
        if self._next <= self._reserved:
            return queue_id, []
        self._reserved = queue_id + BLOCK_IDS
        return queue_id, [{"op": RESERVE_QUEUE_IDS, "upto": self._reserved}]
