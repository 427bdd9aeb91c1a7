"""Types of the compiled bus.room."""

class Room:
    shard: int
    number: int
    start: int
    end: int
    position: int
    """What lies before it is the shard's."""
    joined_bytes: int
    """Behind it: of a body that is being put together."""
    kept_bytes: int
    """Behind these: the beginning of what is not complete yet."""
    def __init__(
        self, shard: int, number: int, path: str, mapped_bytes: int, start: int, end: int, beginning: bytes = b"",
    ) -> None: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
