"""Limits that the two sides of a link share, and what an idle connection costs."""
import re
import resource
from pathlib import Path

from bus import limits
from gateway.core import ChannelCore, ConnectionCore
from tests.unit.gateway_core import frames
from tests.unit.gateway_core.driver import Gateway

IDLE_BYTES_MAX = 8 * 1024


def test_compiled_code_has_the_same_limits() -> None:
    declared = Path(limits.__file__).with_suffix(".pxd").read_text()
    compiled = {name: int(value) for name, value in re.findall(r"^    (\w+) = (\d+)", declared, re.M)}
    assert compiled and compiled == {name: getattr(limits, name) for name in compiled}


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
