"""A blocking AMQP client for what happens once: opening connections, declaring, deleting. No message passes here.

After the handshake a connection's socket, and what was read beyond it, are handed to the compiled core (`detach`).
Whatever goes wrong is a LoadError that says what was tried and what the broker said.
"""
from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Any, Final, TypeVar

from amqp091.constants import FRAME_MAX_DEFAULT, FRAME_METHOD, PROTOCOL_HEADER, PROTOCOL_HEADER_BYTES
from amqp091.errors import AMQPError
from amqp091.methods import (
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ChannelOpenOk,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionSecure,
    ConnectionStart,
    ConnectionStartOk,
    ConnectionTune,
    ConnectionTuneOk,
    Method,
    decode,
    encode,
    method_name,
)
from amqp091.scanner import read_frame
from bench.perf.errors import LoadError
from bench.perf.url import Address

CONNECT_TIMEOUT_S: Final = 10.0
ANSWER_TIMEOUT_S: Final = 60.0
"""For a declaration on a busy broker."""
READ_BYTES: Final = 65536
CHANNEL: Final = 1
MECHANISM: Final = "PLAIN"
LOCALE: Final = "en_US"
LINGER_NOT: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: on, for no time."""
CAPABILITIES: Final = {
    "publisher_confirms": True,
    "basic.nack": True,
    "consumer_cancel_notify": True,
    "connection.blocked": True,
    "authentication_failure_close": True,
}
METHOD_HEAD: Final = struct.Struct(">HH")
START: Final = (10, 10)

Reply = TypeVar("Reply")


class Client:
    """One connection with one channel, open when the constructor returns."""

    def __init__(self, address: Address, name: str, heartbeat_s: int = 0) -> None:
        """`heartbeat_s`: what is agreed on; to send them is the caller's."""
        self.address = address
        self.heartbeat_s = heartbeat_s
        self.name = name
        self.server_properties: dict[str, Any] = {}
        self.channel_max = 0
        self.frame_max = FRAME_MAX_DEFAULT
        self._left = bytearray()
        self._doing = ""
        self._socket = self._connect()
        try:
            self._handshake()
        except BaseException:
            self._socket.close()
            raise

    # -- opening

    def _connect(self) -> socket.socket:
        try:
            made = socket.create_connection((self.address.host, self.address.port), CONNECT_TIMEOUT_S)
        except OSError as error:
            raise LoadError(f"cannot connect to {self.address.place}: {error.strerror or error}") from None
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.settimeout(ANSWER_TIMEOUT_S)
        self._family, self._peer = made.family, made.getpeername()
        return made

    def _handshake(self) -> None:
        self.send(PROTOCOL_HEADER)
        start = self._expect(ConnectionStart, 0)
        self.server_properties = start.server_properties
        if MECHANISM.encode() not in start.mechanisms.split():
            offered = start.mechanisms.decode("utf-8", "replace")
            raise self._error(f"the broker offers no {MECHANISM} login, only {offered}")
        self.send(encode(0, self.start_ok()))
        self._doing = f" (login of user {self.address.user!r} refused?)"
        tune = self._expect(ConnectionTune, 0)
        self._doing = ""
        self.channel_max = tune.channel_max
        self.frame_max = min(tune.frame_max or FRAME_MAX_DEFAULT, FRAME_MAX_DEFAULT)
        self.send(encode(0, self.tune_ok()))
        self.call(ConnectionOpen(self.address.vhost), ConnectionOpenOk, 0)
        self.call(ChannelOpen(), ChannelOpenOk)

    def start_ok(self) -> ConnectionStartOk:
        """Who we are."""
        properties = {"product": "warren perf", "connection_name": self.name, "capabilities": dict(CAPABILITIES)}
        secret = f"\0{self.address.user}\0{self.address.password}".encode()
        return ConnectionStartOk(properties, MECHANISM, secret, LOCALE)

    def tune_ok(self) -> ConnectionTuneOk:
        """As the broker proposed it, but for heartbeats."""
        return ConnectionTuneOk(self.channel_max, self.frame_max, self.heartbeat_s)

    def connect_again(self) -> int:
        """A new socket in place of the old one, on its way to the same broker; its descriptor.

        It will be closed by a reset, so that it leaves no port waiting behind: there are not enough for a churn.
        """
        self._socket.close()
        self._socket = socket.socket(self._family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        error = self._socket.connect_ex(self._peer)
        if error not in (0, errno.EINPROGRESS):
            raise self._error(f"cannot connect: {os.strerror(error)}")
        return self._socket.fileno()

    @property
    def descriptor(self) -> int:
        return self._socket.fileno()

    # -- talking

    def call(self, method: Method, reply: type[Reply], channel: int = CHANNEL) -> Reply:
        """A method and its answer."""
        self.send(encode(channel, method))
        return self._expect(reply, channel)

    def tell(self, method: Method, channel: int = CHANNEL) -> None:
        """A method that is not answered."""
        self.send(encode(channel, method))

    def reopen_channel(self) -> None:
        """After a call that closed the channel, and was expected to."""
        self.call(ChannelOpen(), ChannelOpenOk)

    def close(self) -> None:
        """With a goodbye; a broker that is gone is no error."""
        try:
            self.call(ConnectionClose(200, "Goodbye", 0, 0), ConnectionCloseOk, 0)
        except (LoadError, OSError):
            pass
        finally:
            self._socket.close()

    def detach(self) -> tuple[socket.socket, bytes]:
        """The socket, which blocks no more, and bytes that belong to it and were read already."""
        self._socket.setblocking(False)
        return self._socket, bytes(self._left)

    def send(self, data: bytes) -> None:
        """Frames that are ready."""
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise self._error(f"cannot send: {error.strerror or error}") from None

    def _expect(self, kind: type[Reply], channel: int) -> Reply:
        """The next method of that kind; heartbeats and connection.blocked may come before."""
        while True:
            found_channel, method = self._next_method()
            if isinstance(method, kind) and found_channel == channel:
                return method
            if isinstance(method, ConnectionClose):
                raise self._closed("connection", method, ConnectionCloseOk(), 0)
            if isinstance(method, ChannelClose):
                raise self._closed("channel", method, ChannelCloseOk(), CHANNEL)
            if isinstance(method, ConnectionSecure):
                raise self._error(f"the broker asks for more than a {MECHANISM} login")

    def _next_method(self) -> tuple[int, Method]:
        while True:
            if self._left[:4] == b"AMQP" and len(self._left) >= PROTOCOL_HEADER_BYTES:
                version = "-".join(str(number) for number in self._left[5:PROTOCOL_HEADER_BYTES])
                raise self._error(f"the broker does not speak AMQP 0-9-1; it offers {version}")
            try:
                frame = None if self._left[:1] == b"A" else read_frame(bytes(self._left))
                if frame is not None:
                    consumed, kind, channel, payload = frame
                    del self._left[:consumed]
                    if kind == FRAME_METHOD and len(payload) >= METHOD_HEAD.size:
                        class_id, method_id = METHOD_HEAD.unpack_from(payload)
                        return channel, _decoded(class_id, method_id, payload[METHOD_HEAD.size :])
                    continue
            except AMQPError as error:
                raise self._error(f"the broker sent what is no AMQP: {error}") from None
            self._left += self._read()

    def _read(self) -> bytes:
        try:
            data = self._socket.recv(READ_BYTES)
        except TimeoutError:
            raise self._error(f"no answer within {ANSWER_TIMEOUT_S:.0f} s") from None
        except OSError as error:
            raise self._error(f"the connection broke: {error.strerror or error}") from None
        if not data:
            raise self._error(f"the broker closed the TCP connection{self._doing}")
        return data

    # -- errors

    def _error(self, text: str) -> LoadError:
        return LoadError(f"{self.name} at {self.address.place}: {text}")

    def _closed(self, level: str, close: Any, answer: Method, channel: int) -> LoadError:
        try:
            self._socket.sendall(encode(channel, answer))
        except OSError:
            pass
        cause = f" ({method_name((close.class_id, close.method_id))})" if close.class_id else ""
        return self._error(f"the broker closed the {level}: {close.reply_code} {close.reply_text}{cause}")


def _decoded(class_id: int, method_id: int, arguments: bytes) -> Any:
    """A server whose connection.start cannot be read is tried with our login all the same: it says no if it must."""
    try:
        return decode(class_id, method_id, arguments)
    except AMQPError:
        if (class_id, method_id) != START:
            raise
        return ConnectionStart(0, 9, {}, MECHANISM.encode(), LOCALE.encode())
