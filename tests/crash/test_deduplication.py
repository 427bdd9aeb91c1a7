"""kill -9 between a message and its repetition: what was confirmed is a duplicate, the rest is there exactly once."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.harness import wire
from tests.harness.channel import ChannelClient
from tests.harness.client import Client, Closed, connect
from tests.harness.methods import Basic, Channel, Connection, Properties
from tests.harness.warren import Warren

MakeWarren = Callable[..., Warren]
QUEUE = "once"
ON = {"x-message-deduplication": True, "x-cache-size": 100_000}
MESSAGES, CONSUMED = 300, 100
BODY_BYTES = 4000
"""All messages fill several segments."""
ROUNDS = 2
BURST = 1500
KILLED_AFTER = 500
"""Confirms of a burst that are in when the shard is killed."""


def frame(number: int) -> bytes:
    body = (b"%d " % number).ljust(BODY_BYTES)
    return wire.publish(1, "", QUEUE, body, Properties(message_id=f"m{number}", delivery_mode=2))


def publish(channel: ChannelClient, numbers: range) -> None:
    """All of them confirmed."""
    channel.confirm()
    channel.client.send_bytes(b"".join(map(frame, numbers)))
    assert channel.wait_confirms(len(numbers)) == set()


def shard_of(warren: Warren) -> int:
    return int(next(row["shard"] for row in warren.listing("queues") if row["name"] == QUEUE))


@pytest.mark.parametrize("death", ["shard", "broker"])
def test_what_was_confirmed_is_a_duplicate_afterwards(make_warren: MakeWarren, death: str) -> None:
    """Also what was consumed before."""
    warren = make_warren(segment_bytes=1 << 20)
    with connect(warren.endpoint) as client:
        channel = client.channel()
        channel.declare(QUEUE, durable=True, arguments=ON)
        publish(channel, range(MESSAGES))
        for _ in range(CONSUMED):
            assert channel.get(QUEUE, no_ack=True) is not None
    if death == "shard":
        shard = shard_of(warren)
        warren.wait_back("shard", shard, warren.kill("shard", shard))
    else:
        warren.kill_all()
        warren.start()
    with connect(warren.endpoint) as client:
        channel = client.channel()
        publish(channel, range(MESSAGES + 5))
        assert channel.count(QUEUE) == MESSAGES - CONSUMED + 5
        assert [int(body) for body in channel.get_all(QUEUE)] == list(range(CONSUMED, MESSAGES + 5))
        row: dict[str, Any] = next(row for row in warren.listing("queues") if row["name"] == QUEUE)
        assert (row["duplicate_count"], row["identifiers"]) == (MESSAGES, MESSAGES + 5)


def confirms_until_killed(client: Client, kill: Callable[[], object]) -> int:
    """Reads answers, kills when enough of them are in, and reads on; how many were confirmed."""
    confirmed, killed = set(), False
    last = 0
    while last < BURST:
        method = client.next_on(1).method
        if isinstance(method, Connection.Close | Channel.Close):
            break
        if isinstance(method, Basic.Ack):
            numbers = range(last + 1 if method.multiple else method.delivery_tag, method.delivery_tag + 1)
            confirmed.update(numbers)
        if isinstance(method, Basic.Ack | Basic.Nack):
            last = max(last, method.delivery_tag)
        if not killed and len(confirmed) >= KILLED_AFTER:
            kill()
            killed = True
    assert killed
    return len(confirmed)


def test_what_was_not_confirmed_is_there_once_after_it_is_repeated(make_warren: MakeWarren) -> None:
    warren = make_warren(segment_bytes=1 << 20)
    with connect(warren.endpoint) as client:
        client.channel().declare(QUEUE, durable=True, arguments=ON)
    shard = shard_of(warren)
    for start in range(0, ROUNDS * BURST, BURST):
        numbers = range(start, start + BURST)
        pids: list[int] = []
        with connect(warren.endpoint) as client:
            channel = client.channel()
            channel.confirm()
            client.send_bytes(b"".join(map(frame, numbers)))
            try:
                confirms_until_killed(client, lambda pids=pids: pids.append(warren.kill("shard", shard)))
            except (Closed, TimeoutError):
                pass
        warren.wait_back("shard", shard, pids[0])
        with connect(warren.endpoint) as client:
            publish(client.channel(), numbers)
    with connect(warren.endpoint) as client:
        channel = client.channel()
        channel.consume(QUEUE, no_ack=True)
        assert sorted(map(int, channel.bodies(ROUNDS * BURST))) == list(range(ROUNDS * BURST))
        channel.expect_nothing(QUEUE)
