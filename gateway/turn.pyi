"""Types of the compiled gateway.turn."""
import asyncio

from bus.links import LinkEnd
from bus.turns import LinkTurns
from gateway.core import GatewayCore
from gateway.gateway import Links

QUIET_S: float
READ_BUFFER_BYTES: int
"""As much as one read takes."""
EARLY_SEND_BYTES: int
"""Input beyond which what it became leaves at once."""

class GatewayTurn(GatewayCore):
    links: Links
    turns: LinkTurns | None
    """Of these links, where a process has them: what shards have answered by the end of a turn is taken at once."""
    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    @property
    def read_buffer(self) -> memoryview:
        """Of all sockets: what it has is handled before the next read."""
    @property
    def _congested(self) -> set[int]:
        """Shards whose links are."""
    def __init__(self, shard_count: int, max_message_bytes: int, loop: asyncio.AbstractEventLoop) -> None: ...
    def wake(self) -> None:
        """There may be something to send: at the end of the turn."""
    def flush(self) -> None:
        """The end of a turn that began with what clients sent."""
    def end_turn(self) -> None:
        """The end of a turn of the links."""
    def end_quiet(self) -> None:
        """Shards that sleep are woken for acks that they were sent without."""
    def send_outgoing(self, shard: int) -> None:
        """Also a hook of the core, for a batch that has grown large within a turn."""
    def on_link_batch(self, link: LinkEnd, view: memoryview) -> None: ...
