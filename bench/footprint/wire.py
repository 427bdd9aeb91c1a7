"""Connections that speak to a broker in bulk: many methods at once, publishes made in advance, deliveries counted.

The load is plain Python and shares the machine with the broker; nothing here measures speed.
"""
from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import ClassVar, Final, TypeVar

from amqp091.methods import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicPublish,
    BasicQos,
    BasicQosOk,
    ConfirmSelect,
    ConfirmSelectOk,
    Method,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    encode,
)
from amqp091.properties import Properties, content_header_frame
from amqp091.properties import encode as encode_properties
from bench.perf.client import CHANNEL, Client
from bench.perf.errors import LoadError
from bench.perf.messages import PERSISTENT, body_frames
from bench.perf.url import parse

BODY_BYTES: Final = 100
MARK: Final = b"\x00warren-footprint\x01"
"""In each body; how often it comes is how many messages came."""
CALLS_AT_ONCE: Final = 500
PREFETCH: Final = 1000
COUNTED_BYTES: Final = 1 << 18
COUNT_TIMEOUT_S: Final = 120.0

Reply = TypeVar("Reply")


class Wire(Client):
    """One connection with one channel."""

    open: ClassVar[set[Wire]] = set()

    def __init__(self, url: str, name: str = "footprint") -> None:
        super().__init__(parse(url), name)
        Wire.open.add(self)
        self._confirms = False
        self._published = 0

    def calls(self, methods: Iterable[Method], reply: type[Reply]) -> None:
        """Each of them answered, many under way at once."""
        pending = list(methods)
        for start in range(0, len(pending), CALLS_AT_ONCE):
            group = pending[start : start + CALLS_AT_ONCE]
            self.send(b"".join(encode(CHANNEL, method) for method in group))
            for _ in group:
                self._expect(reply, CHANNEL)

    def publish(self, frames: bytes, count: int) -> None:
        """`count` publishes, all confirmed when this returns."""
        if not self._confirms:
            self.call(ConfirmSelect(), ConfirmSelectOk)
            self._confirms = True
        self._published += count
        self.send(frames)
        while True:
            ack = self._expect(BasicAck, CHANNEL)
            if ack.delivery_tag == self._published:
                return

    def close(self) -> None:
        super().close()
        Wire.open.discard(self)

    def abandon(self) -> None:
        """Hangs up without a goodbye."""
        self._socket.close()
        Wire.open.discard(self)

    def consume_and_acknowledge(self, queue: str, messages: int) -> None:
        """Takes so many messages from a queue, all of them acknowledged when this returns, and no more."""
        self.call(BasicQos(prefetch_count=PREFETCH), BasicQosOk)
        self.call(BasicConsume(queue=queue, consumer_tag="drain"), BasicConsumeOk)
        for taken in range(PREFETCH, messages + 1, PREFETCH):
            self.count(PREFETCH)
            if taken + PREFETCH > messages:
                self.call(BasicCancel("drain"), BasicCancelOk)
            self.tell(BasicAck(taken, True))

    def count(self, messages: int) -> None:
        """Takes deliveries until so many have come."""
        self._socket.settimeout(COUNT_TIMEOUT_S)
        buffer = bytearray(len(MARK) - 1 + COUNTED_BYTES)
        keep = len(MARK) - 1
        view = memoryview(buffer)
        found = bytes(self._left).count(MARK)
        while found < messages:
            try:
                size = self._socket.recv_into(view[keep:])
            except OSError as error:
                raise LoadError(f"{self.name}: {found} of {messages} messages came: {error}") from None
            if size == 0:
                raise LoadError(f"{self.name}: the connection was closed after {found} of {messages} messages")
            found += buffer.count(MARK, 0, keep + size)
            view[:keep] = bytes(view[size : size + keep])
        self._left.clear()


def hang_up(wires: Iterable[Wire]) -> None:
    for wire in wires:
        wire.abandon()


class Counter:
    """A thread that takes the deliveries of a connection."""

    def __init__(self, wire: Wire, messages: int) -> None:
        self._error: LoadError | None = None
        self._thread = threading.Thread(target=self._run, args=(wire, messages), daemon=True)
        self._thread.start()

    def _run(self, wire: Wire, messages: int) -> None:
        try:
            wire.count(messages)
        except LoadError as error:
            self._error = error

    def join(self) -> None:
        """When all have come."""
        self._thread.join()
        if self._error is not None:
            raise self._error


def publishes(exchange: str, keys: Sequence[str], *, persistent: bool = False, size: int = BODY_BYTES) -> bytes:
    """The frames of a message for each key."""
    properties = encode_properties(Properties(delivery_mode=PERSISTENT) if persistent else Properties())
    header = content_header_frame(CHANNEL, size, properties)
    frames = body_frames(size, 1 << 17)
    tail = header + frames[:7] + MARK + frames[7 + len(MARK) :]
    return b"".join(encode(CHANNEL, BasicPublish(0, exchange, key, False, False)) + tail for key in keys)


class Churn:
    """A thread that declares queues and deletes them, so many of each per second."""

    def __init__(self, wire: Wire, per_s: int, every_s: float = 0.01) -> None:
        self.queues = 0
        self._wire, self._at_once, self._every_s = wire, int(per_s * every_s), every_s
        self._error: LoadError | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        next_s = time.monotonic()
        try:
            while not self._stopped.wait(max(0.0, next_s - time.monotonic())):
                next_s += self._every_s
                names = [f"comes-and-goes-{self.queues + number}" for number in range(self._at_once)]
                self._wire.calls((QueueDeclare(queue=name) for name in names), QueueDeclareOk)
                self._wire.calls((QueueDelete(queue=name) for name in names), QueueDeleteOk)
                self.queues += len(names)
        except LoadError as error:
            self._error = error

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        if self._error is not None:
            raise self._error


class Pulse:
    """A thread that does a small thing over and over, and notes the longest time that one of them took."""

    def __init__(self, wire: Wire, frames: bytes, every_s: float = 0.002) -> None:
        self.longest_s = 0.0
        self.times = 0
        self._wire, self._frames, self._every_s = wire, frames, every_s
        self._error: LoadError | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stopped.wait(self._every_s):
                began_s = time.monotonic()
                self._wire.publish(self._frames, 1)
                self.longest_s = max(self.longest_s, time.monotonic() - began_s)
                self.times += 1
        except LoadError as error:
            self._error = error

    def stop(self) -> float:
        """The longest time, in seconds."""
        self._stopped.set()
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self.longest_s
