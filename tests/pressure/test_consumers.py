"""Consumers that do not read, or read slowly: they cost a bounded amount, nobody else waits, and nothing is dropped."""

from __future__ import annotations

import pytest

from tests.harness.client import connect
from tests.harness.warren import Warren
from tests.pressure.conftest import MIB
from tests.pressure.flood import Flood, Pulse, Reader
from tests.pressure.memory import MemoryWatch

GATEWAY_BYTES_MAX = 32 * MIB
BODY_BYTES = 1000
SMALL_READ_BYTES = 1000


@pytest.mark.parametrize("no_ack", [False, True], ids=["acknowledging", "no-ack"])
def test_a_consumer_that_does_not_read_and_then_does(server: Warren, queues: tuple[str, str], no_ack: bool) -> None:
    queue, _ = queues
    count = 60_000
    pulse = Pulse(server.endpoint, "pulse-consumers")
    pulse.start()
    watch = MemoryWatch(server)
    reader = Reader(server.endpoint, queue, BODY_BYTES, no_ack=no_ack, receive_buffer_bytes=65536)
    flood = Flood(server.endpoint, queue, count, BODY_BYTES)
    flood.start()
    flood.finish()
    pulse.beats()
    reader.read(100, read_bytes=SMALL_READ_BYTES)  # a little, slowly
    pulse.beats()
    grown = watch.stop()
    pulse.finish()
    assert max(grown["gateway-0"], grown["gateway-1"]) < GATEWAY_BYTES_MAX, grown
    assert reader.read(count) == list(range(count))
    reader.finish(queue)


def test_a_slow_consumer_with_a_prefetch(server: Warren, queues: tuple[str, str]) -> None:
    queue, _ = queues
    count = 4000
    reader = Reader(server.endpoint, queue, BODY_BYTES, prefetch=10)
    flood = Flood(server.endpoint, queue, count, BODY_BYTES, delivery_mode=2)
    flood.start()
    reader.read(500, read_bytes=SMALL_READ_BYTES)
    with connect(server.endpoint) as client:
        assert client.channel().consumers(queue) == 1
        row = next(row for row in server.listing("queues") if row["name"] == queue)
        assert row["messages_unacknowledged"] <= 10
    assert reader.read(count, read_bytes=10 * SMALL_READ_BYTES) == list(range(count))
    flood.finish()
    reader.finish(queue)
