"""Types of the compiled shards.turn."""
from collections.abc import Callable

from bus.links import LinkEnd
from log.store import Store
from shards.engine import Engine
from shards.relay import Relay
from shards.requests import Requests
from shards.shard import Alarm, Commit, Links
from shards.watermarks import Watermark

EARLY_FLUSH_BYTES: int

def wall_clock_ms() -> int:
    """The time that messages carry."""

class ShardTurn:
    links: Links
    commit: Commit
    alarm: Alarm
    @property
    def engine(self) -> Engine: ...
    @property
    def store(self) -> Store: ...
    @property
    def requests(self) -> Requests: ...
    @property
    def relay(self) -> Relay: ...
    @property
    def _clock_ms(self) -> Callable[[], int]: ...
    @property
    def _ends(self) -> dict[int, LinkEnd]:
        """By sender."""
    @property
    def _watermarks(self) -> dict[int, Watermark]:
        """By sender."""
    @property
    def _broken(self) -> set[LinkEnd]:
        """Links that carried nonsense: what else comes over them is not looked at."""
    def __init__(
        self,
        engine: Engine,
        store: Store,
        requests: Requests,
        relay: Relay,
        clock_ms: Callable[[], int],
        report_broken: Callable[[LinkEnd], None],
    ) -> None: ...
    def set_clock(self) -> None:
        """Before the engine is asked something outside a batch."""
    def on_batch(self, link: LinkEnd, view: memoryview) -> None:
        """All records of a batch, in order."""
    def on_idle(self) -> None:
        """The end of a turn: what it produced leaves, what it appended is committed."""
    def _take_back(self) -> None:
        """Segments that gateways are done with may be used again."""
    def _sender(self, link: LinkEnd) -> int: ...
