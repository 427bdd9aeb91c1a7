"""Links that are full because the process at the other end stands still: who has to wait, and who does not."""

from __future__ import annotations

import time

import pytest

from tests.harness.client import connect
from tests.harness.warren import Warren, wait_until
from tests.pressure.conftest import MIB, stopped
from tests.pressure.flood import Flood, Pulse, Reader, at_gateway, gateway_of
from tests.pressure.memory import MemoryWatch

GATEWAY_BYTES_MAX = 32 * MIB
SHARD_BYTES_MAX = 40 * MIB
BODY_BYTES = 1000

pytestmark = pytest.mark.parametrize("server", ["shared-memory", "zeromq"], indirect=True)


def taken(server: Warren, floods: list[Flood]) -> list[int]:
    """How many bytes the broker has read of each: the kernel takes some tens of megabytes of each more."""
    read = {row["name"].partition(" ")[0]: int(row["recv_oct"]) for row in server.listing("connections")}
    return [read["{}:{}".format(*flood.client.socket.getsockname())] for flood in floods]


def stalled(server: Warren, floods: list[Flood]) -> bool:
    """Whether nothing more is taken from these publishers."""
    before = taken(server, floods)
    time.sleep(0.5)
    return before == taken(server, floods) and min(before) > BODY_BYTES


def test_a_shard_that_does_not_take_its_messages(server: Warren, queues: tuple[str, str]) -> None:
    stuck, other = queues
    count, body_bytes = 6_000, 5000
    pulse = Pulse(server.endpoint, other)
    pulse.start()
    watch = MemoryWatch(server)
    floods = [Flood(server.endpoint, stuck, count, body_bytes) for _ in range(8)]
    with stopped(server.pid("shard", 0)):
        for flood in floods:
            flood.start()
        wait_until(lambda: stalled(server, floods), "the end of what the broker takes", 20)
        assert sum(taken(server, floods)) < GATEWAY_BYTES_MAX
        for _ in range(3):
            pulse.beats()  # the other shard's clients go on
        with connect(server.endpoint) as client:  # and so do new ones
            assert client.channel().consumers(other) == 1
    for flood in floods:
        flood.finish()
    grown = watch.stop()
    pulse.finish()
    assert max(grown["gateway-0"], grown["gateway-1"]) < GATEWAY_BYTES_MAX, grown
    reader = Reader(server.endpoint, stuck, body_bytes, prefetch=500)
    numbers = reader.read(8 * count)
    reader.finish(stuck)
    assert sorted(numbers) == sorted([*range(count)] * 8)


def test_a_gateway_that_stands_still(server: Warren, queues: tuple[str, str]) -> None:
    """The shard has messages for it and no room in the link: its other gateway does not notice."""
    queue, other = queues
    count = 30_000
    reader = Reader(server.endpoint, queue, BODY_BYTES)
    gateway = gateway_of(server, reader.client)
    flood = at_gateway(server, 1 - gateway, lambda: Flood(server.endpoint, queue, count, BODY_BYTES))
    pulse = at_gateway(server, 1 - gateway, lambda: Pulse(server.endpoint, other))
    watch = MemoryWatch(server)
    with stopped(server.pid("gateway", gateway)):
        flood.start()
        pulse.start()
        flood.finish()
        pulse.beats()
        pulse.beats()
    grown = watch.stop()
    pulse.finish()
    assert max(grown["shard-0"], grown["shard-1"]) < SHARD_BYTES_MAX, grown
    assert reader.read(count) == list(range(count))
    reader.finish(queue)
    assert not any(one["restarts"] for one in server.status()["processes"])
