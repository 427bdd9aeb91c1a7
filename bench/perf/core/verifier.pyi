from typing import Any

import numpy as np

from bench.perf.core.board import Board

UInt32s = np.ndarray[Any, np.dtype[np.uint32]]
UInt64s = np.ndarray[Any, np.dtype[np.uint64]]

class Verifier:
    producers: int
    queues: int
    def __init__(
        self,
        board: Board,
        run: int,
        producers: int,
        all_queues: int,
        queue_numbers: UInt32s,
        ranks: np.ndarray[Any, np.dtype[np.int32]] | None = None,
        any_run: bool = False,
    ) -> None: ...
    def deliver(
        self,
        queue: int,
        producer: int,
        sequence: int,
        last: UInt64s,
        redelivered: bool = False,
        run: int | None = None,
    ) -> None: ...
