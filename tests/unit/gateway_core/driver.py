"""The Python side of the core, reduced to what a test can look at."""
from collections.abc import Callable
from typing import Any

import orjson

from amqp091.errors import AMQPError, NotFound
from gateway.core import ChannelCore, ConnectionCore, GatewayCore, Route, Way
from tests.unit.gateway_core import frames, records

CHANNEL_OPEN = (20, 10)
FRAME_MAX = 131_072
NOW_MS = 1_700_000_000_000
SCOPES = {b"headers": 3, b"fanout": 0}


class Gateway(GatewayCore):
    """Two shards, both up, unless said otherwise."""

    def __init__(self, shard_count: int = 2, **limits: Any) -> None:
        super().__init__(shard_count, **limits)
        self.documents: list[tuple[int, int, int, Any]] = []
        self.on_document: Callable[[], None] | None = None
        self.now_ms = NOW_MS
        self.next_numbers = [1] * shard_count
        for shard in range(shard_count):
            self.shard_up(shard)

    def on_json(self, shard: int, kind: int, request_id: int, document: bytes) -> None:
        self.documents.append((shard, kind, request_id, orjson.loads(document)))
        if self.on_document is not None:
            self.on_document()

    def wall_clock_ms(self) -> int:
        return self.now_ms

    def send(self, shard: int = 0) -> list[Any]:
        """What the worker does at the end of a turn, for one shard: the records of the batch."""
        batch = bytes(memoryview(self.outgoing(shard)))
        if batch:
            self.next_numbers[shard] += 1
            self.sent(shard, self.next_numbers[shard])
        return records.read(batch)

    def restart(self, shard: int) -> None:
        self.shard_down(shard)
        self.shard_up(shard)
        self.next_numbers[shard] = 1


class Channel(ChannelCore):
    connection: "Connection"

    def __init__(self, connection: "Connection", number: int) -> None:
        super().__init__(connection, number)
        self.asked: list[tuple[bytes, bytes, bytes | None]] = []
        self.settled = 0
        self.got: list[int] = []
        self.gone: list[int] = []
        self.committed: list[bool] = []

    def route(
        self, exchange: bytes, routing_keys: tuple[bytes, ...], headers: bytes | None, has_delay: bool,
        path: tuple[int, ...],
    ) -> Way:
        routing_key = routing_keys[0]
        self.asked.append((exchange, routing_key, headers))
        if self.connection.ways is not None:
            return self.connection.ways(exchange, routing_keys, headers, has_delay, path)
        answer = self.connection.routes.get((exchange, routing_key, headers), self.connection.routes.get(routing_key))
        if answer is None:
            raise NotFound("no exchange", class_id=60, method_id=40)
        way: Way = answer() if callable(answer) else answer
        return way

    def route_scope(self, exchange: bytes) -> int:
        return SCOPES.get(exchange, 1)

    def on_settled(self) -> None:
        self.settled += 1

    def on_get_ok(self, request_id: int) -> None:
        self.got.append(request_id)

    def on_get_gone(self, request_id: int) -> None:
        self.gone.append(request_id)

    def on_tx_committed(self, ok: bool) -> None:
        self.committed.append(ok)


class Connection(ConnectionCore):
    """Opened, with the channels asked for. Routing keys: q (shard 0), r (shard 1), both, transient, nowhere."""

    def __init__(self, gateway: Gateway, channels: int = 1, *, opened: bool = True) -> None:
        super().__init__(gateway)
        self.headers: list[bytes] = []
        self.methods: list[tuple[int, int, int, bytes]] = []
        self.errors: list[tuple[int, AMQPError]] = []
        self.held: list[int] = []
        self.lost: list[int] = []
        self.ways: Callable[..., Way] | None = None     # answers instead of `routes`
        self.on_method_do: Callable[..., Any] | None = None
        self.routes: dict[Any, Any] = {
            b"q": Route([(0, 10, True)]),
            b"r": Route([(1, 20, True)]),
            b"both": Route([(0, 10, True), (1, 20, True)]),
            b"transient": Route([(0, 11, False)]),
            b"nowhere": Route([]),
        }
        if opened:
            self.receive(frames.HEADER)
            self.frame_max = FRAME_MAX
            self.opened = True
        for number in range(1, channels + 1):
            Channel(self, number)

    def on_protocol_header(self, header: bytes) -> None:
        self.headers.append(header)

    def on_method(self, channel_number: int, class_id: int, method_id: int, arguments: bytes) -> None:
        self.methods.append((channel_number, class_id, method_id, arguments))
        if self.on_method_do is not None:
            self.on_method_do(self, channel_number, (class_id, method_id))

    def on_channel_error(self, channel_number: int, error: AMQPError) -> None:
        self.errors.append((channel_number, error))

    def on_connection_error(self, error: AMQPError) -> None:
        self.errors.append((0, error))

    def on_publish_held(self, shard: int) -> None:
        self.held.append(shard)

    def on_lent_lost(self, shard: int) -> None:
        self.lost.append(shard)

    def sees(self) -> list[frames.Sent]:
        """What the client got since the last look."""
        output = self.take_output()
        return [] if output is None else frames.read(bytes(output), self.frame_max)

    def failed(self) -> list[tuple[int, int, str]]:
        """(channel, reply code, text) of every error."""
        return [(number, error.reply_code, error.text) for number, error in self.errors]
