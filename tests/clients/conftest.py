"""What the tests with real client libraries share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from tests.harness.client import Endpoint


def parameters(broker: Endpoint, **options: object) -> pika.ConnectionParameters:
    """How pika reaches the broker."""
    return pika.ConnectionParameters(
        broker.host,
        broker.port,
        "/",
        pika.PlainCredentials("guest", "guest"),
        blocked_connection_timeout=20,
        socket_timeout=10,
        **options,
    )


@pytest.fixture
def connect(broker: Endpoint) -> Iterator[Callable[..., BlockingConnection]]:
    """Opens pika connections that are closed with the test."""
    opened: list[BlockingConnection] = []

    def open_one(**options: object) -> BlockingConnection:
        connection = BlockingConnection(parameters(broker, **options))
        opened.append(connection)
        return connection

    yield open_one
    for connection in opened:
        if connection.is_open:
            connection.close()


@pytest.fixture
def channel(connect: Callable[..., BlockingConnection]) -> BlockingChannel:
    """A channel of a connection of its own."""
    return connect().channel()


@pytest.fixture
def url(broker: Endpoint) -> str:
    """The broker's URL."""
    return f"amqp://guest:guest@{broker.host}:{broker.port}/"
