"""Limits that the two sides of a link share, what an idle connection costs, and that nothing leaks."""
import ctypes
import gc
import os
import re
import resource
from pathlib import Path

import pytest

from bus import limits
from gateway.core import ChannelCore, ConnectionCore
from tests.unit.gateway_core import frames, records
from tests.unit.gateway_core.driver import Connection, Gateway

IDLE_BYTES_MAX = 8 * 1024
OTHER_ALLOCATOR = pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="another allocator is in place")


def test_compiled_code_has_the_same_limits() -> None:
    declared = Path(limits.__file__).with_suffix(".pxd").read_text()
    compiled = {name: int(value) for name, value in re.findall(r"^    (\w+) = (\d+)", declared, re.M)}
    assert compiled and compiled == {name: getattr(limits, name) for name in compiled}


@OTHER_ALLOCATOR
def test_an_idle_connection_with_a_channel_costs_little() -> None:
    """Also one that has published, confirmed and been idle since."""
    gateway = Gateway()

    class Plain(ConnectionCore):
        __slots__ = ()

        def on_protocol_header(self, header: bytes) -> None:
            pass

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    connections = []
    before = resident()
    for _ in range(4000):
        connection = Plain(gateway)
        connection.receive(frames.HEADER)
        connection.opened = True
        ChannelCore(connection, 1)
        connection.write(bytes(5000))
        gateway.dirty()
        connection.take_output()
        connections.append(connection)
    cost = (resident() - before) / len(connections)
    assert cost < IDLE_BYTES_MAX, cost
    for connection in connections:
        connection.close()


class MallocFigures(ctypes.Structure):
    """struct mallinfo2 of glibc."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    ]


def allocated_bytes() -> int:
    """What the C library has given out: the core's memory, and large objects of Python."""
    gc.collect()
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = MallocFigures
    figures = mallinfo2()
    return int(figures.uordblks) + int(figures.hblkhd)


def busy_life(gateway: Gateway, i: int) -> None:
    """A connection that does something of everything, and ends in the middle of some of it."""
    connection = Connection(gateway, 3)
    confirming, transactional, consuming = connection.channels.values()
    confirming.confirm_select()
    transactional.tx_select()
    consumer = consuming.add_consumer(b"t", 0, False)
    large = frames.publish(1, bytes(20_000), cut=4000)
    connection.receive(large[:9000])
    connection.receive(large[9000:])
    connection.receive(
        frames.publish(1, b"x", routing_key=b"both") * 20
        + frames.publish(2, b"y") * 20
        + frames.publish(2, b"y", routing_key=b"nowhere", mandatory=True)
    )
    if i % 2:
        transactional.tx_commit()
    gateway.on_batch(0, records.deliver(consumer, bytes(3000)) * 20)
    connection.receive(frames.ack(3, 5, multiple=True) + frames.ack(3, 7))
    if i % 3 == 0:
        connection.receive(frames.publish(1, routing_key=b"missing"))
    if i % 5 == 0:
        connection.receive(large[:5000])
    for shard in (0, 1):
        batch = gateway.next_numbers[shard]
        gateway.send(shard)
        gateway.on_batch(shard, records.watermark(batch, batch - i % 4))
    gateway.dirty()
    connection.take_output()
    gateway.credits()
    connection.close()


@OTHER_ALLOCATOR
@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="needs glibc's figures")
def test_the_lives_of_many_connections_leave_nothing_behind() -> None:
    gateway = Gateway()
    for i in range(1200):       # the handle tables grow until enough of their slots are free
        busy_life(gateway, i)
    before = allocated_bytes()
    lives = 600
    for i in range(lives):
        busy_life(gateway, i)
    assert allocated_bytes() - before < 8 * lives
