"""Publishers to flooded queues are read at a measured pace (the queues' shards say which: shards/engine/flood.pyx).

After each read that held a publish to such a queue the connection rests: until the queue is flooded no more, or for
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
        self._flooded: dict[int, int] = {}          # queue id: its shard
        self._resting: dict[int, dict[Connection, asyncio.TimerHandle]] = {}    # by the queue that they fed

    def set_flooded(self, shard: int, queue_id: int, flooded: bool) -> None:
        """A shard's word. At the end of a flood those who fed it go on."""
        if flooded:
            self._flooded[queue_id] = shard
            return
        self._flooded.pop(queue_id, None)
        for connection in list(self._resting.get(queue_id, ())):
            self._go_on(connection, queue_id)

    def forget(self, shard: int) -> list[int]:
        """The shard is down: of its queues none is flooded. Returns their ids."""
        gone = [queue_id for queue_id, of_shard in self._flooded.items() if of_shard == shard]
        for queue_id in gone:
            self.set_flooded(shard, queue_id, False)
        return gone

    def rest(self, connection: "Connection") -> None:
        """It has just fed a flood."""
        queue_id, connection.feeds_flood = connection.feeds_flood, 0
        if queue_id not in self._flooded or connection.has_settled:
            return
        resting = self._resting.setdefault(queue_id, {})
        if connection not in resting:
            connection.pause(PAUSE_PACE)
            connection.wire.stop_reading()
            resting[connection] = self._loop.call_later(REST_S, self._go_on, connection, queue_id)

    def _go_on(self, connection: "Connection", queue_id: int) -> None:
        resting = self._resting[queue_id]
        resting.pop(connection).cancel()
        if not resting:
            del self._resting[queue_id]
        connection.gateway.guarded(connection, lambda: connection.go_on(PAUSE_PACE))
