"""Single active consumers and timeouts at random, against a plain model of who is active and who loses its place."""
from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.unit.shards.test_queue_features import START_MS, FeatureBench
from tests.unit.shards.wire import ACK, REJECT, REQUEUE, REQUEUE_FAILED, Deliver, Json, publish, settle

STEPS = 400
TIMEOUT_MS = 8000
LATE_MS = 2 * 1000 + TIMEOUT_MS // 32
"""As consumer_timeout.pyx promises."""


@dataclass
class Consumer:
    """One consumer with a channel of its own."""

    handle: int
    priority: int
    prefetch: int
    no_ack: bool
    held: dict[int, int] = field(default_factory=dict)      # sequence: when it was delivered
    sequence: int = 0


class World:
    """One queue, its consumers in the order in which they came, and which of them is active."""

    def __init__(self, root: Path, seed: int) -> None:
        self.dice = random.Random(seed)
        self.quorum = seed % 2 == 0
        self.bench = FeatureBench(
            root, queue_type="quorum" if self.quorum else "classic", single_active_consumer=True,
            consumer_timeout_ms=TIMEOUT_MS,
        )
        self.consumers: list[Consumer] = []
        self.active: Consumer | None = None
        self.fading = False
        self.ready = 0
        self.last_handle = 0
        self.now_ms = 0

    # the rules

    def elect(self) -> None:
        """Who should be active, given who was."""
        if self.active not in self.consumers:
            self.active, self.fading = None, False
        best = max(self.consumers, key=lambda consumer: consumer.priority, default=None)
        if self.active is None:
            self.active = best
        elif self.quorum and best is not None:
            self.fading = best.priority > self.active.priority
            if self.fading and not self.active.held:
                self.active, self.fading = best, False

    def gone(self, consumer: Consumer, *, returned: bool) -> None:
        self.consumers.remove(consumer)
        if returned:
            self.ready += len(consumer.held)

    # steps

    def consume(self) -> None:
        self.last_handle += 1
        no_ack = self.dice.random() < 0.1
        consumer = Consumer(self.last_handle, self.dice.randrange(3), self.dice.choice([0, 1, 3]), no_ack)
        self.consumers.append(consumer)
        self.bench.engine.consume(
            consumer.handle % 2, 1, consumer.handle, consumer.handle, consumer.handle, no_ack=no_ack, exclusive=False,
            prefetch=consumer.prefetch, priority=consumer.priority,
        )

    def leave(self) -> None:
        """Its channel ends; a cancelled one would hold what the model need not know."""
        consumer = self.dice.choice(self.consumers)
        self.bench.engine.close_channel(consumer.handle % 2, consumer.handle)
        self.gone(consumer, returned=True)

    def publish(self) -> None:
        for _ in range(self.dice.randrange(1, 5)):
            self.bench.engine.receive(0, publish(1))
            self.ready += 1

    def settle(self) -> None:
        holders = [consumer for consumer in self.consumers if consumer.held]
        if not holders:
            return
        consumer = self.dice.choice(holders)
        sequence = self.dice.choice(list(consumer.held))
        outcome = self.dice.choice([ACK, ACK, ACK, REJECT, REQUEUE, REQUEUE_FAILED])
        self.bench.engine.receive(consumer.handle % 2, settle(consumer.handle, sequence, outcome))
        del consumer.held[sequence]
        self.ready += outcome in (REQUEUE, REQUEUE_FAILED)

    def set_prefetch(self) -> None:
        consumer = self.dice.choice(self.consumers)
        consumer.prefetch = self.dice.choice([0, 1, 3])
        self.bench.engine.qos(consumer.handle % 2, consumer.handle, limited=False, prefetch=consumer.prefetch)

    def wait(self) -> None:
        """Time passes as in a shard, from timer to timer."""
        self.now_ms += self.dice.choice([100, 700, 3000])
        while (at_ms := self.bench.next_ms()) is not None and at_ms <= self.now_ms:
            while self.bench.engine.expire(START_MS + at_ms):
                pass
            self.check_timeouts(at_ms)
            self.check()
        while self.bench.engine.expire(START_MS + self.now_ms):
            pass
        self.check_timeouts(self.now_ms)

    # what has to hold

    def check_timeouts(self, now_ms: int) -> None:
        """Called before anything else takes place: whoever has gone held something for too long."""
        for gateway in (0, 1):
            for record in self.bench.take(gateway):
                if isinstance(record, Json) and record.document["event"] == "timed_out":
                    (consumer,) = [one for one in self.consumers if one.handle == record.document["consumer"]]
                    assert max(now_ms - at_ms for at_ms in consumer.held.values()) >= TIMEOUT_MS
                    self.gone(consumer, returned=True)
        for consumer in self.consumers:
            assert all(now_ms - at_ms <= TIMEOUT_MS + LATE_MS for at_ms in consumer.held.values())

    def check(self) -> None:
        self.elect()
        self.bench.engine.dispatch()
        by_handle = {consumer.handle: consumer for consumer in self.consumers}
        for gateway in (0, 1):
            for record in self.bench.take(gateway):
                if isinstance(record, Deliver):
                    consumer = by_handle[record.consumer]
                    assert consumer is self.active and not self.fading
                    self.ready -= 1
                    if not consumer.no_ack:
                        consumer.sequence += 1
                        consumer.held[consumer.sequence] = self.bench.engine.now_ms - START_MS
        active = self.bench.engine.active_consumer(1)
        assert active == (None if self.active is None else (self.active.handle % 2, self.active.handle))
        assert self.bench.engine.count(1) == (self.ready, len(self.consumers))
        if self.active is not None and not self.fading:
            full = self.active.prefetch and len(self.active.held) >= self.active.prefetch
            assert self.ready == 0 or (full and not self.active.no_ack), "the active one could have had more"

    def step(self) -> None:
        steps = [self.publish, self.publish, self.settle, self.settle, self.consume, self.wait]
        if self.consumers:
            steps += [self.set_prefetch, self.leave]
        self.dice.choice(steps)()
        self.check()


@pytest.mark.parametrize("seed", range(12))
def test_single_active_consumers(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, seed)
    for _ in range(STEPS):
        world.step()
