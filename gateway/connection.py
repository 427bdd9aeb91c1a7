"""One client connection: its state, its channels, its errors, its end.

Drives the compiled core's hooks. Bytes come from and go to a Wire (gateway/transport.py); time comes from
the wheel; shards and the catalog are asked through the gateway. Knows no socket and no event loop call.
"""
import asyncio
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, cast

from amqp091 import constants, methods
from amqp091.errors import (
    AMQPError,
    ChannelError,
    ChannelErrorHard,
    ConnectionForced,
    InternalError,
    NotAllowed,
)
from amqp091.method_table import (
    ChannelClose,
    ConnectionBlocked,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionStart,
    ConnectionUnblocked,
)
from gateway import handlers
from gateway.channel import Channel
from gateway.core import PAUSE_HELD, PAUSE_METHOD, ConnectionCore
from gateway.drive import Drive
from gateway.flow import ALARM
from gateway.handshake import (
    CLOSE_OK_WAIT_S_MAX,
    ENDING,
    LOCALES,
    PROTOCOL_HEADERS_ACCEPTED,
    SILENT_CLOSE_DELAY_S,
    Farewell,
    State,
    describe_bad_header,
    farewell,
)
from gateway.heartbeat import Heartbeat
from gateway.sasl import MECHANISMS

if TYPE_CHECKING:
    from gateway.gateway import Gateway

logger = logging.getLogger(__name__)

AUTHENTICATION_FAILURE_CLOSE: Final = "authentication_failure_close"
CONNECTION_BLOCKED: Final = "connection.blocked"


class Wire(Protocol):
    """The socket's side, as a connection sees it."""

    received_bytes: int
    sent_bytes: int

    def flush(self) -> None: ...
    def resume_reading(self) -> None: ...
    def stop_reading(self) -> None: ...
    def finish(self) -> None:
        """What was written still goes out; then the end."""
    def abort(self) -> None: ...


class Ends(NamedTuple):
    """Both ends of a TCP connection."""

    peer_host: str
    peer_port: int
    host: str
    port: int

    def __str__(self) -> str:
        return f"{_bracketed(self.peer_host)}:{self.peer_port} -> {_bracketed(self.host)}:{self.port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class Connection(ConnectionCore):
    """From the first byte to the last."""

    gateway: "Gateway"

    def __init__(self, gateway: "Gateway", wire: Wire, ends: Ends, connection_id: str, now_s: float) -> None:
        super().__init__(gateway)
        self.wire = wire
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
        self.heartbeat = Heartbeat(0, 0, 0)
        self.owns_queues = False        # has asked for an exclusive queue at least once
        self.held_by: int | None = None
        self._told_blocked = False
        self._drive: Drive | None = None
        self._drive_ended: asyncio.Future[None] | None = None
        self._release: asyncio.Task[None] | None = None
        self._wire_lost = False
        self._told_close = False
        self._close_crossed = False
        gateway.wheel.at(now_s + gateway.settings.handshake_timeout_s, self._check_handshake)

    def __str__(self) -> str:
        return f"{self.id} ({self.log_name})"

    def described(self) -> str:
        """For log lines once the user and vhost are known."""
        return f"{self.id} ({self.log_name}, vhost: '{self.vhost}', user: '{self.user_name}')"

    def can(self, capability: str) -> bool:
        """Whether the client announced a capability."""
        return self.capabilities.get(capability) is True

    def channel(self, number: int) -> Channel | None:
        """The channel that is open, or not closed to the end, under this number."""
        return cast(Channel | None, self.channels.get(number))

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
                server_properties=self.gateway.server_properties,
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
            raise _attributed(error, key) from None
        if work is None:
            return
        drive = Drive(work, lambda error: self._on_driven(channel_number, key, error))
        if not drive.start():
            self._drive = drive
            self.pause(PAUSE_METHOD)
        elif drive.error is not None:
            if isinstance(drive.error, AMQPError):
                raise _attributed(drive.error, key) from None
            raise drive.error

    def _handle(
        self, number: int, key: constants.MethodId, method: tuple[Any, ...]
    ) -> Coroutine[Any, None, None] | None:
        if number == 0:
            handlers.on_connection_method(self, key, method)
            return None
        channel = self.channel(number)
        if channel is not None:
            return handlers.on_channel_method(channel, key, method)
        self._open_channel(number, key)
        return None

    def _open_channel(self, number: int, key: constants.MethodId) -> None:
        opened = len(self.channels)
        if self.channel_max and (opened >= self.channel_max or number > self.channel_max):
            raise NotAllowed(
                f"number of channels opened ({opened}) has reached the negotiated channel_max ({self.channel_max})"
            )
        if key != constants.CHANNEL_OPEN:
            raise ChannelErrorHard("expected 'channel.open'")
        handlers.opened(Channel(self, number))

    def _on_driven(self, number: int, key: constants.MethodId, error: BaseException | None) -> None:
        """An asynchronous handler has ended."""
        self._drive = None
        if self._drive_ended is not None:
            self._drive_ended.set_result(None)
        if self.closed:
            return
        if error is not None and not self.closing:
            if isinstance(error, AMQPError):
                self._refuse(number, _attributed(error, key))
            else:
                self.crash(error)
        self.gateway.guarded(self, self._go_on)

    def _go_on(self) -> None:
        self.resume(PAUSE_METHOD)
        if not self.paused:
            self.wire.resume_reading()
        self.gateway.wake()

    def _refuse(self, number: int, error: AMQPError) -> None:
        channel = self.channel(number)
        if isinstance(error, ChannelError) and channel is not None:
            if not channel.closing:
                channel.closing = True
                self.on_channel_error(number, error)
        else:
            self.closing = True
            self.on_connection_error(error)

    # errors: hooks of the core

    def on_channel_error(self, channel_number: int, error: ChannelError) -> None:
        channel = self.channel(channel_number)
        if channel is None:
            self.closing = True
            self.on_connection_error(error)
            return
        logger.error("Channel error on connection %s, channel %d: %s", self.described(), channel_number, error)
        channel.refused = True
        if channel.shards():
            self.gateway.spawn(self._close_channel(channel, error))
        else:
            channel.close()
            channel.send(_closing_method(ChannelClose, error))

    async def _close_channel(self, channel: Channel, error: ChannelError) -> None:
        await channel.leave()
        if not self.closed and self.state is State.RUNNING:
            channel.send(_closing_method(ChannelClose, error))
            self.gateway.wake()

    def end_channel(self, channel: Channel) -> None:
        """close-ok went either way: the number is free."""
        if self.channels.get(channel.number) is channel:
            self.remove_channel(channel.number)
        channel.release()

    def on_connection_error(self, error: AMQPError) -> None:
        if self.state in ENDING:
            return
        logger.error(
            "Error on AMQP connection %s, state: %s: %s", self.described(), self.state.value, error
        )
        manner = farewell(self.state, error, self.can(AUTHENTICATION_FAILURE_CLOSE))
        if manner is Farewell.SILENT:
            self._end()
            self.wire.stop_reading()
            self.gateway.wheel.at(self.gateway.now_s() + SILENT_CLOSE_DELAY_S, lambda _: self.wire.abort())
        else:
            self.state = State.CLOSED
            self.gateway.spawn(self._say_farewell(error))

    async def _say_farewell(self, error: AMQPError) -> None:
        await self.release()
        if self._wire_lost:
            return
        self.send(_closing_method(ConnectionClose, error))
        self._told_close = True
        if self._close_crossed:
            self.send(ConnectionCloseOk())
        self.gateway.wake()
        interval_s = self.heartbeat.interval_s
        wait_s = min(interval_s, CLOSE_OK_WAIT_S_MAX) if interval_s else CLOSE_OK_WAIT_S_MAX
        self.gateway.wheel.at(self.gateway.now_s() + wait_s, lambda _: self.wire.abort())

    def crash(self, error: BaseException) -> None:
        """A bug of ours: this connection alone pays for it."""
        logger.error("a handler failed on AMQP connection %s", self, exc_info=error)
        if not self.closing:
            self.closing = True
            self.on_connection_error(InternalError("internal error"))
            self.gateway.wake()

    def close_forced(self, reason: str) -> None:
        """An operator, a deleted vhost or the broker's stop ends it."""
        if self.closing:
            return
        if self.state is State.RUNNING:
            self.closing = True
            self.on_connection_error(ConnectionForced(reason))
            self.gateway.wake()
        else:
            self._end()
            self.wire.abort()

    # the end

    def client_closes(self) -> None:
        """connection.close came: everything is given up first, then close-ok."""
        self.closing = True
        self.gateway.spawn(self._close_for_client())

    async def _close_for_client(self) -> None:
        await self.release()
        self._log_closed()
        if self._wire_lost:
            return
        self.send(ConnectionCloseOk())
        self.gateway.wake()
        self.client_closed()

    def close_crossed(self) -> None:
        """The client's connection.close met ours: it gets its close-ok, behind our close."""
        self._close_crossed = True
        if self._told_close:
            self.send(ConnectionCloseOk())

    def client_closed(self) -> None:
        """Both sides agree on the end."""
        self.state = State.ENDED
        self.wire.flush()
        self.wire.finish()

    def _end(self) -> None:
        self.closing = True
        self.state = State.ENDED

    def release(self) -> "asyncio.Task[None]":
        """Gives up channels, consumers and exclusive queues, once; returns when shards and catalog have done so."""
        if self._release is None:
            self._release = self.gateway.spawn(self._give_up())
        return self._release

    async def _give_up(self) -> None:
        gateway = self.gateway
        gateway.flow.forget(self)
        if self._drive is not None:
            # an exclusive queue may be on its way
            self._drive_ended = gateway.loop.create_future()
            await self._drive_ended
        shards: set[int] = set()
        for channel in list(self.channels.values()):
            shards.update(channel.shards())
            channel.close()
        if shards:
            message = {"verb": "close_connection", "connection": self.handle}
            await asyncio.gather(
                *(gateway.requests.ask(shard, message, moot_when_down=True) for shard in sorted(shards))
            )
        if self.owns_queues:
            await gateway.ask_catalog("connection.closed", owner=self.id)

    def on_wire_lost(self) -> None:
        """The socket is gone."""
        self._wire_lost = True
        if self.state is State.HEADER:
            logger.log(
                logging.WARNING if self.wire.received_bytes else logging.DEBUG,
                "closing AMQP connection %s: connection closed with %s data received",
                self, "incomplete" if self.wire.received_bytes else "no",
            )
        elif self.state not in ENDING:
            logger.warning(
                "closing AMQP connection %s: client unexpectedly closed TCP connection",
                self.described() if self.state is State.RUNNING else self,
            )
        self._end()
        self.gateway.spawn(self._bury())

    async def _bury(self) -> None:
        try:
            await self.release()
        finally:
            self.close()
            self.gateway.forget(self)

    def _log_closed(self) -> None:
        duration_s = (self.gateway.wall_clock_ms() - self.connected_at_ms) / 1000
        logger.info("closing AMQP connection %s, duration: %.1fs", self.described(), duration_s)

    # time: callbacks of the wheel

    def _check_handshake(self, now_s: float) -> None:
        if self.state not in ENDING and self.state is not State.RUNNING and not self._wire_lost:
            logger.error("closing AMQP connection %s: handshake timeout in state %s", self, self.state.value)
            self._end()
            self.wire.abort()

    def start_heartbeat(self, interval_s: int) -> None:
        """After tune-ok, before or after connection.open: the client counts from then."""
        self.heartbeat = Heartbeat(interval_s, self.wire.sent_bytes, self.wire.received_bytes)
        if interval_s:
            now_s = self.gateway.now_s()
            self.gateway.wheel.at(now_s + self.heartbeat.send_interval_s, self._beat)
            self.gateway.wheel.at(now_s + interval_s, self._check_alive)

    def _beat(self, now_s: float) -> None:
        if self._wire_lost or self.state is State.ENDED:
            return
        if self.heartbeat.should_send(self.wire.sent_bytes):
            self.write(constants.HEARTBEAT_FRAME)
            self.wire.flush()
            self.heartbeat.sent_heartbeat(self.wire.sent_bytes)
        self.gateway.wheel.at(now_s + self.heartbeat.send_interval_s, self._beat)

    def _check_alive(self, now_s: float) -> None:
        if self._wire_lost or self.state is State.ENDED:
            return
        if self.paused:
            self.heartbeat.pardon(self.wire.received_bytes)
        elif self.heartbeat.is_dead(self.wire.received_bytes):
            logger.error(
                "closing AMQP connection %s: missed heartbeats from client, timeout: %ds",
                self, self.heartbeat.interval_s,
            )
            self._end()
            self.wire.abort()
            return
        self.gateway.wheel.at(now_s + self.heartbeat.interval_s, self._check_alive)

    # publishers held back

    def on_publish_held(self, shard: int) -> None:
        self.held_by = shard
        self.gateway.flow.hold(self, shard)
        if shard == ALARM and not self._told_blocked and self.can(CONNECTION_BLOCKED):
            self._told_blocked = True
            self.send(ConnectionBlocked(reason=self.gateway.flow.reason))

    def release_publish(self) -> None:
        self.held_by = None
        if self._told_blocked and not self.gateway.flow.alarmed:
            self._told_blocked = False
            self.send(ConnectionUnblocked())
        self.gateway.guarded(self, self._publish_on)

    def _publish_on(self) -> None:
        self.resume(PAUSE_HELD)
        if not self.paused:
            self.wire.resume_reading()
        self.gateway.wake()

    @property
    def shown_state(self) -> str:
        """The state in listings, with what holds a publisher back."""
        if self.state is not State.RUNNING:
            return str(self.state.value)
        if self.held_by is None:
            return "blocking" if self.gateway.flow.alarmed else "running"
        return "blocked" if self.held_by == ALARM else "flow"


def _attributed(error: AMQPError, key: constants.MethodId) -> AMQPError:
    """The error with the method that caused it, unless it names one."""
    if not error.class_id:
        error.class_id, error.method_id = key
    return error


def _closing_method(kind: "type[ChannelClose] | type[ConnectionClose]", error: AMQPError) -> tuple[Any, ...]:
    return kind(
        reply_code=error.reply_code,
        reply_text=error.reply_text(),
        class_id=error.class_id,
        method_id=error.method_id,
    )
