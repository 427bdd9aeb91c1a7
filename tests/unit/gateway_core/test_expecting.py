"""What is looked at ahead, of many routes and many consumers, may be anything: each message still counts for itself."""
from __future__ import annotations

import random

import pytest

from gateway.core import Route
from tests.unit.gateway_core import frames, records
from tests.unit.gateway_core.driver import Connection, Gateway

ROUTES = 600
"""More than a channel has to remember before anything is looked at ahead."""
KEYS = [f"queue-{number}".encode() for number in range(ROUTES)]


def publisher(channels: int = 1) -> Connection:
    connection = Connection(Gateway(1), channels)
    for number, key in enumerate(KEYS, 1):
        connection.routes[key] = Route([(0, number, False)])
    for channel in range(1, channels + 1):
        connection.receive(b"".join(frames.publish(channel, b"body", routing_key=key) for key in KEYS))
    connection.gateway.send()           # type: ignore[attr-defined]
    return connection


def queues(connection: Connection) -> list[int]:
    return [record.queues[0] for record in connection.gateway.send()]       # type: ignore[attr-defined]


@pytest.mark.parametrize("broken", [0, 1, 2, 15, 16, 17, 40])
def test_publishes_before_a_broken_frame_are_handled(broken: int) -> None:
    good = [frames.publish(1, b"body", routing_key=key) for key in KEYS[:50]]
    lies = (b"\x09", good[0][:3] + b"\xff" * 4, good[0][:7] + b"\0\x3c\0\x28\0\0\xff", b"\x01\0\x01\0\0\0\0\0")
    for lie in lies:
        connection = publisher()
        connection.receive(b"".join(good[:broken]) + lie + b"".join(good[broken:]))
        assert queues(connection) == list(range(1, broken + 1))


def test_publishes_on_two_channels_and_other_methods_between_them() -> None:
    connection = publisher(2)
    dice = random.Random(7)
    order = [dice.randrange(ROUTES) for _ in range(300)]
    blob = b"".join(
        frames.publish(
            dice.choice((1, 2)), b"x" * dice.randrange(300), routing_key=KEYS[number], cut=dice.choice((0, 100)))
        + (frames.method(1, 50, 10, b"declare") if dice.random() < 0.1 else b"")
        for number in order)
    at = 0
    while at < len(blob):
        size = dice.randrange(1, 4000)
        connection.receive(blob[at : at + size])
        at += size
    assert queues(connection) == [number + 1 for number in order] and not connection.errors


def test_deliveries_to_many_consumers_some_of_which_have_gone() -> None:
    gateway = Gateway(1)
    connection = Connection(gateway)
    channel = connection.channels[1]
    handles = [channel.add_consumer(f"tag-{number}".encode(), 0, True) for number in range(100)]
    for handle in handles[::3]:
        channel.remove_consumer(handle)
    batch = b"".join(
        records.deliver(handle, str(number).encode()) for number, handle in enumerate([*handles, 0, 1 << 31]))
    gateway.on_batch(0, batch)
    assert [sent.body for sent in connection.sees()] == [b"%d" % number for number in range(100) if number % 3]
    with pytest.raises(ValueError, match="length"):
        gateway.on_batch(0, batch[:-8])
    assert len(connection.sees()) == 66
