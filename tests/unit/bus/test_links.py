"""What a link promises, on both kinds."""
from __future__ import annotations

import asyncio
import struct

import pytest

from bus.bad_record import BadRecord
from bus.limits import LINK_PENDING_BYTES_MAX, LINK_TURN_BATCHES_MAX
from bus.links import SHARED_MEMORY, LinkEnd
from tests.unit.bus.conftest import RING_BYTES, World, until

TAIL_OF_RING_0 = 4096 + 64


async def test_batches_arrive_in_order_both_ways(world: World) -> None:
    gateway, shard = world.side("gateway"), world.side("shard")
    world.connect(gateway, shard)
    there = [b"publish %d" % number for number in range(500)]
    back = [b"deliver %d" % number * 7 for number in range(500)]
    for one, other in zip(there, back, strict=True):
        gateway.end.send(one)
        shard.end.send(other)
    await until(lambda: len(shard.batches) == 500 and len(gateway.batches) == 500)
    assert shard.batches == there
    assert gateway.batches == back


async def test_batches_are_counted_from_one(world: World) -> None:
    gateway, shard = world.side("gateway"), world.side("shard")
    world.connect(gateway, shard)
    assert gateway.end.next_batch_number == 1
    assert [gateway.end.send(b"a"), gateway.end.send(b"b" * (3 * RING_BYTES)), gateway.end.send(b"c")] == [1, 2, 3]
    assert gateway.end.next_batch_number == 4


async def test_an_empty_batch_is_refused(world: World) -> None:
    gateway, shard = world.side("gateway"), world.side("shard")
    world.connect(gateway, shard)
    with pytest.raises(ValueError, match="empty"):
        gateway.end.send(b"")


@pytest.mark.parametrize("size", [1, 7, 8, RING_BYTES // 2 - 8, RING_BYTES // 2 - 7, RING_BYTES, 10 * RING_BYTES + 3])
async def test_a_batch_of_any_size_arrives_whole(world: World, size: int) -> None:
    gateway, shard = world.side("gateway"), world.side("shard")
    world.connect(gateway, shard)
    batch = bytes(number % 251 for number in range(size))
    gateway.end.send(b"before")
    gateway.end.send(batch)
    gateway.end.send(b"after")
    await until(lambda: len(shard.batches) == 3)
    assert shard.batches == [b"before", batch, b"after"]
    assert gateway.end.pending_bytes == 0


async def test_batches_of_all_sizes_in_a_row_wrap_around_the_ring(world: World) -> None:
    gateway, shard = world.side("gateway"), world.side("shard")
    world.connect(gateway, shard)
    batches = [bytes([number % 256]) * (1 + number * 37 % 9000) for number in range(400)]
    for batch in batches:
        gateway.end.send(batch)
        await asyncio.sleep(0)
    await until(lambda: len(shard.batches) == len(batches))
    assert shard.batches == batches


async def test_a_full_link_keeps_what_was_sent_and_says_that_it_is_congested(world: World) -> None:
    gateway, shard = world.side("gateway"), world.side("shard")
    world.connect(gateway, shard)
    await until(lambda: gateway.idles > 0)
    batch = b"x" * 100_000
    sent = 0
    while not gateway.end.congested:
        gateway.end.send(batch)
        sent += 1
    assert gateway.end.pending_bytes > LINK_PENDING_BYTES_MAX
    assert gateway.writable == 0
    await until(lambda: len(shard.batches) == sent)
    await until(lambda: gateway.writable == 1)
    assert not gateway.end.congested
    assert gateway.end.pending_bytes == 0
    assert set(shard.batches) == {batch}


async def test_idle_comes_once_after_the_batches_of_a_turn(world: World) -> None:
    gateway, shard = world.side("gateway"), world.side("shard")
    world.connect(gateway, shard)
    events: list[str] = []
    shard.on_batch = lambda link, view: events.append("batch")
    await until(lambda: shard.idles > 0)
    for _ in range(10):
        gateway.end.send(b"x")
    before = shard.idles
    await until(lambda: len(events) == 10)
    await until(lambda: shard.idles > before)


async def test_a_turn_takes_a_bounded_number_of_batches(world: World) -> None:
    gateway, shard = world.side("gateway"), world.side("shard")
    world.connect(gateway, shard)
    in_turn: list[int] = [0]
    most: list[int] = [0]
    idle_before = [shard.idles]

    def count(link: LinkEnd, view: memoryview) -> None:
        if shard.idles != idle_before[0]:
            idle_before[0], in_turn[0] = shard.idles, 0
        in_turn[0] += 1
        most[0] = max(most[0], in_turn[0])
        shard.keep(link, view)

    shard.on_batch = count
    for _ in range(5 * LINK_TURN_BATCHES_MAX):
        gateway.end.send(b"x")
    await until(lambda: len(shard.batches) == 5 * LINK_TURN_BATCHES_MAX)
    assert most[0] <= LINK_TURN_BATCHES_MAX


async def test_what_a_dead_peer_had_sent_is_taken_before_the_link_goes_down(world: World) -> None:
    gateway, shard = world.side("gateway"), world.side("shard")
    world.connect(gateway, shard)
    gateway.end.send(b"warm")
    await until(lambda: shard.batches == [b"warm"])
    gateway.end.send(b"last word")
    if world.kind == "shared-memory":
        world.disconnect(shard, gateway)
        assert shard.batches == [b"warm", b"last word"]
    else:
        await until(lambda: len(shard.batches) == 2)
        world.disconnect(shard, gateway)
    assert shard.downs == 1
    assert shard.links.up() == []


async def test_a_restarted_peer_gets_a_link_of_its_own(world: World) -> None:
    gateway, shard = world.side("gateway"), world.side("shard")
    world.connect(gateway, shard)
    gateway.end.send(b"one")
    await until(lambda: shard.batches == [b"one"])
    old_end = gateway.end
    shard.links.close()
    gateway.end.send(b"never read")
    world.disconnect(gateway, shard)
    assert gateway.downs == 1
    assert old_end.closed
    old_end.send(b"dropped")

    successor = world.side("shard", incarnation=2)
    world.connect(gateway, successor)
    assert gateway.end.peer_incarnation == 2
    assert gateway.end.send(b"two") == 1
    successor.end.send(b"hello")
    await until(lambda: successor.batches == [b"two"] and gateway.batches == [b"hello"])


async def test_word_of_an_older_incarnation_changes_nothing(world: World) -> None:
    gateway, shard = world.side("gateway"), world.side("shard", incarnation=2)
    world.connect(gateway, shard)
    gateway.links.receive_push(
        {"verb": "link.down", "serving": False, "peer_role": "shard", "peer": 0, "incarnation": 1}
    )
    assert gateway.downs == 0
    gateway.end.send(b"still")
    await until(lambda: shard.batches == [b"still"])


async def test_an_error_of_a_callback_is_told_and_does_not_stop_the_turns(world: World) -> None:
    gateway, shard = world.side("gateway"), world.side("shard")
    world.connect(gateway, shard)

    def fail(link: LinkEnd, view: memoryview) -> None:
        shard.on_batch = shard.keep
        raise RuntimeError("broken")

    shard.on_batch = fail
    gateway.end.send(b"one")
    gateway.end.send(b"two")
    await until(lambda: shard.batches == [b"two"])
    assert [str(error) for error in shard.failures] == ["broken"]


async def test_a_link_that_breaks_while_another_is_served_costs_that_one_alone(world: World) -> None:
    if world.kind != SHARED_MEMORY:
        pytest.skip("only in shared memory are there positions")
    shards = [world.side("shard", index=index) for index in range(2)]
    gateway = world.side("gateway")
    path = world.connect(gateway, shards[0])
    world.connect(gateway, shards[1])
    assert path is not None
    broken = gateway.end_of(shards[0], serving=False)
    gateway.on_batch = lambda link, view: broken.send(view) and None
    with path.open("r+b") as file:
        file.seek(TAIL_OF_RING_0)
        file.write(struct.pack("<Q", 64))
    shards[1].end.send(b"for the other one")
    await until(lambda: gateway.downs == 1)
    assert gateway.failures == []
    assert broken.closed and [message["verb"] for message in world.pushed if "peer" in message] == ["link.broken"]
    gateway.on_batch = gateway.keep
    shards[1].end.send(b"goes on")
    await until(lambda: gateway.batches == [b"goes on"])


async def test_a_batch_that_makes_no_sense_breaks_its_link_alone(world: World) -> None:
    gateway, shard = world.side("gateway"), world.side("shard")
    world.connect(gateway, shard)
    broken = shard.end

    def refuse(link: LinkEnd, view: memoryview) -> None:
        raise BadRecord("its lengths lie")

    shard.on_batch = refuse
    gateway.end.send(b"one")
    gateway.end.send(b"two")
    await until(lambda: shard.downs == 1)
    assert broken.closed and shard.failures == []
    assert [message["verb"] for message in world.pushed if message["verb"] == "link.broken"] == ["link.broken"]


async def test_the_last_words_of_a_dead_peer_may_make_no_sense(world: World) -> None:
    gateway, shard = world.side("gateway"), world.side("shard")
    world.connect(gateway, shard)
    gateway.end.send(b"first")
    await until(lambda: shard.batches == [b"first"])

    def refuse(link: LinkEnd, view: memoryview) -> None:
        raise BadRecord("its lengths lie")

    shard.on_batch = refuse
    gateway.end.send(b"last")
    gateway.links.close()
    world.disconnect(shard, gateway)
    await until(lambda: shard.downs == 1)
    assert shard.failures == [] and shard.links.up() == []


async def test_closing_inside_a_callback_is_safe(world: World) -> None:
    gateway, shard = world.side("gateway"), world.side("shard")
    world.connect(gateway, shard)
    kept: list[bytes] = []

    def close(link: LinkEnd, view: memoryview) -> None:
        shard.links.close()
        kept.append(bytes(view))

    shard.on_batch = close
    gateway.end.send(b"one")
    gateway.end.send(b"two")
    await until(lambda: kept == [b"one"])
