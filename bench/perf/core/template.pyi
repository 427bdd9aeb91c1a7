STAMP_SIZE: int

class Template:
    keys: int
    run: int
    def __init__(self, heads: list[bytes], tail: bytes, run: int = 0) -> None: ...
    def message(self, key: int, time_ns: int, sequence: int, producer: int) -> bytes: ...
