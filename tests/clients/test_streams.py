"""Streams read with pika, as RabbitMQ's documentation has it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingConnection

from tests.conftest import Names

Connect = Callable[..., BlockingConnection]


def read(connect: Connect, queue: str, count: int, **arguments: Any) -> list[int]:
    """The offsets of so many messages, each acknowledged."""
    channel = connect().channel()
    channel.basic_qos(prefetch_count=10)
    offsets = []
    for method, properties, _ in channel.consume(queue, arguments=arguments, inactivity_timeout=10):
        assert method is not None, f"{offsets} and no more"
        offsets.append(properties.headers["x-stream-offset"])
        channel.basic_ack(method.delivery_tag)
        if len(offsets) == count:
            break
    return offsets


@pytest.fixture
def events(connect: Connect, names: Names) -> str:
    """A stream with 30 messages."""
    channel = connect().channel()
    channel.queue_declare(names("events"), durable=True, arguments={"x-queue-type": "stream", "x-max-age": "1D"})
    channel.confirm_delivery()
    for number in range(30):
        channel.basic_publish("", names("events"), str(number), pika.BasicProperties(headers={"n": number}))
    return names("events")


@pytest.mark.parametrize(
    ("offset", "first", "count"),
    [
        ("first", 0, 30),
        ("last", 29, 1),
        (17, 17, 13),
        ("1h", 0, 30),
        (datetime.now(UTC) - timedelta(hours=1), 0, 30),
    ],
)
def test_it_is_read_from_any_offset(connect: Connect, events: str, offset: Any, first: int, count: int) -> None:
    assert read(connect, events, count, **{"x-stream-offset": offset}) == list(range(first, first + count))


def test_without_an_offset_it_is_read_from_the_next_message(connect: Connect, events: str) -> None:
    consumer = connect().channel()
    consumer.basic_qos(prefetch_count=5)
    received: list[tuple[int, bytes]] = []

    def on_message(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        received.append((properties.headers["x-stream-offset"], body))
        channel.basic_ack(method.delivery_tag)
        if len(received) == 20:
            channel.stop_consuming()

    consumer.basic_consume(events, on_message)
    publisher = connect().channel()
    for number in range(20):
        publisher.basic_publish("", events, f"new {number}")
    watchdog = threading.Timer(15, consumer.connection.add_callback_threadsafe, (consumer.stop_consuming,))
    watchdog.start()
    consumer.start_consuming()
    watchdog.cancel()
    assert received == [(30 + n, b"new %d" % n) for n in range(20)]


def test_twenty_consumers_read_all_of_it(connect: Connect, events: str) -> None:
    channel = connect().channel()
    channel.basic_qos(prefetch_count=7)
    received: dict[str, list[int]] = {}

    def on_message(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        received.setdefault(method.consumer_tag, []).append(properties.headers["x-stream-offset"])
        channel.basic_ack(method.delivery_tag)
        if sum(len(offsets) for offsets in received.values()) == 20 * 30:
            channel.stop_consuming()

    for number in range(20):
        channel.basic_consume(events, on_message, consumer_tag=str(number), arguments={"x-stream-offset": "first"})
    watchdog = threading.Timer(15, channel.connection.add_callback_threadsafe, (channel.stop_consuming,))
    watchdog.start()
    channel.start_consuming()
    watchdog.cancel()
    assert received == {str(number): list(range(30)) for number in range(20)}
