"""Brokers to be pressed: small limits, so that little is enough to reach them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.client import connect
from tests.harness.warren import Warren, wait_until

MIB = 1 << 20
SEGMENT_BYTES = 4 * MIB
TRANSIENT_BYTES_MAX = 32 * MIB
RING_BYTES = 256 * 1024


def make(directory: Path, **settings: object) -> Warren:
    server = Warren(
        directory,
        segment_bytes=SEGMENT_BYTES,
        transient_bytes_max=TRANSIENT_BYTES_MAX,
        link_ring_bytes=RING_BYTES,
        **settings,
    )
    server.start()
    with connect(server.endpoint) as client:  # the first queues of each shard, and warm code
        channel = client.channel()
        for number in range(8):
            channel.declare(f"q{number}", durable=True)
            channel.publish("", f"q{number}", b"warm")
            assert channel.get_all(f"q{number}") == [b"warm"]
        client.close()
    return server


@pytest.fixture(scope="package")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warren]:
    """The broker of these tests, with links as the parameter says; each test leaves it empty."""
    made = make(tmp_path_factory.mktemp("pressed"), link=getattr(request, "param", "shared-memory"))
    yield made
    made.stop()


@pytest.fixture
def queues(server: Warren) -> Iterator[tuple[str, str]]:
    """A durable queue on shard 0 and one on shard 1, empty before and after."""
    shard_of = {row["name"]: row["shard"] for row in server.listing("queues")}
    pair = tuple(min(name for name, at in shard_of.items() if at == shard and name.startswith("q")) for shard in (0, 1))
    yield pair[0], pair[1]
    with connect(server.endpoint) as client:
        channel = client.channel()

        def emptied() -> bool:
            """What a client held that hung up may come back behind a purge."""
            for queue in pair:
                channel.purge(queue)
            return not any(row["messages"] for row in server.listing("queues") if row["name"] in pair)

        wait_until(emptied, "the end of what tests have left")


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that stands still, as on a machine that has no time for it."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
