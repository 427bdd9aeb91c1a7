"""Types of the compiled bus.lent."""

LENT_FILE_BYTES_MAX: int

class LentFile:
    def __init__(self, path: str, mapped_bytes: int) -> None: ...
    def read(self, position: int, n: int) -> bytes: ...
