"""The bus: batches being written, and the ring of shared memory between two processes (here both ends in one)."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from bench.micro.case import Case, Timed, repeated
from bus.batch import Batch
from bus.doorbell import Doorbell, create_board, map_board
from bus.ring import RingEnd, create_link_file

RECORD: Final = b"x" * 160
"""As long as a message of 100 bytes is on the bus."""
RING_BYTES: Final = 4 << 20
LARGE: Final = 1000
SMALL: Final = 1


def write_batch(_: Path, units: int) -> Timed:
    batch = Batch()

    def once() -> None:
        for _ in range(units):
            batch.write(RECORD)
        batch.clear()

    return repeated(once)


def through_ring(directory: Path, units: int) -> Timed:
    """A batch sent, received and released."""
    path = str(directory / "link")
    create_link_file(path, RING_BYTES)
    create_board(str(directory / "board"), 2)
    board = map_board(str(directory / "board"))
    bells = [Doorbell(board, slot, os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)) for slot in range(2)]
    gateway = RingEnd(path, False, "shard", 0, 1, bells[1])
    shard = RingEnd(path, True, "gateway", 0, 1, bells[0])
    batch = RECORD * units

    def once() -> None:
        gateway.send(batch)
        while gateway.pending_bytes or shard.has_input():
            gateway.pump()
            if shard.receive() is not None:
                shard.release()

    return repeated(once)


CASES: Final = (
    Case("batch: write", write_batch, LARGE, "record"),
    Case("ring: a batch of 1,000 records", through_ring, LARGE, "record"),
    Case("ring: a batch of one record", through_ring, SMALL, "batch"),
)
