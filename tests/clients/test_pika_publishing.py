"""What publishers say in headers, as pika encodes it: copies, delays, times, what a consistent hash exchange hashes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from tests.conftest import Names

Connect = Callable[..., BlockingConnection]


def with_headers(**headers: Any) -> pika.BasicProperties:
    return pika.BasicProperties(headers={name.replace("_", "-"): value for name, value in headers.items()})


def consumed(channel: BlockingChannel, queue: str, count: int) -> list[tuple[bytes, Any]]:
    """(body, headers) of so many messages."""
    taken = []
    for method, properties, body in channel.consume(queue, auto_ack=True, inactivity_timeout=10):
        assert method is not None, f"{len(taken)} of {count} messages came"
        taken.append((body, properties.headers))
        if len(taken) == count:
            break
    return taken


@pytest.fixture
def queues(channel: BlockingChannel) -> list[str]:
    return [channel.queue_declare("", exclusive=True).method.queue for _ in range(3)]


def test_copies(channel: BlockingChannel, queues: list[str]) -> None:
    channel.basic_publish("", queues[0], b"x", with_headers(CC=[queues[1]], BCC=[queues[2]]))
    for queue in queues:
        _, properties, body = channel.basic_get(queue, auto_ack=True)
        assert body == b"x" and properties.headers == {"CC": [queues[1]]}


@pytest.mark.warren_only("the plugin is not a part of RabbitMQ")
def test_a_reminder(channel: BlockingChannel, queues: list[str], names: Names) -> None:
    channel.exchange_declare(names("reminders"), "x-delayed-message", arguments={"x-delayed-type": "topic"})
    channel.queue_bind(queues[0], names("reminders"), "mail.*")
    channel.confirm_delivery()
    channel.basic_publish(names("reminders"), "mail.anna", b"later", with_headers(x_delay=250))
    channel.basic_publish(names("reminders"), "mail.anna", b"soon", with_headers(x_delay=100))
    channel.basic_publish(names("reminders"), "mail.anna", b"now")
    assert consumed(channel, queues[0], 3) == [
        (b"now", None), (b"soon", {"x-delay": -100}), (b"later", {"x-delay": -250})]


@pytest.mark.warren_only("x-deliver-at is Warren's own")
def test_a_time_of_day(channel: BlockingChannel, queues: list[str]) -> None:
    """pika sends a datetime as seconds."""
    at = datetime.now(UTC).replace(tzinfo=None, microsecond=0) + timedelta(seconds=1)
    channel.basic_publish("", queues[0], b"late", with_headers(x_deliver_at=at))
    channel.basic_publish("", queues[0], b"past", with_headers(x_deliver_at=at - timedelta(days=1)))
    bodies = [body for body, _ in consumed(channel, queues[0], 2)]
    assert bodies == [b"past", b"late"] and datetime.now(UTC).replace(tzinfo=None) >= at


@pytest.mark.oracle
def test_shares_of_a_consistent_hash_exchange(channel: BlockingChannel, queues: list[str], names: Names) -> None:
    channel.exchange_declare(names(), "x-consistent-hash", arguments={"hash-header": "customer"})
    for queue in queues:
        channel.queue_bind(queue, names(), "1")
    channel.confirm_delivery()          # what is confirmed is counted, by RabbitMQ too
    for number in range(90):
        channel.basic_publish(names(), "", b"%d" % (number % 30), with_headers(customer=f"c-{number % 30}"))
    counts = [channel.queue_declare(queue, passive=True).method.message_count for queue in queues]
    assert sum(counts) == 90 and all(counts)
    for queue, count in zip(queues, counts, strict=True):
        bodies = [body for body, _ in consumed(channel, queue, count)]
        assert all(bodies.count(body) == 3 for body in bodies)
        channel.cancel()
