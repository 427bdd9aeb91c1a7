"""A raw AMQP client: it sends any bytes, and waits for frames with a time limit.

It keeps no state that a correct client would need: nothing is retried, nothing is hidden, frames arrive as they came,
in order. A test that expects silence asks the broker something harmless and looks whether the answer comes first.
"""

from __future__ import annotations

import socket
import struct
import time
from collections import deque
from typing import Any, NamedTuple

from tests.harness import wire
from tests.harness.channel import ChannelClient
from tests.harness.methods import Channel, Connection
from tests.harness.wire import ContentAssembly, Message

TIMEOUT_S = 10.0
READ_BYTES = 1 << 18
CAPABILITIES = {
    "publisher_confirms": True,
    "exchange_exchange_bindings": True,
    "basic.nack": True,
    "consumer_cancel_notify": True,
    "connection.blocked": True,
    "authentication_failure_close": True,
}


class Endpoint(NamedTuple):
    """Where a broker listens, and which one it is."""

    host: str
    port: int
    broker: str = "warren"


class Arrival(NamedTuple):
    """A whole method, with its content if it carries any, or a heartbeat (method None)."""

    channel: int
    method: Any
    message: Message | None


class Closed(ConnectionError):
    """The broker ended the TCP connection."""


class FrameReader:
    """Cuts the received bytes into frames and puts contents together."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._at = 0
        self._contents: dict[int, ContentAssembly] = {}
        self.largest_frame_bytes = 0

    def feed(self, data: bytes) -> list[Arrival]:
        self._data += data
        arrivals = []
        while (frame := self._next_frame()) is not None:
            arrival = self._take(*frame)
            if arrival is not None:
                arrivals.append(arrival)
        if self._at > READ_BYTES or self._at == len(self._data):
            del self._data[: self._at]
            self._at = 0
        return arrivals

    def _next_frame(self) -> tuple[int, int, bytes] | None:
        at, data = self._at, self._data
        if len(data) - at < wire.FRAME_OVERHEAD_BYTES - 1:
            return None
        kind, channel, size = struct.unpack_from(">BHI", data, at)
        if data[at : at + 4] == b"AMQP":
            raise AssertionError(f"a protocol header among the frames: {bytes(data[at : at + 8])!r}")
        end = at + 7 + size
        if len(data) <= end:
            return None
        if data[end] != wire.FRAME_END:
            raise AssertionError(f"frame of type {kind} on channel {channel} ends with {data[end]:#x}")
        self._at = end + 1
        self.largest_frame_bytes = max(self.largest_frame_bytes, size + wire.FRAME_OVERHEAD_BYTES)
        return kind, channel, bytes(data[at + 7 : end])

    def _take(self, kind: int, channel: int, payload: bytes) -> Arrival | None:
        if kind == wire.FRAME_HEARTBEAT:
            return Arrival(channel, None, None)
        if kind == wire.FRAME_METHOD:
            if channel in self._contents:
                raise AssertionError(f"a method in the middle of a content on channel {channel}")
            method = wire.decode_method(payload)
            if method.index not in wire.CARRIES_CONTENT:
                return Arrival(channel, method, None)
            self._contents[channel] = ContentAssembly(method)
            return None
        assembly = self._contents[channel]
        message = assembly.add(kind, payload)
        if message is None:
            return None
        del self._contents[channel]
        return Arrival(channel, assembly.method, message)


class Client:
    """One TCP connection."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.socket = socket.create_connection((endpoint.host, endpoint.port), timeout=TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = FrameReader()
        self._arrived: deque[Arrival] = deque()
        self._raw = bytearray()
        self.heartbeats = 0
        self.frame_max = 131072
        self.server_properties: dict[str, Any] = {}
        self.tune: Any = None

    # -- life -------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()

    def drop(self) -> None:
        """End the TCP connection without a word."""
        self.socket.close()

    def reset(self) -> None:
        """End the TCP connection with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        """connection.close, close-ok, end."""
        self.send(0, Connection.Close(reply_code=200, reply_text="bye", class_id=0, method_id=0))
        while not isinstance(self.next().method, Connection.CloseOk):
            pass
        self.drop()

    def start(self, capabilities: dict[str, bool] | None = None) -> Any:
        """Send the protocol header and return connection.start."""
        self.send_bytes(wire.PROTOCOL_HEADER)
        start = self.expect(Connection.Start)
        self.server_properties = start.server_properties
        return start

    def start_ok(
        self,
        user: str = "guest",
        password: str = "guest",
        *,
        mechanism: str = "PLAIN",
        response: str | None = None,
        capabilities: dict[str, bool] | None = None,
        properties: dict[str, Any] | None = None,
    ) -> None:
        """Answer connection.start."""
        client_properties: dict[str, Any] = {
            "product": "tests",
            "capabilities": CAPABILITIES if capabilities is None else capabilities,
            **(properties or {}),
        }
        text = f"\0{user}\0{password}" if response is None else response
        self.send(
            0,
            Connection.StartOk(client_properties=client_properties, mechanism=mechanism, response=text, locale="en_US"),
        )

    def handshake(
        self,
        user: str = "guest",
        password: str = "guest",
        vhost: str = "/",
        *,
        channel_max: int | None = None,
        frame_max: int | None = None,
        heartbeat: int = 0,
        capabilities: dict[str, bool] | None = None,
        properties: dict[str, Any] | None = None,
    ) -> Client:
        """The whole way to connection.open-ok."""
        self.start()
        self.start_ok(user, password, capabilities=capabilities, properties=properties)
        self.tune = self.expect(Connection.Tune)
        self.frame_max = self.tune.frame_max if frame_max is None else frame_max
        self.tune_ok(self.tune.channel_max if channel_max is None else channel_max, self.frame_max, heartbeat)
        self.open(vhost)
        self.expect(Connection.OpenOk)
        return self

    def tune_ok(self, channel_max: int, frame_max: int, heartbeat: int = 0) -> None:
        self.send(0, Connection.TuneOk(channel_max=channel_max, frame_max=frame_max, heartbeat=heartbeat))

    def open(self, vhost: str = "/") -> None:
        self.send(0, Connection.Open(virtual_host=vhost))

    # -- sending ----------------------------------------------------------------------------------------------------

    def send_bytes(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send(self, channel: int, *methods: Any) -> None:
        """Send methods on one channel, in one piece."""
        self.send_bytes(b"".join(wire.method(channel, method) for method in methods))

    def send_in_pieces(self, data: bytes, piece_bytes: int = 1) -> None:
        """Send with every piece in a TCP segment of its own."""
        for at in range(0, len(data), piece_bytes):
            self.socket.sendall(data[at : at + piece_bytes])

    # -- waiting ----------------------------------------------------------------------------------------------------

    def next(self, timeout_s: float = TIMEOUT_S) -> Arrival:
        """The next method on any channel; heartbeats are counted and passed over."""
        deadline = time.monotonic() + timeout_s
        while True:
            while self._arrived:
                arrival = self._arrived.popleft()
                if arrival.method is not None:
                    return arrival
                self.heartbeats += 1
            self._receive(deadline)

    def next_on(self, channel: int, timeout_s: float = TIMEOUT_S) -> Arrival:
        """The next method on this channel or on channel 0; what came for others stays for them."""
        deadline = time.monotonic() + timeout_s
        passed: list[Arrival] = []
        try:
            while True:
                while self._arrived:
                    arrival = self._arrived.popleft()
                    if arrival.channel == channel or (arrival.channel == 0 and arrival.method is not None):
                        return arrival
                    if arrival.method is None:
                        self.heartbeats += 1
                    else:
                        passed.append(arrival)
                self._receive(deadline)
        finally:
            self._arrived.extendleft(reversed(passed))

    def expect(self, kind: Any, channel: int = 0, timeout_s: float = TIMEOUT_S) -> Any:
        """The next method on this channel, which must be of this kind."""
        arrival = self.next_on(channel, timeout_s)
        if not isinstance(arrival.method, kind):
            raise AssertionError(
                f"expected {kind.__name__} on channel {channel}, got {arrival.method!r} on {arrival.channel}"
            )
        return arrival.method

    def call(self, channel: int, method: Any, kind: Any, timeout_s: float = TIMEOUT_S) -> Any:
        """Send a method and return its answer."""
        self.send(channel, method)
        return self.expect(kind, channel, timeout_s)

    def expect_connection_error(
        self, code: int, text: str | None = None, timeout_s: float = TIMEOUT_S, *, await_end: bool = True
    ) -> Any:
        """connection.close with this code must be the next method on channel 0; answers it and sees TCP end.

        A broker that lost the frames cannot see the answer and ends TCP some seconds later; tests need not wait.
        """
        close = None
        while not isinstance(close, Connection.Close):
            close = self.next(timeout_s).method
        assert close.reply_code == code, f"expected {code}, got {close.reply_code}: {close.reply_text}"
        if text is not None:
            assert text in close.reply_text, f"{text!r} not in {close.reply_text!r}"
        try:
            self.send(0, Connection.CloseOk())
        except OSError:
            pass
        if await_end:
            self.expect_end(timeout_s)
        return close

    def expect_channel_error(
        self, channel: int, code: int, text: str | None = None, timeout_s: float = TIMEOUT_S
    ) -> Any:
        """channel.close with this code must be the next method on this channel; answers it."""
        close = self.expect(Channel.Close, channel, timeout_s)
        assert close.reply_code == code, f"expected {code}, got {close.reply_code}: {close.reply_text}"
        if text is not None:
            assert text in close.reply_text, f"{text!r} not in {close.reply_text!r}"
        self.send(channel, Channel.CloseOk())
        return close

    def expect_end(self, timeout_s: float = TIMEOUT_S) -> None:
        """The broker must end the TCP connection; whatever it still sends is dropped."""
        deadline = time.monotonic() + timeout_s
        while True:
            self.socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                if not self.socket.recv(READ_BYTES):
                    return
            except (ConnectionResetError, BrokenPipeError):
                return
            except TimeoutError:
                raise AssertionError(f"the connection is still open after {timeout_s} s") from None

    def receive_raw(self, size: int, timeout_s: float = TIMEOUT_S) -> bytes:
        """Exactly so many bytes that are no frames, or what came before the end."""
        self.socket.settimeout(timeout_s)
        data = b""
        while len(data) < size:
            try:
                piece = self.socket.recv(size - len(data))
            except ConnectionResetError:
                break
            if not piece:
                break
            data += piece
        return data

    def wait_heartbeat(self, timeout_s: float = TIMEOUT_S) -> None:
        """Return when a heartbeat has arrived."""
        deadline = time.monotonic() + timeout_s
        while not any(arrival.method is None for arrival in self._arrived):
            self._receive(deadline)
        self._arrived = deque(arrival for arrival in self._arrived if arrival.method is not None)

    def _receive(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no frame in time")
        self.socket.settimeout(left)
        try:
            data = self.socket.recv(READ_BYTES)
        except TimeoutError:
            raise TimeoutError("no frame in time") from None
        except ConnectionResetError:
            raise Closed("the broker reset the connection") from None
        if not data:
            raise Closed("the broker ended the connection")
        self._arrived.extend(self.reader.feed(data))

    # -- channels ---------------------------------------------------------------------------------------------------

    def channel(self, number: int = 1) -> ChannelClient:
        """Open a channel."""
        self.call(number, Channel.Open(), Channel.OpenOk)
        return ChannelClient(self, number)


def connect(endpoint: Endpoint, **options: Any) -> Client:
    """A client that is through the handshake."""
    client = Client(endpoint)
    try:
        return client.handshake(**options)
    except BaseException:
        client.drop()
        raise
