from bench.perf.core.board import Board
from bench.perf.core.producer import Producer, UInt32s
from bench.perf.core.template import Template

class Requester(Producer):
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
        *,
        start: bytes,
    ) -> None: ...
