"""A process that stands still and answers nobody is taken for dead: killed, and started again."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from tests.harness.client import connect
from tests.harness.load import Publisher, check_queue, drain
from tests.harness.warren import Warren, wait_until

QUEUES = [f"q{n}" for n in range(4)]
SILENCE_S_MAX = 4
"""They say something every second, where the machine lets them."""


def test_processes_that_stand_still(make_warren: Callable[..., Warren]) -> None:
    server = make_warren(silence_s_max=SILENCE_S_MAX)
    with connect(server.endpoint) as client:
        channel = client.channel()
        for queue in QUEUES:
            channel.declare(queue, durable=True)
    # So many that the kernel does not give all of them to one gateway.
    publishers = [Publisher(server.endpoint, f"p{n}", QUEUES) for n in range(12)]
    for publisher in publishers:
        publisher.start()
    wait_until(lambda: all(publisher.confirmed_count > 100 for publisher in publishers), "the load", 30)
    still = {one: server.pid(*one) for one in (("shard", 0), ("gateway", 0), ("catalog", 0))}
    for pid in still.values():
        os.kill(pid, signal.SIGSTOP)
    for one, pid in still.items():
        server.wait_back(*one, pid, 20)
    for publisher in publishers:
        publisher.stopping.set()
    for publisher in publishers:
        publisher.finish()
    assert any(publisher.error is None for publisher in publishers)  # those of the other gateway
    for queue in QUEUES:
        check_queue(queue, drain(server.endpoint, queue), publishers)
    with connect(server.endpoint) as client:
        client.channel().exclusive_queue()
