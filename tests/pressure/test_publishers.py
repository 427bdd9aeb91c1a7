"""Publishers that are faster than what takes their messages: memory stays bounded, nothing is dropped."""

from __future__ import annotations

import threading

from tests.harness import wire
from tests.harness.client import connect
from tests.harness.warren import Warren, wait_until
from tests.pressure.conftest import MIB, TRANSIENT_BYTES_MAX
from tests.pressure.flood import Flood, Pulse, Reader
from tests.pressure.memory import MemoryWatch, allocated_bytes

GATEWAY_BYTES_MAX = 32 * MIB
"""A gateway keeps a link's pending bytes, and what it read and could not pass on."""
ENTRY_BYTES_MAX = 64
"""What a waiting message may cost a shard beside its body: twice the aim of 32, as rings grow by doubling."""
SHARD_BYTES_MAX = 24 * MIB
BODY_BYTES = 1000
RETURN_METHOD = b"\x00\x3c\x00\x32\x01\x38\x08NO_ROUTE"
"""basic.return with code 312."""


def test_a_publisher_without_consumers(server: Warren, queues: tuple[str, str]) -> None:
    queue, _ = queues
    count = 150_000
    pulse = Pulse(server.endpoint, "pulse-1")
    pulse.start()
    watch = MemoryWatch(server)
    flood = Flood(server.endpoint, queue, count, BODY_BYTES)
    flood.start()
    pulse.beats()
    flood.finish()
    with connect(server.endpoint) as client:
        channel = client.channel()
        wait_until(lambda: channel.count(queue) == count, "the flood", 20)
    grown = watch.stop()
    pulse.finish()
    assert max(grown["gateway-0"], grown["gateway-1"]) < GATEWAY_BYTES_MAX, grown
    assert max(grown["shard-0"], grown["shard-1"]) < SHARD_BYTES_MAX + ENTRY_BYTES_MAX * count, grown
    assert grown["shared"] <= TRANSIENT_BYTES_MAX + 4 * MIB, grown
    spilled = allocated_bytes(server.data / "shards" / "0" / "transient")
    assert spilled > count * BODY_BYTES - TRANSIENT_BYTES_MAX, spilled
    reader = Reader(server.endpoint, queue, BODY_BYTES, prefetch=2000)
    assert reader.read(count) == list(range(count))
    reader.finish(queue)
    wait_until(lambda: allocated_bytes(server.data / "shards" / "0" / "transient") < 16 * MIB, "the spilled files' end")


def test_a_publisher_that_does_not_read_its_confirms(server: Warren, queues: tuple[str, str]) -> None:
    queue, _ = queues
    count = 100_000
    watch = MemoryWatch(server)
    flood = Flood(server.endpoint, queue, count, 100, delivery_mode=2, confirm=True)
    flood.start()
    flood.join(60)
    assert flood.error is None and flood.sent == count
    assert not flood.channel.wait_confirms(count)
    grown = watch.stop()
    flood.finish()
    assert max(grown["gateway-0"], grown["gateway-1"]) < GATEWAY_BYTES_MAX, grown


def test_a_publisher_that_does_not_read_what_is_returned(server: Warren) -> None:
    count, body_bytes = 3000, 50_000
    watch = MemoryWatch(server)
    client = connect(server.endpoint)
    client.channel()
    frames = wire.publish(1, "", "there is no such queue", bytes(body_bytes), mandatory=True)
    sender = threading.Thread(target=lambda: [client.socket.sendall(frames) for _ in range(count)], daemon=True)
    client.socket.settimeout(None)
    sender.start()
    sender.join(2.0)
    assert sender.is_alive(), "the broker took 150 MB that it could not give back"
    grown = watch.stop()
    assert max(grown["gateway-0"], grown["gateway-1"]) < GATEWAY_BYTES_MAX, grown
    returned = 0
    rest = b""
    while returned < count:
        data = client.socket.recv(1 << 20)
        assert data
        data = rest + data
        returned += data.count(RETURN_METHOD)
        rest = data[-len(RETURN_METHOD) + 1 :]
    sender.join(10)
    assert not sender.is_alive()
    client.drop()


def test_large_bodies(server: Warren, queues: tuple[str, str]) -> None:
    queue, _ = queues
    body_bytes, count = 16 * MIB, 6
    pulse = Pulse(server.endpoint, "pulse-large")
    pulse.start()
    flood = Flood(server.endpoint, queue, count, body_bytes, delivery_mode=2, piece=1)
    flood.start()
    with connect(server.endpoint) as client:
        channel = client.channel()
        channel.qos(2)
        channel.consume(queue)
        for number in range(count):
            message = channel.delivery(20)
            assert message.body == b"%08d".ljust(body_bytes - 4, b".") % number
            channel.ack(message.delivery_tag)
        channel.expect_nothing(queue)
    flood.finish()
    pulse.beats()
    pulse.finish()
