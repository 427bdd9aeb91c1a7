"""One simulated shard whose queues have features: random operations on the engine and on the model, compared each time.

The seed decides everything, the clock included.
"""
from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from log.store import Store
from shards.engine import Engine
from tests.simulation.features.model import Consumer, Message, Queue, Settings
from tests.unit.shards import wire
from topology.backoff import Backoff
from topology.features import QueueFeatures

START_MS = 1_700_000_000_000
QUEUES = 4
CONNECTION = 1
SEGMENT_BYTES = 32 << 10


def features_of(settings: Settings) -> QueueFeatures:
    return QueueFeatures(
        queue_type="quorum" if settings.quorum else "classic",
        message_ttl_ms=settings.message_ttl_ms,
        max_length=settings.max_length,
        max_length_bytes=settings.max_length_bytes,
        overflow=settings.overflow,
        max_priority=settings.max_priority,
        delivery_limit=settings.delivery_limit,
        backoff=settings.backoff,
    )


class World:
    """An engine, the model of its queues, and the dice."""

    def __init__(self, root: Path, seed: int) -> None:
        self.dice = random.Random(seed)
        self.root = root
        self.now_ms = START_MS
        self.bodies = 0
        self.next_consumer = 1
        self.deaths: dict[str, int] = {}
        self.credited_bytes = 0
        self.queues: dict[int, Queue] = {}
        for queue_id in range(1, QUEUES + 1):
            self.queues[queue_id] = Queue(self.random_settings(queue_id), self.on_death)
        self.open()

    def random_settings(self, queue_id: int) -> Settings:
        """The first queue is plain as far as its arguments go; the last is a quorum queue."""
        dice, quorum = self.dice, queue_id == QUEUES

        def sometimes(*values: Any) -> Any:
            return dice.choice(values) if queue_id > 1 and dice.random() < 0.5 else None

        return Settings(
            quorum=quorum,
            message_ttl_ms=sometimes(0, 5, 40, 1000),
            max_length=sometimes(0, 1, 5, 30),
            max_length_bytes=sometimes(50, 300, 3000),
            overflow=sometimes("reject-publish", "reject-publish-dlx") or "drop-head",
            max_priority=None if quorum else sometimes(1, 5, 255),
            delivery_limit=sometimes(0, 1, 3) if quorum else None,
            backoff=sometimes(Backoff(10, 2.0, 60), Backoff(7, None, 30, True, False), Backoff(5, 1.0, 5, False, True)),
        )

    def open(self) -> None:
        self.store = Store(
            str(self.root / "durable"), str(self.root / "transient"), str(self.root / "spill"),
            segment_bytes=SEGMENT_BYTES, clock_ms=lambda: self.now_ms,
        )
        recovered = self.store.recover()
        self.engine = Engine(self.store, 1)
        self.engine.now_ms = self.now_ms
        for queue_id, queue in self.queues.items():
            self.engine.add_queue(
                queue_id, True, False, self.store.highest_number(queue_id), features_of(queue.settings))
            if queue_id in recovered:
                self.engine.load(queue_id, recovered.pop(queue_id))
        assert not recovered

    def on_death(self, queue: Queue, message: Message, reason: str) -> None:
        self.deaths[reason] = self.deaths.get(reason, 0) + 1

    # one step

    def step(self) -> None:
        operation = self.dice.choices(
            [self.publish, self.settle, self.consume, self.cancel, self.get, self.pass_time, self.purge, self.change,
             self.close_channel, self.store_chores, self.crash],
            [40, 40, 8, 4, 8, 25, 1, 2, 2, 2, 1],
        )[0]
        operation()
        self.quiet()
        self.check()

    def quiet(self) -> None:
        """What is due happens, what can be delivered is."""
        while self.engine.expire(self.now_ms):
            pass
        self.engine.dispatch()
        for queue in self.queues.values():
            queue.on_time(self.now_ms)
            queue.dispatch(self.now_ms)
        records = self.take()
        for queue_id, queue in self.queues.items():
            came = [(r.body, r.delivery_count) for r in records if r.queue_id == queue_id]
            assert came == queue.delivered, f"queue {queue_id}"
            queue.delivered = []

    def take(self) -> list[wire.Deliver]:
        batch = bytes(self.engine.outgoing(0))
        self.engine.sent(0)
        records = [record for record in wire.parse(batch) if isinstance(record, wire.Deliver)]
        self.credited_bytes += sum(record.record_bytes for record in records)
        if records:
            self.feed(wire.credit(CONNECTION, self.credited_bytes))
        return records

    def feed(self, *records: bytes) -> None:
        batch = b"".join(records)
        assert self.engine.receive(0, batch) == len(batch)

    def check(self) -> None:
        for queue_id, queue in self.queues.items():
            described = self.engine.describe(queue_id)
            assert described["messages_ready"] == len(queue.ready), f"queue {queue_id}"
            assert described["messages_unacknowledged"] == len(queue.unacked), f"queue {queue_id}"
            assert described["messages_delayed"] == len(queue.delayed), f"queue {queue_id}"
        deaths = {reason: count for reason, count in self.engine.statistics()["deaths"].items() if count}
        assert deaths == self.deaths
        assert self.store.live_entries == sum(queue.live() for queue in self.queues.values())

    # operations

    def publish(self) -> None:
        for _ in range(self.dice.choice([1, 1, 2, 8])):
            self.bodies += 1
            body = b"%d:" % self.bodies + bytes(self.dice.choice([0, 5, 40, 200]))
            targets = self.dice.sample(range(1, QUEUES + 1), self.dice.choice([1, 1, 2]))
            priority = self.dice.choice([0, 0, 1, 4, 9, 255])
            ttl_ms = self.dice.choice([None, None, None, 0, 3, 50, 2000])
            delay_ms = self.dice.choice([None, None, None, None, 0, 10, 90, 4000])
            not_before_ms = None if delay_ms is None else self.now_ms + delay_ms
            admitted = [self.queues[queue_id].admits(body, delay_ms is not None) for queue_id in targets]
            self.feed(wire.publish(
                targets, body, persistent=self.dice.random() < 0.7, priority=priority, sequence=self.bodies,
                ttl_ms=wire.NO_TTL if ttl_ms is None else ttl_ms, not_before_ms=not_before_ms,
            ))
            for queue_id, taken in zip(targets, admitted, strict=True):
                if taken:
                    self.queues[queue_id].publish(body, priority, ttl_ms, not_before_ms, self.now_ms)
            batch = wire.parse(bytes(self.engine.outgoing(0)))
            refused = sum(isinstance(record, wire.Refused) and record.publish_sequence == self.bodies
                          for record in batch)
            assert refused == (not all(admitted))

    def settle(self) -> None:
        holding = [queue_id for queue_id, queue in self.queues.items() if queue.unacked]
        if not holding:
            return
        queue_id = self.dice.choice(holding)
        queue = self.queues[queue_id]
        sequence = self.dice.choice(list(queue.unacked))
        outcome = self.dice.choice([wire.ACK, wire.ACK, wire.REQUEUE, wire.REQUEUE_FAILED, wire.REJECT])
        self.feed(wire.settle(queue_id, sequence, outcome))
        message = queue.settle(sequence)
        if outcome == wire.REJECT:
            self.on_death(queue, message, "rejected")
        elif outcome != wire.ACK:
            queue.give_back(message, self.now_ms, outcome == wire.REQUEUE_FAILED)

    def consume(self) -> None:
        queue_id = self.dice.randint(1, QUEUES)
        queue = self.queues[queue_id]
        if queue.consumer is not None:
            return
        consumer = Consumer(self.next_consumer, self.dice.choice([0, 1, 3, 20]), self.dice.random() < 0.2)
        self.next_consumer += 1
        self.engine.consume(
            0, queue_id, consumer.handle, queue_id, CONNECTION, no_ack=consumer.no_ack, exclusive=False,
            prefetch=consumer.prefetch,
        )
        queue.consumer = consumer

    def cancel(self) -> None:
        queue = self.queues[self.dice.randint(1, QUEUES)]
        if queue.consumer is not None:
            self.engine.cancel(0, queue.consumer.handle)
            queue.consumer = None

    def get(self) -> None:
        queue_id = self.dice.randint(1, QUEUES)
        no_ack = self.dice.random() < 0.4
        expected = self.queues[queue_id].get(self.now_ms, no_ack)
        found = self.engine.get(0, 1, queue_id, queue_id, no_ack, connection=CONNECTION)
        assert found == (expected is not None)
        if expected is not None:
            batch = bytes(self.engine.outgoing(0))
            self.engine.sent(0)
            (record,) = [record for record in wire.parse(batch) if isinstance(record, wire.GetOk)]
            assert record.body == expected.body

    def pass_time(self) -> None:
        self.now_ms += self.dice.choice([1, 2, 5, 30, 300])

    def purge(self) -> None:
        queue_id = self.dice.randint(1, QUEUES)
        queue = self.queues[queue_id]
        assert self.engine.purge(queue_id) == len(queue.ready)
        queue.ready = []

    def change(self) -> None:
        """A policy changes limits and TTL of a queue."""
        queue_id = self.dice.randint(2, QUEUES)
        queue = self.queues[queue_id]
        fresh = self.random_settings(queue_id)
        fresh.max_priority = queue.settings.max_priority
        queue.settings = fresh
        self.engine.configure(queue_id, features_of(fresh))
        queue.enforce(self.now_ms)

    def close_channel(self) -> None:
        queue_id = self.dice.randint(1, QUEUES)
        queue = self.queues[queue_id]
        self.engine.close_channel(0, queue_id)
        queue.consumer = None
        for sequence in sorted(queue.unacked):
            queue.give_back(queue.settle(sequence), self.now_ms, True)
        queue.sequence = 0

    def store_chores(self) -> None:
        for chore in self.store.take_chores():
            chore.run()
            chore.finish()
        self.store.compact(1 << 20)

    def crash(self) -> None:
        """The process dies behind a commit, and some time passes."""
        self.store.sync_target()
        self.now_ms += self.dice.choice([0, 20, 200])
        self.credited_bytes = 0
        self.deaths = {}
        self.open()
        for queue in self.queues.values():
            queue.recovered(self.now_ms)

    # the end

    def drain(self) -> None:
        """Time passes until nothing waits; what is left comes, each message once."""
        for queue_id in self.queues:
            self.engine.close_channel(0, queue_id)
            queue = self.queues[queue_id]
            queue.consumer = None
            for sequence in sorted(queue.unacked):
                queue.give_back(queue.settle(sequence), self.now_ms, True)
            queue.sequence = 0
        self.now_ms += 100_000
        self.quiet()
        self.check()
        for queue_id, queue in self.queues.items():
            while True:
                message = queue.get(self.now_ms, True)
                assert self.engine.get(0, 1, queue_id, queue_id, True, connection=CONNECTION) == (message is not None)
                if message is None:
                    break
                (record,) = [r for r in wire.parse(bytes(self.engine.outgoing(0))) if isinstance(r, wire.GetOk)]
                self.engine.sent(0)
                assert record.body == message.body
        assert self.store.live_entries == 0
