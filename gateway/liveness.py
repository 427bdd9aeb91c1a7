"""What the sweep does to one connection: the limit on its handshake, its heartbeats, the death of silent clients.

Called back by the wheel; stops by itself when the connection has ended.
"""
import logging
from typing import TYPE_CHECKING

from amqp091.constants import HEARTBEAT_FRAME
from gateway.handshake import ENDING, State
from gateway.heartbeat import Heartbeat

if TYPE_CHECKING:
    from gateway.connection import Connection

logger = logging.getLogger(__name__)


class Liveness:
    """The timed duties of one connection."""

    def __init__(self, connection: "Connection", handshake_deadline_s: float) -> None:
        self._connection = connection
        self.heartbeat = Heartbeat(0, 0, 0)
        connection.gateway.wheel.at(handshake_deadline_s, self._check_handshake)

    def _check_handshake(self, now_s: float) -> None:
        connection = self._connection
        if connection.state not in ENDING and connection.state is not State.RUNNING and not connection.wire_lost:
            logger.error(
                "closing AMQP connection %s: handshake timeout in state %s", connection, connection.state.value
            )
            connection.cut_off()

    def start_heartbeat(self, interval_s: int) -> None:
        """After tune-ok; 0 means none."""
        connection = self._connection
        self.heartbeat = Heartbeat(interval_s, connection.wire.sent_bytes, connection.wire.received_bytes)
        if interval_s:
            now_s = connection.gateway.now_s()
            connection.gateway.wheel.at(now_s + self.heartbeat.send_interval_s, self._beat)
            connection.gateway.wheel.at(now_s + interval_s, self._check_alive)

    def _beat(self, now_s: float) -> None:
        connection = self._connection
        if self._over():
            return
        if self.heartbeat.should_send(connection.wire.sent_bytes):
            connection.write(HEARTBEAT_FRAME)
            connection.wire.flush()
            self.heartbeat.sent_heartbeat(connection.wire.sent_bytes)
        connection.gateway.wheel.at(now_s + self.heartbeat.send_interval_s, self._beat)

    def _check_alive(self, now_s: float) -> None:
        connection = self._connection
        if self._over():
            return
        if connection.paused:
            self.heartbeat.pardon(connection.wire.received_bytes)
        elif self.heartbeat.is_dead(connection.wire.received_bytes):
            logger.error(
                "closing AMQP connection %s: missed heartbeats from client, timeout: %ds",
                connection, self.heartbeat.interval_s,
            )
            connection.cut_off()
            return
        connection.gateway.wheel.at(now_s + self.heartbeat.interval_s, self._check_alive)

    def _over(self) -> bool:
        return self._connection.wire_lost or self._connection.state is State.ENDED
