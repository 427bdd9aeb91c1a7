from bench.perf.core.board import Board
from bench.perf.core.connection import Connection

class Churner(Connection):
    def __init__(
        self,
        board: Board,
        name: str,
        fd: int,
        frame_max: int,
        script: list[tuple[bytes, tuple[int, int]]],
        cycle_steps: int,
        quota: int | None = None,
        reconnects: bool = False,
    ) -> None: ...
