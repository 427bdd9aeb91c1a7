"""The end of a connection, however it comes: what is given up, in which order, and who is told.

Channels, consumers and exclusive queues go first, the last word comes after, and the handles are free only
when every shard has answered. Sends nothing but the closing methods.
"""
import asyncio
import logging
from typing import TYPE_CHECKING

from amqp091.errors import AMQPError, FrameError
from amqp091.method_table import ConnectionClose, ConnectionCloseOk
from gateway.core import PAUSE_HELD
from gateway.handshake import CLOSE_OK_WAIT_S_MAX, ENDING, SILENT_CLOSE_DELAY_S, State
from gateway.refusal import closing_method
from gateway.wire import NO_WIRE

if TYPE_CHECKING:
    from gateway.connection import Connection

logger = logging.getLogger(__name__)


class Ending:
    """How one connection ends."""

    __slots__ = ("_connection", "_crossed", "_release", "_told_close", "told_catalog")

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._release: asyncio.Task[None] | None = None
        self._told_close = False
        self.told_catalog = False       # from here on it is not reported as one that counts
        self._crossed = False

    # what is given up

    def release(self) -> "asyncio.Task[None]":
        """Gives everything up, once; done when shards and catalog have."""
        if self._release is None:
            self._release = self._connection.gateway.spawn(self._give_up())
        return self._release

    async def _give_up(self) -> None:
        connection = self._connection
        gateway = connection.gateway
        if connection.held_by is not None:
            gateway.flow.forget(connection)
            connection.held_by = None
            connection.resume(PAUSE_HELD)       # to hear the close-ok; everything else is dropped by now
            connection.wire.resume_reading()
        await connection.handler_ended()        # an exclusive queue may be on its way
        shards: set[int] = set()
        for channel in connection.open_channels():
            shards.update(channel.shards())
            channel.close()
        if shards:
            message = {"verb": "close_connection", "connection": connection.handle}
            await asyncio.gather(
                *(gateway.requests.ask(shard, message, moot_when_down=True) for shard in sorted(shards))
            )
        self.told_catalog = True
        if connection.owns_queues or connection.counted:
            await gateway.ask_catalog("connection.closed", owner=connection.id)

    # the broker's wish

    async def say_farewell(self, error: AMQPError) -> None:
        """connection.close with the reason; whoever does not answer is cut off."""
        connection = self._connection
        await self.release()
        if connection.wire_lost:
            return
        connection.send(closing_method(ConnectionClose, error))
        self._told_close = True
        if self._crossed:
            connection.send(ConnectionCloseOk())
        connection.gateway.wake()
        connection.gateway.wheel.at(
            connection.gateway.now_s() + self._answer_wait_s(error), lambda _: connection.wire.abort()
        )

    def _answer_wait_s(self, error: AMQPError) -> float:
        if isinstance(error, FrameError):
            return SILENT_CLOSE_DELAY_S         # no frame can be found in what follows, so no close-ok either
        interval_s = self._connection.liveness.heartbeat.interval_s
        return min(interval_s, CLOSE_OK_WAIT_S_MAX) if interval_s else CLOSE_OK_WAIT_S_MAX

    def cross(self) -> None:
        """The client's connection.close met ours: it gets its close-ok, behind our close."""
        self._crossed = True
        if self._told_close:
            self._connection.send(ConnectionCloseOk())

    # the client's wish

    async def oblige(self) -> None:
        """connection.close came: close-ok once everything is given up."""
        connection = self._connection
        await self.release()
        duration_s = (connection.gateway.wall_clock_ms() - connection.connected_at_ms) / 1000
        logger.info("closing AMQP connection %s, duration: %.1fs", connection.described(), duration_s)
        if not connection.wire_lost:
            connection.send(ConnectionCloseOk())
            self.agree()

    def agree(self) -> None:
        """Both sides have said it."""
        self._connection.state = State.ENDED
        self._connection.wire.finish()

    # the end of the socket

    def log_loss(self) -> None:
        """Who went without a word, and how."""
        connection = self._connection
        if connection.state is State.HEADER:
            received = connection.wire.received_bytes
            logger.log(
                logging.WARNING if received else logging.DEBUG,
                "closing AMQP connection %s: connection closed with %s data received",
                connection, "incomplete" if received else "no",
            )
        elif connection.state not in ENDING:
            logger.warning(
                "closing AMQP connection %s: client unexpectedly closed TCP connection", connection.described()
            )

    async def bury(self) -> None:
        """The socket is gone: everything is given up, then the handles are free."""
        connection = self._connection
        try:
            await self.release()
        finally:
            connection.close()
            connection.gateway.forget(connection)
            # Nothing refers to it in a circle any more: its memory is free now, not when a collector comes by.
            connection.wire = NO_WIRE
            connection.liveness.retire()
            del self._connection
