"""One gateway process's state: its connections, its links, and the turn that moves bytes between them.

Owns the compiled core (it is one), the replica it routes on, the requests to shards and the wheel. Sends
only in `flush`, once per turn, which is compiled: gateway/turn.pyx. Opens no socket; gateway/worker.py connects it to
the world.
"""
import asyncio
import logging
import math
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from amqp091.errors import NotAllowed, error_from_code
from bus.control import ControlError
from bus.limits import ROOM_IDLE_S
from bus.links import LinkEnd
from bus.ring import RingEnd
from gateway.channel import Channel
from gateway.connection import Connection
from gateway.core import KIND_RESPONSE
from gateway.flow import ALARM, Flow
from gateway.handshake import Tuning
from gateway.pacing import Pacing
from gateway.quotas import Quotas
from gateway.replies import ReplyNames
from gateway.requests import SHARD_WAIT_S_MAX, ShardRequests
from gateway.routes import RouteTable
from gateway.turn import GatewayTurn
from gateway.wheel import Wheel
from gateway.wire import Ends, Wire
from topology.replica import Replica

logger = logging.getLogger(__name__)

HOME_LOSING: Final = frozenset({"vhost.delete", "user.delete"})
"""Changes of the topology that end connections."""
ROOMLESS_LOG_INTERVAL_S: Final = 60.0
"""What is wrong with one room is wrong with the next: a gateway says so once in a while."""
STOP_REASON: Final = "broker forced connection closure with reason 'shutdown'"


class Links(Protocol):
    """The links that are up."""

    def get(self, peer: int) -> LinkEnd | None: ...


class Catalog(Protocol):
    """What decides about names."""

    async def request(self, verb: str, **fields: Any) -> dict[str, Any]: ...
    def push(self, verb: str, **fields: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """What the gateway needs of the settings. Limits of 0 mean none."""

    name: str
    """Prefix of its connections' ids: index and incarnation."""
    shard_count: int
    server_properties: dict[str, Any]
    offered: Tuning
    handshake_timeout_s: float
    loopback_users: frozenset[str]
    connection_max: int
    consumer_max_per_channel: int
    max_message_bytes: int
    reply_key: bytes
    """Signs the names of reply queues; the same in all gateways of one run of the broker."""


class Gateway(GatewayTurn):
    """All connections of one process."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, settings: GatewaySettings, replica: Replica, catalog: Catalog
    ) -> None:
        super().__init__(settings.shard_count, settings.max_message_bytes, loop)
        self.settings = settings
        self.replica = replica
        self.catalog = catalog
        self.reply_names = ReplyNames(settings.reply_key)
        self.routes = RouteTable(replica, self.reply_names, self.stamps)
        self.requests = ShardRequests(self, loop)
        self.flow = Flow()
        self.pacing = Pacing(loop)
        self.quotas = Quotas(self)
        self.wheel = Wheel(loop.time())
        self.connections: dict[str, Connection] = {}
        self._last_connection = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._rooms_looked_at_s = loop.time()
        self._roomless_told_at_s = -math.inf
        self._down_since_s = dict.fromkeys(range(settings.shard_count), loop.time())

    # time and tasks

    def now_s(self) -> float:
        return self.loop.time()

    def wall_clock_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def tick(self) -> None:
        """The sweep. Called every tick of the wheel."""
        now_s = self.loop.time()
        self.wheel.advance(now_s)
        self.requests.expire(now_s)
        self.expire_shards(now_s)
        if now_s >= self._rooms_looked_at_s + ROOM_IDLE_S:
            self._rooms_looked_at_s = now_s
            self.end_idle_rooms()
        self.flush()

    def expire_shards(self, now_s: float) -> None:
        """Shards that do not come back by themselves: publishers are told, instead of being held for ever."""
        for shard, since_s in list(self._down_since_s.items()):
            if now_s - since_s > SHARD_WAIT_S_MAX:
                logger.error("shard %d is still down: what is published to it is refused", shard)
                del self._down_since_s[shard]
                self.shard_lost(shard)
                self.flow.release(shard)

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Something that ends by itself and may take a while."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._spawned_ended)
        return task

    def _spawned_ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("a task of the gateway failed", exc_info=task.exception())

    def guarded(self, connection: Connection, action: Callable[[], None]) -> None:
        """Handlers may run in it: a bug among them costs that connection alone."""
        try:
            action()
        except Exception as error:
            connection.crash(error)

    # connections

    def accept(self, wire: Wire, ends: Ends) -> Connection:
        self._last_connection += 1
        connection_id = f"{self.settings.name}.{self._last_connection}"
        connection = Connection(self, wire, ends, connection_id, self.now_s())
        self.connections[connection_id] = connection
        return connection

    def forget(self, connection: Connection) -> None:
        """It is over, and so is everything it had."""
        self.connections.pop(connection.id, None)

    def check_connection_limit(self, connection: Connection) -> None:
        limit = self.settings.connection_max
        if limit and sum(other.opened for other in self.connections.values() if not other.closing) >= limit:
            raise NotAllowed(f"connection refused: node connection limit ({limit}) is reached")

    # to shards and catalog

    def request(self, shard: int, request_id: int, document: bytes) -> bool:
        self.wake()
        return super().request(shard, request_id, document)

    def send_event(self, shard: int, event: dict[str, Any]) -> None:
        """Something that is not answered; void where the shard is down."""
        self.event(shard, orjson.dumps(event))
        self.wake()

    # the links' callbacks

    def on_link_up(self, link: LinkEnd) -> None:
        """A fresh shard: it learns its consumers first, then what waited for it."""
        shard = link.peer
        logger.info("link to shard %d is up", shard)
        self._down_since_s.pop(shard, None)
        self.shard_up(shard, link.next_batch_number)
        if isinstance(link, RingEnd):
            self.use_ring(shard, link)
        for connection in list(self.connections.values()):
            for channel in list(connection.channels.values()):
                assert isinstance(channel, Channel)
                channel.reattach(shard)
        self.requests.shard_up(shard)
        self.send_event(shard, {"event": "attached"})
        self.flow.release(shard)
        self.wake()

    def on_link_down(self, link: LinkEnd) -> None:
        shard = link.peer
        logger.warning("link to shard %d is down", shard)
        self._down_since_s[shard] = self.now_s()
        self.shard_down(shard)
        self.end_files()
        for queue_id in self.pacing.forget(shard):
            self.set_flooded(queue_id, False)
        self.requests.shard_down(shard)
        self._uncongest(shard)
        self.wake()

    def on_link_writable(self, link: LinkEnd) -> None:
        self._uncongest(link.peer)

    def _uncongest(self, shard: int) -> None:
        if shard in self._congested:
            self._congested.discard(shard)
            self.set_congested(shard, False)
            self.flow.release(shard)

    def on_json(self, shard: int, kind: int, request_id: int, document: bytes) -> None:
        """Hook of the core: answers and events of a shard, in their place among its deliveries."""
        try:
            if kind == KIND_RESPONSE:
                self.requests.answered(request_id, document)
            else:
                self._on_event(shard, orjson.loads(document))
        except Exception:
            logger.exception("an answer or event of shard %d could not be handled", shard)

    def _on_event(self, shard: int, event: dict[str, Any]) -> None:
        name = event["event"]
        if name == "cancelled":
            found = self.consumer(event["consumer"])
            if found is not None:
                channel, tag = found
                assert isinstance(channel, Channel)
                channel.cancelled(tag.decode("utf-8", "surrogateescape"))
            return
        if name == "active":
            self._on_active(event)
            return
        if name == "lend":
            self.lend(shard, event["file"], event["path"], event["bytes"], bytes.fromhex(event["beginning"]))
            return
        if name == "room":
            self._on_room(shard, event)
            return
        if name == "lend_end":
            self.lend_end(shard, event["file"])
            return
        if name == "flood":
            self.set_flooded(event["queue_id"], event["on"])
            self.pacing.set_flooded(shard, event["queue_id"], event["on"])
            return
        channel_or_none = self.channel(event["channel"])
        if not isinstance(channel_or_none, Channel):
            return
        if name == "credit_wanted":
            channel_or_none.prefetch.wanted(shard, event["count"])
            channel_or_none.grant(shard)
        elif name == "credit_returned":
            channel_or_none.prefetch.returned(shard, event["count"])
            channel_or_none.grant()
        elif name == "timed_out":
            channel_or_none.timed_out(event.get("consumer"), event["timeout"])
        else:
            logger.warning("shard %d sent an unknown event %r", shard, name)

    def _on_room(self, shard: int, event: dict[str, Any]) -> None:
        """One that cannot be mapped goes back: large bodies are copied, and the shard tries again after a while."""
        try:
            self.room(
                shard, event["file"], event["path"], event["bytes"], event["start"], event["end"],
                bytes.fromhex(event["beginning"]))
        except (OSError, ValueError) as error:
            now_s = self.now_s()
            if now_s >= self._roomless_told_at_s + ROOMLESS_LOG_INTERVAL_S:
                self._roomless_told_at_s = now_s
                logger.warning("large messages to shard %d are copied, as its room cannot be mapped: %s", shard, error)
            self.send_event(shard, {"event": "room_end", "file": event["file"], "body": 0, "back": True})

    def _on_active(self, event: dict[str, Any]) -> None:
        """A consumer is the single active one of its queue, or is not any more."""
        found = self.consumer(event["consumer"])
        if found is None:
            return
        channel, tag = found
        assert isinstance(channel, Channel)
        consumer = channel.consumers.get(tag.decode("utf-8", "surrogateescape"))
        if consumer is not None:
            consumer.active = bool(event["active"])

    # the catalog

    async def ask_catalog(self, verb: str, **fields: Any) -> dict[str, Any]:
        """The catalog's answer; its refusals are AMQP errors. Waits for a catalog that is being restarted."""
        try:
            return await self.catalog.request(verb, **fields)
        except ControlError as error:
            raise error_from_code(error.code, error.text) from None

    def on_topology_change(self, change: dict[str, Any]) -> None:
        """The replica has moved; after a snapshot anything may have."""
        self.quotas.on_change(change["ops"], change["snapshot"])
        if change["snapshot"] or any(op["op"] in HOME_LOSING for op in change["ops"]):
            self._close_homeless()

    def _close_homeless(self) -> None:
        for connection in list(self.connections.values()):
            if not connection.opened or connection.closing:
                continue
            if self.replica.vhost(connection.vhost) is None:
                connection.close_forced(f"vhost '{connection.vhost}' is deleted")
            elif connection.user_name not in self.replica.users:
                connection.close_forced(f"user '{connection.user_name}' is deleted")

    # alarms and the end

    def on_alarm(self, message: dict[str, Any]) -> None:
        """The supervisor's word on memory and disk."""
        cleared = self.flow.set_alarms(bool(message["memory"]), bool(message["disk"]))
        self.publishes_blocked = self.flow.alarmed
        if self.flow.alarmed:
            logger.warning("publishers are blocked: %s", self.flow.reason)
        elif cleared:
            logger.warning("publishers are no longer blocked")
            self.flow.release(ALARM)
        self.wake()

    async def close_all(self, wait_s: float) -> None:
        """Tells every client, and waits for them as long as that."""
        for connection in list(self.connections.values()):
            connection.close_forced(STOP_REASON)
        deadline_s = self.now_s() + wait_s
        while self.connections and self.now_s() < deadline_s:
            await asyncio.sleep(0.02)
