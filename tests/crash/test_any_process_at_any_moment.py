"""Processes killed one after the other, by the draw of a seed, while clients publish, consume and declare.

Clients whose gateway dies come again. At the end every confirmed message was received or is in its queue, in order, and
whatever came twice came with its mark.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable

from tests.harness.client import Closed, connect
from tests.harness.load import Consumer, Publisher, Worker, check_queue, drain
from tests.harness.warren import Warren, wait_until

QUEUES = [f"q{n}" for n in range(6)]
KILLS = int(os.environ.get("TEST_KILLS", "8"))
SEED = os.environ.get("TEST_SEED")
PAUSE_S_MAX = 0.6
VICTIMS = [("shard", 0), ("shard", 1), ("gateway", 0), ("gateway", 1), ("catalog", 0)]


class Crowd:
    """So many publishers and consumers, each replaced when its connection ends."""

    def __init__(self, server: Warren, publishers: int, consumers: int) -> None:
        self.server = server
        self.publishers: list[Publisher] = []
        self.consumers: list[Consumer] = []
        self._wanted: list[Callable[[], Worker]] = [self._publisher] * publishers + [self._consumer] * consumers
        self._current: list[Worker | None] = [None] * len(self._wanted)

    def _publisher(self) -> Worker:
        mode = 1 + len(self.publishers) % 2
        one = Publisher(
            self.server.endpoint, f"p{len(self.publishers)}", QUEUES, window=60, size=1500, delivery_mode=mode
        )
        self.publishers.append(one)
        return one

    def _consumer(self) -> Worker:
        one = Consumer(self.server.endpoint, QUEUES[: len(QUEUES) // 2], prefetch=40, ack_every=7)
        self.consumers.append(one)
        return one

    def fill(self) -> None:
        """Everybody who is missing comes again; who cannot now, tries the next time."""
        for place, make in enumerate(self._wanted):
            current = self._current[place]
            if current is None or not current.is_alive():
                try:
                    self._current[place] = one = make()
                    one.start()
                except (OSError, AssertionError, TimeoutError):
                    self._current[place] = None

    def stop(self) -> None:
        for worker in (*self.publishers, *self.consumers):
            worker.stopping.set()
        for worker in (*self.publishers, *self.consumers):
            worker.finish()

    @property
    def confirmed_count(self) -> int:
        return sum(publisher.confirmed_count for publisher in self.publishers)


def test_any_process_at_any_moment(make_warren: Callable[..., Warren]) -> None:
    seed = int(SEED) if SEED is not None else random.randrange(1 << 32)
    draw = random.Random(seed)
    print(f"TEST_SEED={seed}")
    server = make_warren(segment_bytes=1 << 20, transient_bytes_max=8 << 20)
    with connect(server.endpoint) as client:
        channel = client.channel()
        for queue in QUEUES:
            channel.declare(queue, durable=True)
    crowd = Crowd(server, publishers=4, consumers=2)
    crowd.fill()
    killed = set()
    for _ in range(KILLS):
        count = crowd.confirmed_count
        wait_until(lambda n=count: crowd.fill() or crowd.confirmed_count > n + 200, "the load", 30)
        time.sleep(draw.random() * PAUSE_S_MAX)  # no event to wait for: any moment will do
        for role, index in draw.sample(VICTIMS, draw.choice((1, 1, 2))):
            one = server.process(role, index)
            if one["pid"] is not None and one["state"] == "ready":
                killed.add(one["pid"])
                with contextlib.suppress(ProcessLookupError):       # of before, and just noticed
                    os.kill(one["pid"], signal.SIGKILL)
    wait_until(
        lambda: all(one["state"] == "ready" and one["pid"] not in killed for one in server.status()["processes"]),
        "everybody's return", 30,
    )
    crowd.fill()
    crowd.stop()
    acked = Counter(body for consumer in crowd.consumers for body in consumer.acked)
    for worker in (*crowd.publishers, *crowd.consumers):
        assert worker.error is None or isinstance(worker.error, (Closed, BrokenPipeError, ConnectionResetError)), (
            f"{worker.error!r}: only the death of a gateway may end a connection, and no publish may stay unanswered"
        )
    received = [body for consumer in crowd.consumers for body, redelivered in consumer.received if not redelivered]
    assert len(received) == len(set(received)), "a message came twice without a mark"
    for queue in QUEUES:
        check_queue(queue, drain(server.endpoint, queue), crowd.publishers, acked)
