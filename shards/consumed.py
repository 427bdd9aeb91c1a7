"""Which auto-delete queues have had a consumer, remembered across deaths of the shard's process.

A queue goes with its last consumer, but a consumer that goes while the shard is being
restarted takes no leave of it. So the next incarnation looks, once the gateways have
attached what they still have, which of these queues nobody consumes from any more.
The file (queue ids, u32, little-endian, in no order, some twice) lies in memory and
goes with the broker. Never decides that a queue goes.
"""
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

QUEUE_ID: Final = struct.Struct("<I")
FORGOTTEN_MAX: Final = 1024
"""Ids in the file beyond the living ones, before it is written anew."""


class ConsumedQueues:
    """The ids, and the file that keeps them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ids: set[int] = set()
        if path.exists():
            raw = path.read_bytes()
            self._ids = {queue_id for (queue_id,) in QUEUE_ID.iter_unpack(raw[: len(raw) // 4 * 4])}
        self._written = 0
        self._rewrite()

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._ids))

    def add(self, queue_id: int) -> None:
        """A consumer came."""
        if queue_id not in self._ids:
            self._ids.add(queue_id)
            self._file.write(QUEUE_ID.pack(queue_id))
            self._written += 1

    def discard(self, queue_id: int) -> None:
        """The queue is gone."""
        if queue_id in self._ids:
            self._ids.remove(queue_id)
            if self._written > 2 * len(self._ids) + FORGOTTEN_MAX:
                self._file.close()
                self._rewrite()

    def close(self) -> None:
        self._file.close()

    def _rewrite(self) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.write_bytes(b"".join(QUEUE_ID.pack(queue_id) for queue_id in self))
        fresh.rename(self._path)
        self._written = len(self._ids)
        self._file = self._path.open("ab", buffering=0)
