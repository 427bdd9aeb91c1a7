from typing import Any

import numpy as np

from bench.perf.core.board import Board
from bench.perf.core.connection import Connection
from bench.perf.core.template import Template

UInt32s = np.ndarray[Any, np.dtype[np.uint32]]

class Producer(Connection):
    number: int
    sequence: int
    blocked: bool
    done: bool
    outstanding: int
    def __init__(
        self,
        board: Board,
        name: str,
        fd: int,
        frame_max: int,
        template: Template,
        number: int,
        keys: UInt32s,
        copies: UInt32s,
        quota: int | None = None,
        window: int = 0,
        rate: float = 0.0,
        offset_ns: int = 0,
    ) -> None: ...
