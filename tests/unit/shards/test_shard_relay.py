"""Two shards and the links between them, played by the test: who hears what of messages that are handed over."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shards.engine import relay
from shards.relay import WANTED_AGAIN_S
from tests.unit.shards import wire
from tests.unit.shards.test_relay import Asking
from tests.unit.shards.test_shard import Host, Link

SOURCE, TARGET = 0, 1
QUEUE = 1


class World:
    """Shard 0 hands over to shard 1, which also has a gateway."""

    def __init__(self, root: Path) -> None:
        self.source = Host(root / "source", Asking)
        self.target = Host(root / "target")
        self.client: Any = None
        self.server: Any = None

    def connect(self) -> None:
        self.client = Link(TARGET, "shard", serving=False)
        self.server = Link(SOURCE, "shard", serving=True)
        self.target.shard.on_up(self.server)
        self.source.shard.on_up(self.client)
        self.source.shard.on_idle()

    def disconnect(self) -> None:
        self.target.shard.on_down(self.server)
        self.source.shard.on_down(self.client)
        self.source.shard.on_idle()

    def hand_over(self, *tickets: int, persistent: bool = True) -> bool:
        taken = [
            relay.publish(
                self.source.engine, TARGET, ticket, [QUEUE], b"dlx", b"key", b"\0\0", b"%d" % ticket,
                persistent=persistent,
            )
            for ticket in tickets
        ]
        self.source.shard.on_idle()
        return all(taken)

    def carry(self) -> None:
        """What was sent arrives, on both sides, until nothing is left."""
        while self.client.batches or self.server.batches:
            for sent, host, end in (
                (self.client, self.target, self.server), (self.server, self.source, self.client)
            ):
                batches, sent.batches = sent.batches, []
                for batch in batches:
                    host.shard.on_batch(end, memoryview(batch))
                host.shard.on_idle()

    def sync(self) -> None:
        """The target's disk is done."""
        self.target.shard.on_durable(self.target.store.appended_position)

    def answers(self) -> list[tuple[int, int]]:
        engine = self.source.engine
        assert isinstance(engine, Asking)
        return engine.take()

    def bodies(self) -> list[bytes]:
        records = []
        for number in range(self.target.engine.count(QUEUE)[0]):
            records += self.target.feed(wire.get(number, queue_id=QUEUE))
        return [record.body for record in records if isinstance(record, wire.GetOk)]


@pytest.fixture
async def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.connect()
    return world


async def test_a_message_crosses_and_is_taken_when_it_is_on_the_disk(world: World) -> None:
    assert world.hand_over(1, 2)
    assert len(world.client.batches) == 1
    world.carry()
    assert world.answers() == []
    world.sync()
    world.carry()
    assert world.answers() == [(1, relay.TAKEN), (2, relay.TAKEN)]
    assert world.bodies() == [b"1", b"2"]
    (row,) = world.source.shard.statistics()["relay"]
    assert row == {"shard": TARGET, "up": True, "messages": 0, "bytes": 0, "taken": 2, "refused": 0, "lost": 0}


async def test_shards_and_gateways_of_the_same_index_are_told_apart(world: World) -> None:
    """Gateway 0 and shard 0 are both clients of the target."""
    world.hand_over(1)
    world.carry()
    assert world.target.take(0) == []
    assert world.target.feed(wire.publish(QUEUE, sequence=1, persistent=True)) == []
    world.target.disconnect(0)
    world.sync()
    world.carry()
    assert world.answers() == [(1, relay.TAKEN)]
    world.target.connect(0)
    world.disconnect()
    assert world.target.feed(wire.publish(QUEUE, sequence=1)) == [wire.Watermark(1, 1)]


async def test_a_batch_leaves_early_when_much_waits(world: World) -> None:
    engine = world.source.engine
    for ticket in range(3):
        relay.publish(engine, TARGET, ticket, [QUEUE], b"", b"", b"\0\0", bytes(30_000))
    world.source.shard.on_batch(world.source.links.ends[0], memoryview(wire.settle(1, 1)))  # type: ignore[arg-type]
    assert len(world.client.batches) == 1


async def test_a_link_is_wanted_once_and_again_after_a_while(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert not world.hand_over(1)
    assert world.source.wanted == [TARGET]
    assert not world.hand_over(1)
    assert world.source.wanted == [TARGET]
    world.source.shard.tick(WANTED_AGAIN_S)
    world.source.shard.tick(WANTED_AGAIN_S + 1)
    assert world.source.wanted == [TARGET, TARGET]
    world.connect()
    world.source.shard.tick(3 * WANTED_AGAIN_S)
    assert world.source.wanted == [TARGET, TARGET]
    assert world.hand_over(1)


async def test_a_shard_that_has_nothing_for_others_wants_no_links(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.source.feed(wire.publish(QUEUE))
    world.source.shard.tick(WANTED_AGAIN_S)
    assert world.source.wanted == []


async def test_what_was_under_way_when_the_target_died_is_handed_over_again(world: World) -> None:
    world.hand_over(1, 2)
    world.carry()
    world.hand_over(3)
    world.disconnect()
    assert world.answers() == [(1, relay.LOST), (2, relay.LOST), (3, relay.LOST)]
    assert not world.hand_over(1)
    world.connect()
    assert world.hand_over(1, 2, 3)
    world.carry()
    world.sync()
    world.carry()
    assert world.answers() == [(ticket, relay.TAKEN) for ticket in (1, 2, 3)]
    assert sorted(world.bodies()) == [b"1", b"1", b"2", b"2", b"3"]


async def test_a_shard_that_stops_hands_nothing_over_and_waits_for_answers(world: World) -> None:
    world.hand_over(1)
    world.source.shard.relay.close()
    assert not world.hand_over(2)
    assert not world.source.shard.settled
    world.carry()
    assert not world.target.shard.settled       # it owes an answer
    world.sync()
    assert world.target.shard.settled
    world.carry()
    assert world.answers() == [(1, relay.TAKEN)]
    assert world.source.shard.settled
    assert world.source.wanted == []


async def test_nonsense_from_a_target_breaks_that_link_alone(world: World) -> None:
    world.hand_over(1)
    world.source.shard.on_batch(world.client, memoryview(wire.publish(QUEUE)))
    world.carry()
    world.sync()
    world.carry()
    assert world.source.broken == [world.client]
    assert world.answers() == []            # nothing more is taken from it
    assert world.source.feed(wire.publish(QUEUE, sequence=1)) == [wire.Watermark(1, 1)]
    world.disconnect()
    assert world.answers() == [(1, relay.LOST)]
    world.connect()
    world.hand_over(1, persistent=False)
    world.carry()
    assert world.answers() == [(1, relay.TAKEN)]


async def test_nonsense_from_a_client_breaks_that_link_alone(world: World) -> None:
    world.target.shard.on_batch(world.server, memoryview(b"nonsense"))
    assert world.target.broken == [world.server]
    assert world.target.feed(wire.publish(QUEUE, sequence=1)) == [wire.Watermark(1, 1)]


async def test_a_target_that_is_gone_for_long_costs_no_memory(world: World) -> None:
    ticket = 0
    while world.hand_over(ticket):
        ticket += 1
    assert ticket == relay.MESSAGES_MAX
    assert relay.under_way(world.source.engine, TARGET)[1] <= relay.BYTES_MAX
    world.disconnect()
    assert relay.under_way(world.source.engine, TARGET) == (0, 0)
    assert len(relay.outgoing(world.source.engine, TARGET)) == 0
