HEAD: dict[str, int]
HEAD_COUNT: int
COUNTER_COUNT: int
WORKER_WORDS: int
SETUP: int
CONSUME: int
RUN: int
STOP: int
DONE: int
COUNTERS: dict[str, int]

class Board:
    def __init__(self, memory: object, worker: int = 0) -> None: ...
