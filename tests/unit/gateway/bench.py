"""A gateway without sockets, shards and catalog: what stands in for them answers at once or when told to.

The compiled core is the real one. Time stands still unless a test turns the wheel, or awaits a timer of the loop.
"""
import asyncio
import selectors
import struct
from collections.abc import Callable, Coroutine
from typing import Any

from amqp091 import methods
from amqp091.constants import FRAME_METHOD, PROTOCOL_HEADER
from amqp091.errors import PreconditionFailed
from amqp091.method_table import (
    ChannelOpen,
    ConnectionOpen,
    ConnectionStartOk,
    ConnectionTuneOk,
)
from bus.control import ControlError
from gateway.connection import Connection
from gateway.gateway import Gateway, GatewaySettings
from gateway.handshake import Tuning, server_properties
from gateway.wire import Ends
from tests.unit.gateway_core.records import Document, Get, get_empty, read, response
from topology import changes
from topology.model import Binding, Exchange, Permission, Queue, User
from topology.passwords import DEFAULT_ALGORITHM, hash_password
from topology.replica import Replica

LOCAL = Ends("127.0.0.1", 40000, "127.0.0.1", 5672)
REMOTE = Ends("192.0.2.7", 40000, "192.0.2.1", 5672)
CAPABILITIES = {"capabilities": {
    "authentication_failure_close": True, "consumer_cancel_notify": True, "connection.blocked": True}}
ATTACHED = {"event": "attached"}
TURNS = 60


class StillLoop(asyncio.SelectorEventLoop):
    """Its clock goes on only when there is nothing to do but to wait: however slow the machine, no timer is due before
    that, and then at once."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        super().__init__(Waiting(self))

    def time(self) -> float:
        return self.now_s


class Waiting(selectors.DefaultSelector):
    def __init__(self, loop: StillLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select()
        found = super().select(0)
        if not found:
            self._loop.now_s += max(timeout, 0.0)
        return found


def scenario(test: Callable[["Bench"], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Runs a test on a loop of its own with a fresh bench."""

    def run() -> None:
        async def body() -> None:
            await test(Bench())

        with asyncio.Runner(loop_factory=StillLoop) as runner:
            runner.run(body())

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run


async def turn() -> None:
    """Lets everything that is due happen."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


class Wire:
    """What the connection wrote and was told to do."""

    def __init__(self) -> None:
        self.connection: Connection
        self.received_bytes = 0
        self.sent_bytes = 0
        self.output = b""
        self.reading = True
        self.finished = False
        self.aborted = False

    def flush(self) -> None:
        output = self.connection.take_output()
        if output is not None:
            self.output += bytes(output)
            self.sent_bytes += len(output)

    def stop_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def finish(self) -> None:
        self.flush()
        self.finished = True

    def abort(self) -> None:
        self.aborted = True


class Link:
    """One shard's end: keeps what it was sent; answers what it has an answer for."""

    def __init__(self, bench: "Bench", peer: int) -> None:
        self.bench = bench
        self.peer = peer
        self.next_batch_number = 1
        self.congested = False
        self.quiet_count = 0                # batches sent without waking the shard
        self.woken_count = 0
        self.records: list[Any] = []        # but for the word that all consumers are attached
        self.attached_count = 0
        self.answers: dict[str, Any] = {
            "count": {"message_count": 0, "consumer_count": 0}, "purge": {"message_count": 0}, "get": {},
            "consume": {}, "reply_queue.open": {"queue_id": (1 << 31) + 7},
            "cancel": {}, "qos": {}, "recover": {}, "barrier": {}, "delete_check": {"message_count": 3},
            "close_channel": {}, "close_connection": {},
        }

    def send(self, batch: Any) -> int:
        number = self.next_batch_number
        self.next_batch_number += 1
        records = read(bytes(batch))
        self.records += [record for record in records if getattr(record, "document", None) != ATTACHED]
        self.attached_count += sum(getattr(record, "document", None) == ATTACHED for record in records)
        for record in records:
            if isinstance(record, Document) and record.kind == 4:
                answer = self.answers.get(record.document["verb"])
                if answer is not None:
                    self.bench.gateway.loop.call_soon(self.say, response(record.request_id, answer))
            elif isinstance(record, Get) and "get" in self.answers:
                self.bench.gateway.loop.call_soon(self.say, get_empty(record.request_id))
        return number

    def send_quietly(self, batch: Any) -> int:
        self.quiet_count += 1
        return self.send(batch)

    def wake_peer(self) -> None:
        self.woken_count += 1

    def say(self, records: bytes) -> None:
        """A batch to the gateway."""
        self.bench.gateway.on_link_batch(self, memoryview(records))
        self.bench.gateway.wake()

    def asked(self, verb: str) -> list[Document]:
        """The requests with this verb so far."""
        documents = [record for record in self.records if isinstance(record, Document)]
        return [record for record in documents if record.document.get("verb") == verb]

    def gets(self) -> list[Get]:
        return [record for record in self.records if isinstance(record, Get)]

    def events(self) -> list[dict[str, Any]]:
        return [record.document for record in self.records if isinstance(record, Document) and record.kind == 6]


class Catalog:
    """Decides at once and applies to the replica, or refuses with what a test put in `refusals`."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.pushed: list[tuple[str, dict[str, Any]]] = []
        self.refusals: dict[str, ControlError] = {}
        self.gate: asyncio.Event | None = None
        self.on_change: Callable[[dict[str, Any]], None] = lambda change: None
        self._last_queue_id = 100

    async def request(self, verb: str, **fields: Any) -> dict[str, Any]:
        self.asked.append((verb, fields))
        for value in fields.values():
            if isinstance(value, str) and not value.isprintable():
                raise PreconditionFailed("names and binding keys have to be valid UTF-8")
        if self.gate is not None:
            await self.gate.wait()
        if verb in self.refusals:
            raise self.refusals[verb]
        return self._do(verb, fields)

    def push(self, verb: str, **fields: Any) -> None:
        self.pushed.append((verb, fields))

    def apply(self, *ops: dict[str, Any]) -> None:
        self.replica.apply_ops(ops)
        self.on_change({"version": self.replica.version, "ops": list(ops), "snapshot": False})

    def _do(self, verb: str, fields: dict[str, Any]) -> dict[str, Any]:
        vhost = fields.get("vhost", "/")
        if verb == "queue.declare":
            self._last_queue_id += 1
            queue = Queue(
                self._last_queue_id, fields["name"], vhost, fields["durable"] and not fields["exclusive"],
                fields["auto_delete"], fields["exclusive"], fields["owner"], fields["arguments"],
                self._last_queue_id % 2)
            self.apply(changes.queue_add(queue))
            return {"queue_id": queue.queue_id, "shard": queue.shard, "created": True}
        if verb == "queue.delete":
            found = self.replica.queue_by_id(fields["queue_id"])
            assert found is not None
            self.apply(changes.queue_delete(found))
            return {"message_count": 3}
        if verb == "exchange.declare":
            self.apply(changes.exchange_add(Exchange(
                vhost, fields["name"], fields["type"], fields["durable"], fields["auto_delete"], fields["internal"],
                fields["arguments"])))
        elif verb in ("queue.bind", "exchange.bind"):
            kind, source, destination = (
                ("queue", fields["exchange"], fields["queue"]) if verb == "queue.bind"
                else ("exchange", fields["source"], fields["destination"]))
            self.apply(changes.binding_add(
                Binding(vhost, source, destination, kind, fields["routing_key"], fields["arguments"]), True))
        elif verb == "connection.closed":
            self.apply(*[changes.queue_delete(queue) for queue in self.replica.exclusive_queues(fields["owner"])])
        return {}


class Bench:
    """The gateway, two shards, the catalog. guest may everything, reader may only read, stranger nothing."""

    def __init__(self, **settings: Any) -> None:
        loop = asyncio.get_running_loop()
        self.replica = Replica()
        self.replica.apply_ops([
            changes.vhost_add("/"),
            *(changes.user_add(User(name, hash_password(name), DEFAULT_ALGORITHM, ()))
              for name in ("guest", "reader", "stranger")),
            changes.permission_set("guest", "/", Permission(".*", ".*", ".*")),
            changes.permission_set("reader", "/", Permission("", "", ".*")),
        ])
        self.catalog = Catalog(self.replica)
        chosen: dict[str, Any] = dict(  # noqa: C408
            name="g0.1", shard_count=2, server_properties=server_properties("1.0", "warren", "test"),
            offered=Tuning(2047, 131072, 60), handshake_timeout_s=10.0, loopback_users=frozenset({"guest"}),
            connection_max=0, consumer_max_per_channel=0, max_message_bytes=1 << 20, reply_key=b"key") | settings
        self.gateway = Gateway(loop, GatewaySettings(**chosen), self.replica, self.catalog)
        self.catalog.on_change = self.gateway.on_topology_change
        self.links = {shard: Link(self, shard) for shard in range(2)}
        self.gateway.links = self.links     # type: ignore[assignment]
        for link in self.links.values():
            self.gateway.on_link_up(link)   # type: ignore[arg-type]

    def client(self, ends: Ends = LOCAL) -> "Client":
        wire = Wire()
        wire.connection = self.gateway.accept(wire, ends)
        return Client(self, wire)

    async def opened(self, *, user: str = "guest", properties: dict[str, Any] = CAPABILITIES) -> "Client":
        """A client after the handshake, with channel 1 open."""
        client = self.client()
        client.log_in(user, properties=properties)
        client.send(0, ConnectionTuneOk(2047, 131072, 0), ConnectionOpen("/"))
        client.send(1, ChannelOpen())
        await turn()
        client.methods()
        return client

    def pass_time(self, seconds: float) -> None:
        self.gateway.wheel.advance(self.gateway.now_s() + seconds)


class Client:
    """The far end of a wire."""

    def __init__(self, bench: Bench, wire: Wire) -> None:
        self.bench = bench
        self.wire = wire
        self.connection = wire.connection

    def raw(self, data: bytes) -> None:
        """Bytes, as the transport would hand them over."""
        self.wire.received_bytes += len(data)
        try:
            self.connection.receive(data)
        except Exception as error:
            self.connection.crash(error)
        self.bench.gateway.wake()

    def send(self, channel: int, *items: tuple[Any, ...]) -> None:
        self.raw(b"".join(methods.encode(channel, item) for item in items))

    async def call(self, channel: int, method: tuple[Any, ...]) -> list[tuple[int, Any]]:
        """Sends, and returns what came."""
        self.send(channel, method)
        await turn()
        return self.methods()

    def log_in(
        self, user: str = "guest", password: str | None = None, *, mechanism: str = "PLAIN",
        properties: dict[str, Any] = CAPABILITIES,
    ) -> None:
        secret = user if password is None else password
        self.raw(PROTOCOL_HEADER)
        self.send(0, ConnectionStartOk(properties, mechanism, f"\0{user}\0{secret}".encode(), "en_US"))

    def methods(self) -> list[tuple[int, Any]]:
        """(channel, method) of everything written since the last call. Content frames are left out."""
        self.wire.flush()
        data, self.wire.output = self.wire.output, b""
        found = []
        while data:
            if data == PROTOCOL_HEADER:
                found.append((0, PROTOCOL_HEADER))
                break
            kind, channel, size = struct.unpack_from(">BHI", data)
            payload, data = data[7 : 7 + size], data[8 + size :]
            if kind == FRAME_METHOD:
                class_id, method_id = struct.unpack_from(">HH", payload)
                found.append((channel, methods.decode(class_id, method_id, payload[4:])))
            else:
                found.append((channel, kind))
        return found
