"""Publishers to flooded queues are read at a measured pace (the queues' shards say which: shards/engine/flood.pyx).

After each read that held a publish to such a queue the connection rests: until no queue is flooded any more, or for
REST_S. So the time that a core has goes to the consumers, and publishers go at the pace of these. A connection that
acknowledges does not rest: its acknowledgements would wait behind its publishes, and these for those.
"""
import asyncio
from typing import TYPE_CHECKING, Final

from gateway.core import PAUSE_PACE

if TYPE_CHECKING:
    from gateway.connection import Connection

REST_S: Final = 0.004


class Pacing:
    """The connections of one gateway that rest."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._resting: dict[Connection, asyncio.TimerHandle] = {}
        self._flooded: dict[int, int] = {}          # queue id: its shard

    def set_flooded(self, shard: int, queue_id: int, flooded: bool) -> None:
        """A shard's word. With the last flood everybody goes on."""
        if flooded:
            self._flooded[queue_id] = shard
        else:
            self._flooded.pop(queue_id, None)
        if not self._flooded:
            self._all_go_on()

    def forget(self, shard: int) -> list[int]:
        """The shard is down: of its queues none is flooded. Returns their ids."""
        gone = [queue_id for queue_id, of_shard in self._flooded.items() if of_shard == shard]
        for queue_id in gone:
            self.set_flooded(shard, queue_id, False)
        return gone

    def rest(self, connection: "Connection") -> None:
        """It has just fed a flood."""
        connection.feeds_flood = False
        if self._flooded and connection not in self._resting and not connection.has_settled:
            connection.pause(PAUSE_PACE)
            connection.wire.stop_reading()
            self._resting[connection] = self._loop.call_later(REST_S, self._go_on, connection)

    def _all_go_on(self) -> None:
        for connection in list(self._resting):
            self._go_on(connection)

    def _go_on(self, connection: "Connection") -> None:
        self._resting.pop(connection).cancel()
        connection.gateway.guarded(connection, lambda: connection.go_on(PAUSE_PACE))
