"""One simulated shard: random operations on the engine and on the model, compared after each.

The seed decides everything. A step is one kind of operation, so that the model knows
which messages were ready when the engine dispatched.
"""
from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from log.store import Store
from shards.engine import Engine, ExclusiveConflict
from shards.engine.browsing import READY, UNACKED
from tests.simulation.shards.model import Channel, Connection, Consumer, Model, Queue, number_in
from tests.unit.shards import wire

GATEWAYS = 2
QUEUES = 4
CHANNEL_SLOTS = 6
CONNECTION_SLOTS = 3
GENERATION = 1 << 20
HURRY = 0.2
PRIORITIES = [0, 0, 0, 1, 10, -(1 << 40)]


class World:
    """An engine, its model, and the dice."""

    def __init__(self, root: Path, seed: int) -> None:
        self.dice = random.Random(seed)
        self.root = root
        self.model = Model()
        self.generations: dict[tuple[str, int, int], int] = {}
        self.next_consumer = 1
        self.open()
        for queue_id in range(1, QUEUES + 1):
            self.add_queue(queue_id)

    def open(self) -> None:
        self.store = Store(
            str(self.root / "durable"), str(self.root / "transient"), str(self.root / "spill"),
            segment_bytes=64 << 10, clock_ms=lambda: 1_700_000_000_000,
        )
        self.engine = Engine(self.store, GATEWAYS)

    def add_queue(self, queue_id: int) -> None:
        self.engine.add_queue(queue_id, queue_id % 2 == 0, False)
        self.model.queues[queue_id] = Queue(queue_id)

    # one step

    def step(self) -> None:
        operation = self.dice.choices(
            [self.publish, self.settle, self.consume, self.cancel, self.get, self.set_prefetch, self.set_limit,
             self.recover, self.close_channel, self.close_connection, self.purge, self.credit, self.congest,
             self.gateway_down, self.replace_queue, self.store_chores, self.crash, self.browse, self.delete_messages],
            [40, 40, 12, 5, 8, 4, 4, 3, 4, 1, 1, 8, 3, 0.5, 0.7, 1, 0.5, 2, 3],
        )[0]
        operation()
        if self.dice.random() < HURRY:
            # what the engine asks the gateway is not answered before the next operation
            self.grant(answer=False)
            self.turn()
        else:
            self.run_until_quiet()
            self.check()

    def run_until_quiet(self) -> None:
        """Dispatch, take, grant credit, until nothing more comes."""
        self.grant()
        while self.turn() or self.grant() or not self.engine.idle:
            pass

    def turn(self) -> bool:
        """One dispatch; whether anything came of it."""
        self.engine.dispatch()
        records = [self.take(gateway) for gateway in range(GATEWAYS)]
        self.model.delivered([[r for r in taken if isinstance(r, wire.Deliver)] for taken in records])
        for gateway, taken in enumerate(records):
            for record in taken:
                if isinstance(record, wire.Json):
                    self.on_event(gateway, record.document)
        return any(records)

    def take(self, gateway: int) -> list[Any]:
        batch = bytes(self.engine.outgoing(gateway))
        self.engine.sent(gateway)
        return wire.parse(batch)

    def check(self) -> None:
        self.model.check_nothing_was_left()
        for queue_id, queue in self.model.queues.items():
            described = self.engine.describe(queue_id)
            assert described["messages_ready"] == len(queue.ready)
            assert described["messages_unacknowledged"] == self.model.unacked_of(queue_id)
            assert described["consumers"] == sum(c.queue == queue_id for c in self.model.consumers.values())
        assert self.store.live_entries == self.model.live()

    # channel-wide credit, the gateway's part

    def on_event(self, gateway: int, event: dict[str, Any]) -> None:
        channel = self.model.channels.get((gateway, event["channel"]))
        if channel is None or channel.limit is None:
            return
        if event["event"] == "credit_wanted":
            channel.wanted = event["count"]
            channel.asking = True
        else:
            assert event["event"] == "credit_returned"
            channel.credit_out -= event["count"]
            assert channel.credit_out >= 0
            channel.wanted = 0

    def grant(self, *, answer: bool = True) -> bool:
        """Credit that is free goes to who wants it; who has just asked hears at once, or not yet."""
        granted = False
        for (gateway, handle), channel in self.model.channels.items():
            if channel.limit is None or (channel.asking and not answer):
                continue
            count = min(channel.wanted, channel.limit - channel.held() - channel.credit_out)
            if count > 0 or channel.asking:
                count = max(count, 0)
                channel.asking = False
                channel.credit_out += count
                channel.wanted -= count
                self.engine.grant(gateway, handle, count)
                granted = True
        return granted

    # operations

    def feed(self, gateway: int, records: list[bytes]) -> None:
        batch = b"".join(records)
        assert self.engine.receive(gateway, batch) == len(batch)

    def publish(self) -> None:
        records = []
        large = self.dice.random() < 0.05
        for _ in range(self.dice.choice([1, 1, 2, 5, 60])):
            targets = self.dice.sample(range(1, QUEUES + 1), self.dice.choice([1, 1, 1, 2, 3]))
            numbers = [0] * QUEUES
            for queue_id in targets:
                numbers[queue_id - 1] = self.model.queues[queue_id].next_number
            size = self.dice.choice([20_000, 200_000]) if large else self.dice.randrange(100)
            body = b",".join(b"%d" % number for number in numbers) + b":" + bytes(size)
            if self.dice.random() < 0.03:
                targets.append(999)
            self.model.publish(targets, body)
            records.append(wire.publish(targets, body, persistent=self.dice.random() < 0.5))
        self.feed(self.dice.randrange(GATEWAYS), records)

    def settle(self) -> None:
        channels = [channel for channel in self.model.channels.values() if channel.unacked]
        if not channels:
            return
        channel = self.dice.choice(channels)
        records = []
        for _ in range(self.dice.choice([1, 2, 10])):
            known = list(channel.unacked)
            if known and self.dice.random() < 0.95:
                sequence = known[0] if self.dice.random() < 0.5 else self.dice.choice(known)
            else:
                sequence = self.dice.randrange(channel.sequence + 3)
            outcome = self.dice.choice([wire.ACK] * 3 + [wire.REQUEUE, wire.REQUEUE_FAILED, wire.REJECT])
            multiple = self.dice.random() < 0.2
            self.model.settle(channel, sequence, multiple, outcome in (wire.REQUEUE, wire.REQUEUE_FAILED))
            records.append(wire.settle(channel.handle, sequence, outcome, multiple=multiple))
        self.feed(channel.gateway, records)

    def a_channel(self) -> Channel:
        """One that exists, or a new one, with its connection."""
        gateway = self.dice.randrange(GATEWAYS)
        slot = self.dice.randrange(CHANNEL_SLOTS)
        for channel in self.model.channels.values():
            if channel.gateway == gateway and channel.handle % GENERATION == slot:
                return channel
        connection_slot = self.dice.randrange(CONNECTION_SLOTS)
        found = [
            connection for connection in self.model.connections.values()
            if connection.gateway == gateway and connection.handle % GENERATION == connection_slot
        ]
        connection = found[0] if found else Connection(gateway, self.handle("connection", gateway, connection_slot))
        self.model.connections[gateway, connection.handle] = connection
        channel = Channel(gateway, self.handle("channel", gateway, slot), connection)
        self.model.channels[gateway, channel.handle] = channel
        return channel

    def handle(self, kind: str, gateway: int, slot: int) -> int:
        generation = self.generations.get((kind, gateway, slot), 0)
        self.generations[kind, gateway, slot] = generation + 1
        return slot + generation * GENERATION

    def consume(self) -> None:
        channel = self.a_channel()
        queue = self.model.queues[self.dice.randint(1, QUEUES)]
        exclusive = self.dice.random() < 0.1
        there = any(consumer.queue == queue.queue_id for consumer in self.model.consumers.values())
        consumer = Consumer(
            channel.gateway, self.next_consumer, queue.queue_id, channel, self.dice.random() < 0.2,
            self.dice.choice([0, 1, 2, 5, 50]), exclusive, self.dice.choice(PRIORITIES),
        )
        self.next_consumer += 1

        def ask() -> None:
            self.engine.consume(
                channel.gateway, queue.queue_id, consumer.handle, channel.handle, channel.connection.handle,
                no_ack=consumer.no_ack, exclusive=exclusive, prefetch=consumer.prefetch,
                priority=consumer.priority,
            )

        if queue.exclusive or (exclusive and there):
            with pytest.raises(ExclusiveConflict):
                ask()
            return
        ask()
        queue.exclusive = exclusive
        self.model.consumers[channel.gateway, consumer.handle] = consumer

    def cancel(self) -> None:
        if self.model.consumers:
            consumer = self.dice.choice(list(self.model.consumers.values()))
            self.engine.cancel(consumer.gateway, consumer.handle)
            self.model.cancel(consumer)

    def get(self) -> None:
        channel = self.a_channel()
        queue = self.model.queues[self.dice.randint(1, QUEUES)]
        no_ack = self.dice.random() < 0.3
        found = self.engine.get(
            channel.gateway, 77, queue.queue_id, channel.handle, no_ack, connection=channel.connection.handle
        )
        assert found == bool(queue.ready)
        if found:
            (record,) = self.take(channel.gateway)
            self.model.got(channel, queue, record, no_ack)

    def set_prefetch(self) -> None:
        channel = self.a_channel()
        prefetch = self.dice.choice([0, 1, 3, 20])
        for consumer in self.model.consumers.values():
            if consumer.channel is channel:
                consumer.prefetch = prefetch
        self.limits(channel, prefetch, channel.limit)

    def set_limit(self) -> None:
        self.limits(self.a_channel(), None, self.dice.choice([None, 1, 3, 30]))

    def limits(self, channel: Channel, prefetch: int | None, limit: int | None) -> None:
        self.engine.qos(
            channel.gateway, channel.handle, limited=limit is not None, prefetch=prefetch,
            connection=channel.connection.handle,
        )
        channel.limit, channel.credit_out, channel.wanted, channel.asking = limit, 0, 0, False

    def recover(self) -> None:
        channel = self.a_channel()
        self.engine.recover(channel.gateway, channel.handle)
        self.model.requeue_all(channel)

    def close_channel(self) -> None:
        channel = self.a_channel()
        self.engine.close_channel(channel.gateway, channel.handle)
        self.model.close_channel(channel)

    def close_connection(self) -> None:
        if self.model.connections:
            connection = self.dice.choice(list(self.model.connections.values()))
            self.engine.close_connection(connection.gateway, connection.handle)
            self.model.close_connection(connection)

    def purge(self) -> None:
        queue = self.model.queues[self.dice.randint(1, QUEUES)]
        assert self.engine.purge(queue.queue_id) == self.model.purge(queue)

    def numbers(self, queue: Queue, state: int) -> dict[int, int]:
        """{position: the message's number in the model} of all messages in a state."""
        found, following = self.engine.browse(queue.queue_id, 0, 1 << 60, state, 1 << 16, 1 << 40, 100)
        assert following is None
        return {message.position: number_in(message.payload, queue.queue_id) for message in found}

    def browse(self) -> None:
        """Everything is where the model has it, in its order."""
        queue = self.model.queues[self.dice.randint(1, QUEUES)]
        assert list(self.numbers(queue, READY).values()) == sorted(queue.ready)
        assert list(self.numbers(queue, UNACKED).values()) == sorted(self.model.held_of(queue.queue_id))

    def delete_messages(self) -> None:
        queue = self.model.queues[self.dice.randint(1, QUEUES)]
        ready = self.numbers(queue, READY)
        positions = self.dice.sample(list(ready), min(len(ready), self.dice.choice([1, 5, 50])))
        absent = [self.dice.randrange(1 << 20, 1 << 30)]
        assert self.engine.delete_messages(queue.queue_id, positions + absent) == len(positions)
        self.model.delete(queue, [ready[position] for position in positions])

    def credit(self) -> None:
        for connection in self.model.connections.values():
            if self.dice.random() < 0.7:
                connection.credited_bytes = self.dice.randint(connection.credited_bytes, connection.delivered_bytes)
                self.feed(connection.gateway, [wire.credit(connection.handle, connection.credited_bytes)])

    def congest(self) -> None:
        gateway = self.dice.randrange(GATEWAYS)
        if gateway in self.model.congested:
            self.model.congested.remove(gateway)
        else:
            self.model.congested.add(gateway)
        self.engine.set_congested(gateway, gateway in self.model.congested)

    def gateway_down(self) -> None:
        gateway = self.dice.randrange(GATEWAYS)
        self.engine.gateway_down(gateway)
        self.model.gateway_down(gateway)

    def replace_queue(self) -> None:
        queue_id = self.dice.randint(1, QUEUES)
        queue = self.model.queues[queue_id]
        highest = queue.next_number - 1
        assert sorted(self.engine.remove_queue(queue_id)) == sorted(self.model.remove_queue(queue))
        self.engine.add_queue(queue_id, queue_id % 2 == 0, False, highest)
        self.model.queues[queue_id] = Queue(queue_id, next_number=highest + 1)

    def store_chores(self) -> None:
        for chore in self.store.take_chores():
            chore.run()
            chore.finish()
        self.store.compact(1 << 20)

    def crash(self) -> None:
        """The process dies behind a commit: everything is ready again, marked with its deliveries."""
        self.store.sync_target()
        for gateway in range(GATEWAYS):
            self.model.gateway_down(gateway)
        self.open()
        recovered = self.store.recover()
        for queue_id in self.model.queues:
            self.engine.add_queue(queue_id, queue_id % 2 == 0, False, self.store.highest_number(queue_id))
            if queue_id in recovered:
                self.engine.load(queue_id, recovered.pop(queue_id))
        assert not recovered

    # the end

    def drain(self) -> None:
        """Every connection goes, one consumer takes all: each message that is left comes, and comes once."""
        for gateway in range(GATEWAYS):
            self.engine.gateway_down(gateway)
            self.model.gateway_down(gateway)
        self.run_until_quiet()
        self.check()
        connection = Connection(0, 1)
        channel = Channel(0, 1, connection)
        self.model.connections[0, 1], self.model.channels[0, 1] = connection, channel
        for queue_id in self.model.queues:
            self.engine.consume(0, queue_id, queue_id, 1, 1, no_ack=True, exclusive=False, prefetch=0)
            self.model.consumers[0, queue_id] = Consumer(0, queue_id, queue_id, channel, True, 0, False)
        while self.model.live():
            self.run_until_quiet()
            connection.credited_bytes = connection.delivered_bytes
            self.feed(0, [wire.credit(1, connection.credited_bytes)])
        assert self.store.live_entries == 0
