"""Publishers and readers fast enough to press a broker: frames are made and recognised by pattern, not one by one.

A message's body begins with its number in eight digits. A Flood sends numbered messages as fast as the broker takes
them; a Reader takes deliveries off a socket and keeps their numbers, in the order in which they came.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from tests.harness import wire
from tests.harness.client import Client, Endpoint, connect
from tests.harness.methods import Basic, Properties
from tests.harness.warren import Warren

DIGITS = 8
PIECE = 200
READ_BYTES = 1 << 18
TRIES_MAX = 60


class Flood(threading.Thread):
    """Sends `count` messages to a queue; `sent` tells how far it came. It reads nothing."""

    def __init__(
        self,
        endpoint: Endpoint,
        queue: str,
        count: int,
        body_bytes: int,
        *,
        delivery_mode: int = 1,
        confirm: bool = False,
        piece: int = PIECE,
    ) -> None:
        super().__init__(daemon=True)
        self.client = connect(endpoint)
        self.client.socket.settimeout(None)
        self.channel = self.client.channel()
        if confirm:
            self.channel.confirm()
        self.client.socket.settimeout(None)
        self.count, self.piece, self.sent = count, piece, 0
        self.error: Exception | None = None
        mark = b"0" * DIGITS
        frames = wire.publish(1, "", queue, mark.ljust(body_bytes, b"."), Properties(delivery_mode=delivery_mode))
        self._before, self._after = frames.split(mark)

    def run(self) -> None:
        try:
            while self.sent < self.count:
                numbers = range(self.sent, min(self.sent + self.piece, self.count))
                self.client.socket.sendall(
                    b"".join(b"%b%08d%b" % (self._before, number, self._after) for number in numbers)
                )
                self.sent = numbers.stop
        except OSError as error:
            self.error = error

    def finish(self, timeout_s: float = 60.0) -> None:
        """Wait until everything was taken by the broker, and hang up."""
        self.join(timeout_s)
        assert not self.is_alive(), f"only {self.sent} of {self.count} messages were taken"
        assert self.error is None, self.error
        self.client.close()


class Reader:
    """A consumer that reads its socket only when it is told to; bodies fit one frame."""

    def __init__(
        self,
        endpoint: Endpoint,
        queue: str,
        body_bytes: int,
        *,
        prefetch: int = 0,
        no_ack: bool = False,
        receive_buffer_bytes: int | None = None,
    ) -> None:
        self.client: Client = connect(endpoint)
        if receive_buffer_bytes is not None:
            self.client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.channel = self.client.channel()
        if prefetch:
            self.channel.qos(prefetch)
        self.numbers: list[int] = []
        self.prefetch, self.no_ack = prefetch, no_ack
        head = re.escape(b"\x03\x00\x01" + body_bytes.to_bytes(4, "big"))
        self._pattern = re.compile(head + rb"(\d{8})\.{%d}\xce" % (body_bytes - DIGITS))
        self._rest = b""
        self._acked = 0
        self.channel.send(Basic.Consume(queue=queue, consumer_tag="reader", no_ack=no_ack, nowait=True))

    def read(self, until: int, timeout_s: float = 60.0, *, read_bytes: int = READ_BYTES) -> list[int]:
        """Read until so many messages have come in all; acknowledge them where there is a prefetch."""
        deadline = time.monotonic() + timeout_s
        while len(self.numbers) < until:
            self.client.socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                data = self.client.socket.recv(read_bytes)
            except TimeoutError:
                raise TimeoutError(f"{len(self.numbers)} of {until} messages came within {timeout_s} s") from None
            assert data, f"the broker hung up after {len(self.numbers)} messages"
            self._take(data)
        return self.numbers

    def _take(self, data: bytes) -> None:
        data = self._rest + data
        end = 0
        for found in self._pattern.finditer(data):
            self.numbers.append(int(found[1]))
            end = found.end()
        self._rest = data[end:]
        if self.prefetch and len(self.numbers) - self._acked >= max(self.prefetch // 2, 1):
            self.acknowledge()

    def acknowledge(self) -> None:
        """Everything that has come."""
        if self._acked < len(self.numbers):
            self._acked = len(self.numbers)
            self.channel.ack(self._acked, multiple=True)

    def finish(self, queue: str) -> None:
        """Nothing more may come; hangs up."""
        if not self.no_ack:
            self.acknowledge()
        assert self._rest == b""
        self.channel.expect_nothing(queue)
        self.client.close()


class Pulse(threading.Thread):
    """A well-behaved client: sends itself one message after another, and keeps how long each took."""

    def __init__(self, endpoint: Endpoint, queue: str) -> None:
        super().__init__(daemon=True)
        self.client = connect(endpoint)
        self.channel = self.client.channel()
        self.channel.declare(queue, durable=True)
        self.channel.consume(queue, no_ack=True)
        self.queue = queue
        self.took_s: list[float] = []
        self.stopping = threading.Event()
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                began = time.monotonic()
                self.channel.publish("", self.queue, b"beat")
                assert self.channel.delivery().body == b"beat"
                self.took_s.append(time.monotonic() - began)
        except Exception as error:
            self.error = error

    def beats(self, seconds_max: float = 20.0) -> int:
        """Waits for some more beats; how many there have been."""
        count, deadline = len(self.took_s), time.monotonic() + seconds_max
        while len(self.took_s) < count + 20 and time.monotonic() < deadline and self.error is None:
            time.sleep(0.01)
        assert self.error is None, self.error
        assert len(self.took_s) >= count + 20, f"{len(self.took_s) - count} beats in {seconds_max} s"
        return len(self.took_s)

    def finish(self) -> None:
        self.stopping.set()
        self.join(15)
        self.client.drop()
        assert self.error is None, self.error


T = TypeVar("T", bound="HasClient")


class HasClient(Protocol):
    """What has one connection."""

    client: Client


def gateway_of(server: Warren, client: Client) -> int:
    """The gateway that a connection is at."""
    own = "{}:{} ".format(*client.socket.getsockname())
    return int(next(row["gateway"] for row in server.listing("connections") if row["name"].startswith(own)))


def at_gateway(server: Warren, gateway: int, make: Callable[[], T]) -> T:
    """One whose connection is at this gateway: the kernel chooses, so ask until it chose right."""
    for _ in range(TRIES_MAX):
        one = make()
        if gateway_of(server, one.client) == gateway:
            return one
        one.client.close()
    raise AssertionError(f"the kernel never chose gateway {gateway}")
