"""One client connection: its state, its channels, its errors.

Drives the compiled core's hooks. Bytes come from and go to a Wire; time comes from the wheel; shards and the
catalog are asked through the gateway. Knows no socket. Its end is in gateway/ending.py, its timed duties in
gateway/liveness.py, what methods do in gateway/handlers/.
"""
import asyncio
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final, cast

from amqp091 import constants, methods
from amqp091.errors import AMQPError, ChannelError, ChannelErrorHard, ConnectionForced, InternalError, NotAllowed
from amqp091.method_table import ChannelClose, ConnectionBlocked, ConnectionStart, ConnectionUnblocked
from gateway import handlers
from gateway.channel import Channel
from gateway.core import PAUSE_HELD, PAUSE_METHOD, PAUSE_OUTPUT, ConnectionCore
from gateway.drive import Drive
from gateway.ending import Ending
from gateway.flow import ALARM
from gateway.handshake import (
    ENDING,
    LOCALES,
    PROTOCOL_HEADERS_ACCEPTED,
    SILENT_CLOSE_DELAY_S,
    Farewell,
    State,
    describe_bad_header,
    farewell,
)
from gateway.liveness import Liveness
from gateway.refusal import attributed, closing_method
from gateway.sasl import MECHANISMS
from gateway.wire import Ends, Wire

if TYPE_CHECKING:
    from gateway.gateway import Gateway

logger = logging.getLogger(__name__)

AUTHENTICATION_FAILURE_CLOSE: Final = "authentication_failure_close"
CONNECTION_BLOCKED: Final = "connection.blocked"
OUTPUT_BYTES_MAX: Final = 16 * 1024 * 1024
"""Replies that a client does not read (deliveries have their own limit) before its requests are not handled either."""


class Connection(ConnectionCore):
    """From the first byte to the last."""

    gateway: "Gateway"

    def __init__(self, gateway: "Gateway", wire: Wire, ends: Ends, connection_id: str, now_s: float) -> None:
        super().__init__(gateway)
        self.wire = wire
        self.wire_lost = False
        self.ends = ends
        self.id = connection_id
        self.name = str(ends)
        self.log_name = self.name
        self.state = State.HEADER
        self.connected_at_ms = gateway.wall_clock_ms()
        self.vhost = ""
        self.user_name = ""
        self.mechanism = ""
        self.client_properties: dict[str, Any] = {}
        self.capabilities: dict[str, Any] = {}
        self.channel_max = 0
        self.owns_queues = False            # has asked for an exclusive queue at least once
        self.counted = False                # the catalog may count it, as something is limited: gateway/quotas.py
        self.held_by: int | None = None     # what stopped it at a publish: a shard's link, or ALARM
        self._told_blocked = False
        self._drive: Drive | None = None
        self._driven_channel = 0
        self._notices: list[tuple[Channel, tuple[Any, ...]]] = []   # behind the answer of the method under way
        self._drive_ended: asyncio.Future[None] | None = None
        self.ending = Ending(self)
        self.liveness = Liveness(self, now_s, gateway.settings.handshake_timeout_s)

    def __str__(self) -> str:
        return f"{self.id} ({self.log_name})"

    def described(self) -> str:
        """For log lines, with the user and vhost where they are known."""
        if not self.vhost:
            return str(self)
        return f"{self.id} ({self.log_name}, vhost: '{self.vhost}', user: '{self.user_name}')"

    def can(self, capability: str) -> bool:
        """Whether the client announced a capability."""
        return self.capabilities.get(capability) is True

    def channel(self, number: int) -> Channel | None:
        """The channel that is open, or not closed to the end, under this number."""
        return cast(Channel | None, self.channels.get(number))

    def open_channels(self) -> list[Channel]:
        return cast(list[Channel], list(self.channels.values()))

    def send(self, method: tuple[Any, ...]) -> None:
        """A method on channel 0."""
        self.write(methods.encode(0, method))

    # input: hooks of the core

    def on_protocol_header(self, header: bytes) -> None:
        if header not in PROTOCOL_HEADERS_ACCEPTED:
            logger.error("closing AMQP connection %s: client mistake: %s", self, describe_bad_header(header))
            self.write(constants.PROTOCOL_HEADER)
            self._end()
            self.wire.finish()
            return
        logger.info("accepting AMQP connection %s", self)
        self.state = State.STARTING
        self.send(
            ConnectionStart(
                version_major=0,
                version_minor=9,
                server_properties=self.gateway.settings.server_properties,
                mechanisms=" ".join(MECHANISMS).encode(),
                locales=LOCALES,
            )
        )

    def on_method(self, channel_number: int, class_id: int, method_id: int, arguments: bytes) -> None:
        key = (class_id, method_id)
        try:
            method = methods.decode(class_id, method_id, arguments)
            work = self._handle(channel_number, key, method)
        except AMQPError as error:
            raise attributed(error, key) from None
        if work is None:
            return
        drive = Drive(work, lambda error: self._on_driven(channel_number, key, error))
        if not drive.start():
            self._drive = drive
            self._driven_channel = channel_number
            self.pause(PAUSE_METHOD)
            return
        failure = drive.take_error()
        try:
            if isinstance(failure, AMQPError):
                raise attributed(failure, key) from None
            if failure is not None:
                raise failure
        finally:
            del failure             # its traceback holds this frame: together they would wait for a collector

    def _handle(
        self, number: int, key: constants.MethodId, method: tuple[Any, ...]
    ) -> Coroutine[Any, None, None] | None:
        if number == 0:
            return handlers.on_connection_method(self, key, method)
        channel = self.channel(number)
        if channel is not None:
            return handlers.on_channel_method(channel, key, method)
        return self._open_channel(number, key)

    def _open_channel(self, number: int, key: constants.MethodId) -> Coroutine[Any, None, None] | None:
        opened = len(self.channels)
        if self.channel_max and (opened >= self.channel_max or number > self.channel_max):
            raise NotAllowed(
                f"number of channels opened ({opened}) has reached the negotiated channel_max ({self.channel_max})"
            )
        if key != constants.CHANNEL_OPEN:
            raise ChannelErrorHard("expected 'channel.open'")
        if self.gateway.quotas.limits_channels(self.user_name):
            return self._open_counted(number)
        handlers.opened(Channel(self, number))
        return None

    async def _open_counted(self, number: int) -> None:
        await self.gateway.quotas.open_channel(self, number)
        if not self.closing:
            channel = Channel(self, number)
            channel.counted = True
            handlers.opened(channel)

    def _on_driven(self, number: int, key: constants.MethodId, error: BaseException | None) -> None:
        """An asynchronous handler has ended."""
        self._drive = None
        if self._drive_ended is not None:
            self._drive_ended.set_result(None)
            self._drive_ended = None
        if self.closed:
            return
        if error is not None and not self.closing:
            if isinstance(error, AMQPError):
                self._refuse(number, attributed(error, key))
            else:
                self.crash(error)
        notices, self._notices = self._notices, []
        for channel, method in notices:
            if not channel.closing:
                channel.send(method)
        self.gateway.guarded(self, lambda: self.go_on(PAUSE_METHOD))

    def notify(self, channel: Channel, method: tuple[Any, ...]) -> None:
        """What the server says unasked on a channel: it does not overtake the answer to a method under way there."""
        if self._drive is not None and self._driven_channel == channel.number:
            self._notices.append((channel, method))
        else:
            channel.send(method)

    async def handler_ended(self) -> None:
        """Waits for the handler that is under way, if one is."""
        if self._drive is not None:
            if self._drive_ended is None:
                self._drive_ended = self.gateway.loop.create_future()
            await self._drive_ended

    def go_on(self, pause_reason: int) -> None:
        """With the kept input, once no other reason holds it up."""
        if pause_reason != PAUSE_OUTPUT:
            self.hold_for_output()
        self.resume(pause_reason)
        if not self.paused:
            self.wire.resume_reading()
        self.gateway.wake()

    def hold_for_output(self) -> None:
        """A client that asks and does not read: its input, also what is here already, waits until it does."""
        if self.output_bytes > OUTPUT_BYTES_MAX and not self.writable:
            self.pause(PAUSE_OUTPUT)
            self.wire.stop_reading()

    # errors: hooks of the core

    def _refuse(self, number: int, error: AMQPError) -> None:
        channel = self.channel(number)
        if isinstance(error, ChannelError) and channel is not None:
            if not channel.closing:
                channel.closing = True
                self.on_channel_error(number, error)
        else:
            self.closing = True
            self.on_connection_error(error)

    def refuse(self, channel: Channel, error: ChannelError) -> None:
        """Something else than a method of the client's ends the channel; behind the answer of the method under way."""
        self.gateway.spawn(self._refuse_later(channel, error))

    async def _refuse_later(self, channel: Channel, error: ChannelError) -> None:
        await self.handler_ended()
        if not self.closing and self.channel(channel.number) is channel:
            self._refuse(channel.number, error)
            self.gateway.wake()

    def on_channel_error(self, channel_number: int, error: ChannelError) -> None:
        channel = self.channel(channel_number)
        if channel is None:
            self.closing = True
            self.on_connection_error(error)
            return
        logger.error("Channel error on connection %s, channel %d: %s", self.described(), channel_number, error)
        channel.refused = True
        if channel.lingers:
            self.gateway.spawn(self._close_channel(channel, error))
        else:
            channel.close()
            channel.send(closing_method(ChannelClose, error))

    async def _close_channel(self, channel: Channel, error: ChannelError) -> None:
        await channel.leave()
        if not self.closed and self.state is State.RUNNING:
            channel.send(closing_method(ChannelClose, error))
            self.gateway.wake()

    def end_channel(self, channel: Channel) -> None:
        """close-ok went either way: the number is free."""
        if self.channel(channel.number) is channel:
            self.remove_channel(channel.number)
        channel.release()

    def on_connection_error(self, error: AMQPError) -> None:
        if self.state in ENDING:
            return
        logger.error("Error on AMQP connection %s, state: %s: %s", self.described(), self.state.value, error)
        if farewell(self.state, error, self.can(AUTHENTICATION_FAILURE_CLOSE)) is Farewell.SILENT:
            self._end()
            self.wire.stop_reading()
            self.gateway.wheel.at(self.gateway.now_s() + SILENT_CLOSE_DELAY_S, lambda _: self.wire.abort())
        else:
            self.state = State.CLOSED
            self.gateway.spawn(self.ending.say_farewell(error))

    def on_lent_lost(self, shard: int) -> None:
        self.crash(OSError(f"a body in the log of shard {shard} cannot be read"))

    def on_output_lost(self, error: BaseException) -> None:
        """Some of what the client was to be told is lost: there is nothing more to tell it."""
        logger.error("the output of AMQP connection %s cannot be written", self, exc_info=error)
        self.cut_off()

    def crash(self, error: BaseException) -> None:
        """A bug of ours: this connection alone pays for it."""
        logger.error("a handler failed on AMQP connection %s", self, exc_info=error)
        if not self.closing:
            self.closing = True
            self.on_connection_error(InternalError("internal error"))
            self.gateway.wake()

    # the end

    def close_forced(self, reason: str) -> None:
        """An operator, a deleted vhost or the broker's stop ends it."""
        if self.closing:
            return
        if self.state is State.RUNNING:
            self.closing = True
            self.on_connection_error(ConnectionForced(reason))
            self.gateway.wake()
        else:
            self.cut_off()

    def close_for_client(self) -> None:
        """connection.close came."""
        self.closing = True
        self.gateway.spawn(self.ending.oblige())

    def cut_off(self) -> None:
        """Without a word."""
        self._end()
        self.wire.abort()

    def _end(self) -> None:
        self.closing = True
        self.state = State.ENDED

    def on_wire_lost(self) -> None:
        """The socket is gone."""
        self.wire_lost = True
        self.ending.log_loss()
        self._end()
        self.gateway.spawn(self.ending.bury())

    # publishers held back

    def on_publish_held(self, shard: int) -> None:
        self.held_by = shard
        self.gateway.flow.hold(self, shard)
        if shard == ALARM and not self._told_blocked and self.can(CONNECTION_BLOCKED):
            self._told_blocked = True
            self.send(ConnectionBlocked(reason=self.gateway.flow.reason))

    def release_publish(self) -> None:
        """The cause has gone."""
        self.held_by = None
        if self._told_blocked and not self.gateway.flow.alarmed:
            self._told_blocked = False
            self.send(ConnectionUnblocked())
        self.gateway.guarded(self, lambda: self.go_on(PAUSE_HELD))

    @property
    def shown_state(self) -> str:
        """The state in listings, with what holds a publisher back."""
        if self.state is not State.RUNNING:
            return str(self.state.value)
        if self.held_by is None:
            return "blocking" if self.gateway.flow.alarmed else "running"
        return "blocked" if self.held_by == ALARM else "flow"
