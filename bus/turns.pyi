"""Types of the compiled bus.turns."""
import asyncio
from collections.abc import Callable
from typing import Any

from bus.doorbell import Doorbell
from bus.linger import Linger
from bus.links import Key, LinkEnd

class LinkTurns:
    _closed: bool
    _linger: Linger
    @property
    def _loop(self) -> asyncio.AbstractEventLoop: ...
    @property
    def _ends(self) -> dict[Key, LinkEnd]:
        """To be changed by _add and _remove."""
    @property
    def _doorbell(self) -> Doorbell | None: ...
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_batch: Callable[[LinkEnd, memoryview], None],
        on_writable: Callable[[LinkEnd], None],
        on_idle: Callable[[], None],
        on_failure: Callable[[BaseException], None] | None,
        doorbell: Doorbell | None,
    ) -> None: ...
    def schedule(self) -> None:
        """A turn soon, if none is due."""
    def began(self) -> int:
        """The process works without a turn of its links: nobody needs to ring. `rest` must follow, whatever happens."""
    def rest(self, wait: bool = True) -> int:
        """The end of such work: what peers have answered meanwhile is taken at once, then the process sleeps.

        The answer of a peer that had to be woken is waited for a moment, where the caller likes (bus/linger.pyx).
        """
    def take(self) -> int:
        """In the middle of such work: what peers have answered so far."""
    def _add(self, key: Key, end: LinkEnd) -> None: ...
    def _remove(self, key: Key) -> None: ...
    def _on_doorbell(self) -> None:
        """Callback of the doorbell's descriptor: a turn now."""
    def _call_batch(self, end: LinkEnd, view: memoryview) -> None: ...
    def _call(self, callback: Callable[[Any], None], end: LinkEnd) -> None: ...
    def _broken(self, end: LinkEnd, error: Exception) -> None:
        """Hook: what came over the link makes no sense."""
