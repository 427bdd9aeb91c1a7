FULL: str
NO_ROOM: str
GONE: str
NOT_READY: str
REFUSED: str
LOST: str

class Move:
    """Some messages of one queue on their way to others."""

    @property
    def moved(self) -> int: ...
    @property
    def under_way(self) -> int: ...
    @property
    def returned(self) -> list[int]: ...
    @property
    def stopped(self) -> str | None: ...
