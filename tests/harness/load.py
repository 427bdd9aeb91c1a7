"""Publishers and consumers that run in threads while a test kills processes, and remember what they were told.

A publisher numbers its messages per queue and keeps which were confirmed; a consumer keeps what came and what it
acknowledged. What must hold afterwards is in `check_queue`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from tests.harness import wire
from tests.harness.channel import PERSISTENT
from tests.harness.client import Client, Endpoint, connect
from tests.harness.methods import Basic, Channel, Connection, Properties
from tests.harness.wire import Message

JOIN_TIMEOUT_S = 30.0
DRAIN_BATCH = 500


@dataclass
class Told:
    """What a publisher knows of its messages for one queue: numbers from 0."""

    sent: int = 0
    confirmed: set[int] = field(default_factory=set)
    nacked: set[int] = field(default_factory=set)


class Worker(threading.Thread):
    """A thread with one connection; the end of the connection ends it and is kept in `error`."""

    running: ClassVar[list[Worker]] = []

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(daemon=True)
        self.client: Client = connect(endpoint)
        self.channel = self.client.channel()
        self.error: Exception | None = None
        self.stopping = threading.Event()
        Worker.running.append(self)

    def run(self) -> None:
        try:
            self.work()
        except Exception as error:
            self.error = error

    def work(self) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        """Stop, wait, and end the connection. What it held is ready again, where the connection was still whole."""
        self.stopping.set()
        if self.ident is not None:
            self.join(JOIN_TIMEOUT_S)
        ended = not self.is_alive()
        if ended and self.error is None:
            with contextlib.suppress(OSError, AssertionError):      # it may have broken since
                self.client.close()
        self.client.drop()
        if self in Worker.running:
            Worker.running.remove(self)
        assert ended, f"{self} does not stop"


class Publisher(Worker):
    """Publishes numbered messages to its queues in turn, with a window of unconfirmed ones."""

    def __init__(
        self,
        endpoint: Endpoint,
        name: str,
        queues: Iterable[str],
        *,
        window: int = 100,
        size: int = 40,
        delivery_mode: int = PERSISTENT,
        count: int | None = None,
    ) -> None:
        super().__init__(endpoint)
        self.prefix = name
        self.queues = list(queues)
        self.window, self.size, self.count = window, size, count
        self.told = {queue: Told() for queue in self.queues}
        self.waits_s: list[float] = []
        self._properties = Properties(delivery_mode=delivery_mode)
        self._in_flight: dict[int, tuple[str, int, float]] = {}
        self._sequence = 0
        self.channel.confirm()

    @property
    def confirmed_count(self) -> int:
        return sum(len(told.confirmed) for told in self.told.values())

    def body(self, queue: str, number: int) -> bytes:
        return f"{self.prefix}|{queue}|{number}|".encode().ljust(self.size, b".")

    def work(self) -> None:
        while not self.stopping.is_set() and (self.count is None or self._sequence < self.count):
            self._fill()
            self._take(self.client.next_on(1))
        while self._in_flight:
            self._take(self.client.next_on(1))

    def _fill(self) -> None:
        frames = []
        now = time.monotonic()
        while len(self._in_flight) < self.window and (self.count is None or self._sequence < self.count):
            queue = self.queues[self._sequence % len(self.queues)]
            told = self.told[queue]
            self._sequence += 1
            self._in_flight[self._sequence] = (queue, told.sent, now)
            frames.append(wire.publish(1, "", queue, self.body(queue, told.sent), self._properties))
            told.sent += 1
        if frames:
            self.client.send_bytes(b"".join(frames))

    def _take(self, arrival: object) -> None:
        method = arrival.method  # type: ignore[attr-defined]
        if isinstance(method, (Connection.Close, Channel.Close)):
            raise AssertionError(f"closed: {method!r}")
        if isinstance(method, (Connection.Blocked, Connection.Unblocked)):
            return
        assert isinstance(method, (Basic.Ack, Basic.Nack)), method
        tag = method.delivery_tag
        answered = [n for n in self._in_flight if n <= tag] if method.multiple else [tag]
        now = time.monotonic()
        for sequence in answered:
            queue, number, sent_s = self._in_flight.pop(sequence)
            self.waits_s.append(now - sent_s)
            told = self.told[queue]
            (told.confirmed if isinstance(method, Basic.Ack) else told.nacked).add(number)


class Consumer(Worker):
    """Consumes queues and acknowledges each message, or every n-th."""

    def __init__(self, endpoint: Endpoint, queues: Iterable[str], *, prefetch: int = 50, ack_every: int = 1) -> None:
        super().__init__(endpoint)
        self.received: list[tuple[bytes, bool]] = []
        self.acked: list[bytes] = []
        self.ack_every = ack_every
        self._unacked: list[bytes] = []
        self.channel.qos(prefetch)
        for queue in queues:
            self.channel.consume_quietly(queue, queue)

    def work(self) -> None:
        while not self.stopping.is_set():
            try:
                arrival = self.client.next_on(1, 0.1)
            except TimeoutError:
                continue
            assert isinstance(arrival.method, Basic.Deliver), arrival.method
            message = arrival.message
            assert message is not None
            self.received.append((message.body, message.redelivered))
            self._unacked.append(message.body)
            if len(self._unacked) >= self.ack_every:
                self.channel.ack(message.delivery_tag, multiple=True)
                self.acked += self._unacked
                self._unacked = []


def drain(endpoint: Endpoint, queue: str, quiet_s: float = 0.1) -> list[Message]:
    """Everything in a queue, in order, each message acknowledged."""
    with connect(endpoint) as client:
        channel = client.channel()
        waiting = channel.count(queue)
        channel.qos(DRAIN_BATCH)
        channel.consume(queue)
        messages: list[Message] = []
        while True:
            try:
                messages.append(channel.delivery(10.0 if len(messages) < waiting else quiet_s))
            except TimeoutError:
                break
            if len(messages) % (DRAIN_BATCH // 2) == 0:
                channel.ack(messages[-1].delivery_tag, multiple=True)
        if messages:
            channel.ack(messages[-1].delivery_tag, multiple=True) if len(messages) % (DRAIN_BATCH // 2) else None
        channel.expect_nothing(queue)
        client.close()
        return messages


def number_of(body: bytes) -> tuple[str, int]:
    """Publisher and number of a message."""
    publisher, _queue, number, _ = body.split(b"|", 3)
    return publisher.decode(), int(number)


def check_queue(
    queue: str,
    messages: list[Message],
    publishers: Iterable[Publisher],
    acked: Iterable[bytes] = (),
    acked_for_sure: Iterable[bytes] = (),
) -> None:
    """The promise of a confirm, after a crash.

    Every confirmed message that was not acknowledged is there, none twice, each publisher's in order. An acknowledged
    one may come back only marked redelivered, and not at all if its acknowledgement is of old.
    """
    bodies = [message.body for message in messages]
    assert len(bodies) == len(set(bodies)), f"{queue}: {len(bodies) - len(set(bodies))} messages are there twice"
    present, acknowledged, old = set(bodies), set(acked), set(acked_for_sure)
    for publisher in publishers:
        told = publisher.told.get(queue)
        if told is None:
            continue
        confirmed = {publisher.body(queue, number) for number in told.confirmed}
        missing = confirmed - present - acknowledged
        assert not missing, (
            f"{queue}: {len(missing)} of {len(confirmed)} confirmed messages are lost: {sorted(missing)[:3]}"
        )
    last: dict[str, int] = {}
    for message in messages:
        publisher_name, number = number_of(message.body)
        assert number > last.get(publisher_name, -1), f"{queue}: {message.body!r} after number {last[publisher_name]}"
        last[publisher_name] = number
        if message.body in acknowledged:
            assert message.redelivered, f"{queue}: {message.body!r} was acknowledged and came back without a mark"
    assert not old & present, f"{queue}: {len(old & present)} messages whose acknowledgement is of old came back"
