"""Why publishers are held back, and who is: resource alarms of the broker, full links to shards.

Owns the alarm state and the connections that stopped at a publish. Connections tell the client
(connection.blocked) themselves; this only remembers whom to wake.
"""
from typing import Final, Protocol

MEMORY: Final = "memory"
DISK: Final = "disk"
ALARM: Final = -1
"""In place of a shard's index: the connection is held by an alarm."""


class Held(Protocol):
    """A connection that waits to publish."""

    def release_publish(self) -> None: ...


class Flow:
    """Alarms and held publishers of one gateway."""

    def __init__(self) -> None:
        self._alarms: tuple[str, ...] = ()
        self._held: dict[int, dict[Held, None]] = {}

    @property
    def alarmed(self) -> bool:
        return bool(self._alarms)

    @property
    def reason(self) -> str:
        """The text of connection.blocked."""
        return "low on " + " & ".join(self._alarms)

    def set_alarms(self, memory: bool, disk: bool) -> bool:
        """The supervisor's word. True when the last alarm has cleared: `release(ALARM)` is due."""
        before = self.alarmed
        self._alarms = tuple(name for name, raised in ((MEMORY, memory), (DISK, disk)) if raised)
        return before and not self.alarmed

    def hold(self, connection: Held, cause: int) -> None:
        """The connection stopped at a publish because of a shard's link, or ALARM."""
        self._held.setdefault(cause, {})[connection] = None

    def forget(self, connection: Held) -> None:
        """The connection is ending."""
        for held in self._held.values():
            held.pop(connection, None)

    def release(self, cause: int) -> None:
        """The cause has gone: all go on, in the order in which they stopped."""
        for connection in self._held.pop(cause, {}):
            connection.release_publish()
