"""What the sweep does to one connection: the limit on its handshake, its heartbeats, the death of silent clients.

Called back by the wheel at least every VISIT_INTERVAL_S_MAX, so that the wheel forgets a connection that has ended
soon, however long a heartbeat its client chose.
"""
import logging
import math
from typing import TYPE_CHECKING, Final

from amqp091.constants import HEARTBEAT_FRAME
from gateway.handshake import ENDING, State
from gateway.heartbeat import Heartbeat

if TYPE_CHECKING:
    from gateway.connection import Connection

logger = logging.getLogger(__name__)

VISIT_INTERVAL_S_MAX: Final = 15.0
NEVER: Final = math.inf


class Liveness:
    """The timed duties of one connection."""

    __slots__ = (
        "_connection", "_due_s", "_handshake_deadline_s", "_next_beat_s", "_next_check_s", "heartbeat",
    )

    def __init__(self, connection: "Connection", now_s: float, handshake_timeout_s: float) -> None:
        self._connection: Connection | None = connection
        self._handshake_deadline_s = now_s + handshake_timeout_s
        self._next_beat_s = NEVER
        self._next_check_s = NEVER
        self.heartbeat = Heartbeat(0, 0, 0)
        self._schedule(now_s)

    def start_heartbeat(self, interval_s: int) -> None:
        """After tune-ok; 0 means none."""
        connection = self._connection
        if connection is None:
            return
        self.heartbeat = Heartbeat(interval_s, connection.wire.sent_bytes, connection.wire.received_bytes)
        if interval_s:
            now_s = connection.gateway.now_s()
            self._next_beat_s = now_s + self.heartbeat.send_interval_s
            self._next_check_s = now_s + interval_s
            self._schedule(now_s)

    def retire(self) -> None:
        """The connection is over, and not kept until the next visit."""
        self._connection = None

    def _schedule(self, now_s: float) -> None:
        if self._connection is None:
            return
        due_s = min(self._handshake_deadline_s, self._next_beat_s, self._next_check_s, now_s + VISIT_INTERVAL_S_MAX)
        self._connection.gateway.wheel.at(due_s, lambda now_s: self._visit(now_s, due_s))
        self._due_s = due_s

    def _visit(self, now_s: float, due_s: float) -> None:
        connection = self._connection
        if connection is None or due_s != self._due_s or connection.wire_lost or connection.state is State.ENDED:
            return                      # another visit has taken the place of this one, or none is needed
        if now_s >= self._handshake_deadline_s:
            self._check_handshake(connection)
        if now_s >= self._next_beat_s:
            self._next_beat_s = now_s + self.heartbeat.send_interval_s
            self._beat(connection)
        if now_s >= self._next_check_s:
            self._next_check_s = now_s + self.heartbeat.interval_s
            self._check_alive(connection)
        self._schedule(now_s)

    def _check_handshake(self, connection: "Connection") -> None:
        self._handshake_deadline_s = NEVER
        if connection.state is not State.RUNNING and connection.state not in ENDING:
            logger.error(
                "closing AMQP connection %s: handshake timeout in state %s", connection, connection.state.value
            )
            connection.cut_off()

    def _beat(self, connection: "Connection") -> None:
        if self.heartbeat.should_send(connection.wire.sent_bytes):
            connection.write(HEARTBEAT_FRAME)
            connection.wire.flush()
            self.heartbeat.sent_heartbeat(connection.wire.sent_bytes)

    def _check_alive(self, connection: "Connection") -> None:
        if connection.paused:
            self.heartbeat.pardon(connection.wire.received_bytes)
        elif self.heartbeat.is_dead(connection.wire.received_bytes):
            logger.error(
                "closing AMQP connection %s: missed heartbeats from client, timeout: %ds",
                connection, self.heartbeat.interval_s,
            )
            connection.cut_off()
