from typing import Any

import numpy as np

from bench.perf.core.board import Board
from bench.perf.core.connection import Connection
from bench.perf.core.verifier import Verifier

class Consumer(Connection):
    def __init__(
        self,
        board: Board,
        name: str,
        fd: int,
        frame_max: int,
        start: bytes,
        queues: np.ndarray[Any, np.dtype[np.uint32]],
        verifier: Verifier | None = None,
        ack_every: int = 1,
        rate: float = 0.0,
    ) -> None: ...
