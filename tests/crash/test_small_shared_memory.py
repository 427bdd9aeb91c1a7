"""A machine whose /dev/shm is small, as in containers: transient messages go to the disk, and nobody dies of it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import pytest

from tests.harness.client import connect
from tests.harness.warren import Warren, wait_until
from tests.pressure.flood import Flood, Reader

MIB = 1 << 20
BODY_BYTES = 2000


def may_mount() -> bool:
    return os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(not may_mount(), reason="mounting a small /dev/shm needs root")


def with_shared_memory(size: str) -> list[str]:
    """Runs a command with a /dev/shm of its own, of this size."""
    return ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size={size} none /dev/shm && exec "$@"', "sh"]


@pytest.mark.parametrize("size, told", [("1m", "links are made in|links need"), ("40m", "transient messages go to")])
def test_small_from_the_start(make_warren: Callable[..., Warren], size: str, told: str) -> None:
    server = make_warren(wrapper=with_shared_memory(size), segment_bytes=4 * MIB, link_ring_bytes=MIB)
    count = 20_000
    with connect(server.endpoint) as client:
        channel = client.channel()
        channel.declare("q")
        flood = Flood(server.endpoint, "q", count, BODY_BYTES, confirm=True)
        flood.start()
        flood.join(30)
        assert not flood.channel.wait_confirms(count)
        flood.finish()
        shard = next(row["shard"] for row in server.listing("queues"))
        old = server.kill("shard", shard)  # what is on the disk instead survives it, too
        server.wait_back("shard", shard, old)
        reader = Reader(server.endpoint, "q", BODY_BYTES, prefetch=1000)
        assert reader.read(count) == list(range(count))
        reader.finish("q")
    assert any(part in server.log_path.read_text() for part in told.split("|"))
    assert sum(one["restarts"] for one in server.status()["processes"]) == 1


def test_filled_by_somebody_else(make_warren: Callable[..., Warren]) -> None:
    server = make_warren(wrapper=with_shared_memory("64m"), segment_bytes=4 * MIB, link_ring_bytes=MIB)
    count = 10_000
    with connect(server.endpoint) as client:
        channel = client.channel()
        for number in range(4):
            channel.declare(f"q{number}")
            channel.publish("", f"q{number}", b"first")
            channel.count(f"q{number}")
        filler = f"/proc/{server.pid('shard', 0)}/root/dev/shm/filler"
        with open(filler, "wb", buffering=0) as file:
            try:
                while file.write(bytes(MIB)):
                    pass
            except OSError:
                pass
        try:
            for number in range(4):
                flood = Flood(server.endpoint, f"q{number}", count, BODY_BYTES, confirm=True)
                flood.start()
                flood.join(30)
                assert not flood.channel.wait_confirms(count)
                flood.finish()
        finally:
            os.unlink(filler)
        for number in range(4):
            message = channel.get(f"q{number}", no_ack=True)
            assert message is not None and message.body == b"first"
            reader = Reader(server.endpoint, f"q{number}", BODY_BYTES, prefetch=1000)
            assert reader.read(count) == list(range(count))
            reader.finish(f"q{number}")
    assert not any(one["restarts"] for one in server.status()["processes"])


def test_a_start_where_nothing_fits(make_warren: Callable[..., Warren]) -> None:
    """Not even the doorbells fit into /dev/shm: the runtime directory takes their place."""
    server = make_warren(wrapper=with_shared_memory("4k"), gateways=1, shards=1)
    with connect(server.endpoint) as client:
        channel = client.channel()
        channel.declare("q")
        channel.publish("", "q", b"works")
        wait_until(lambda: channel.count("q") == 1, "the message")
