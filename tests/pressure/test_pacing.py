"""Publishers and consumers of one queue that are all as fast as they are let: neither waits for the other's backlog.

And a consumer that is slow by itself holds nobody up.
"""

from __future__ import annotations

import threading

import pytest

from bench.perf.load import Load
from bench.perf.run import Target, execute
from tests.harness.client import connect
from tests.harness.warren import Warren
from tests.pressure.flood import Flood, Reader

BODY_BYTES = 100
RATE_MIN = 500_000.0
"""Messages a second below which this machine has too little time for what is shown here."""
UNDER_WAY_MAX = 100_000.0
"""Messages between publisher and consumer: some 3,000 on two idle cores, and several 100,000 without pacing."""


@pytest.mark.parametrize(("window", "prefetch", "ack_every"), [(1000, 500, 50), (200, 100, 1)])
def test_a_publisher_does_not_outrun_a_fast_consumer(
    server: Warren, window: int, prefetch: int, ack_every: int
) -> None:
    load = Load(
        seconds=1.5, warmup_s=0.3, size=BODY_BYTES, confirm=window, prefetch=prefetch, ack_every=ack_every,
        queue_prefix="paced", processes=2,
    )
    result = execute(Target([f"amqp://{server.host}:{server.port}"], [server.supervisor_pid]), load)
    assert result.ok, result.verification
    if result.rates.deliver < RATE_MIN:
        pytest.skip(f"{result.rates.deliver:,.0f} messages a second is not what a fast consumer takes")
    assert result.latency is not None
    assert result.latency.p50_us / 1e6 * result.rates.deliver < UNDER_WAY_MAX      # Little's law


@pytest.mark.parametrize("prefetch", [1, 100])
def test_a_slow_consumer_does_not_hold_up_publishers(
    server: Warren, queues: tuple[str, str], prefetch: int
) -> None:
    queue, _ = queues
    count = 200_000
    reader = Reader(server.endpoint, queue, BODY_BYTES, prefetch=prefetch)
    stop = threading.Event()

    def work() -> None:
        """A message, or half a prefetch, in a millisecond."""
        while not stop.wait(0.001):
            reader.read(len(reader.numbers) + 1)

    working = threading.Thread(target=work)
    working.start()
    flood = Flood(server.endpoint, queue, count, BODY_BYTES)
    flood.start()
    flood.finish()
    with connect(server.endpoint) as client:
        waiting = client.channel().count(queue)
    stop.set()
    working.join(10)
    assert len(reader.numbers) > 0
    assert waiting > count // 2
    reader.client.drop()
