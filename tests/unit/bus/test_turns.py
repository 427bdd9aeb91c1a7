"""A turn's edges: what is taken without a bell, and whom a quiet batch does not wake."""
from __future__ import annotations

import asyncio
from pathlib import Path

from bus.links import SHARED_MEMORY
from tests.unit.bus.conftest import Side, World, until


async def asleep(directory: Path) -> tuple[World, Side, Side]:
    """A gateway and a shard with a link in shared memory, both of which sleep."""
    world = World(SHARED_MEMORY, directory)
    gateway, shard = world.side("gateway"), world.side("shard")
    world.connect(gateway, shard)
    await until(lambda: gateway.idles > 0 and shard.idles > 0)
    assert world.bell("gateway", 0).sleeping and world.bell("shard", 0).sleeping
    return world, gateway, shard


async def loop_turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_a_peer_answers_during_work_is_taken_at_its_end(short_directory: Path) -> None:
    world, gateway, shard = await asleep(short_directory)
    gateway.links.began()
    shard.end.send(b"answer")
    assert world.rings("gateway") == 0
    gateway.links.rest()
    assert gateway.batches == [b"answer"]
    assert world.bell("gateway", 0).sleeping
    world.close()


async def test_what_a_peer_answers_is_taken_in_the_middle_of_long_work_too(short_directory: Path) -> None:
    world, gateway, shard = await asleep(short_directory)
    gateway.links.began()
    for answer in (b"one", b"two"):
        shard.end.send(answer)
        idles = gateway.idles
        gateway.links.take()
        assert gateway.batches[-1] == answer and gateway.idles == idles, "that was not the end of it"
        assert not world.bell("gateway", 0).sleeping
    gateway.links.rest()
    assert world.bell("gateway", 0).sleeping
    gateway.links.close()
    gateway.links.take()
    world.close()


async def test_after_its_work_a_process_is_woken_again(short_directory: Path) -> None:
    world, gateway, shard = await asleep(short_directory)
    gateway.links.began()
    gateway.links.rest()
    assert world.bell("gateway", 0).sleeping
    shard.end.send(b"later")
    await until(lambda: gateway.batches == [b"later"])
    world.close()


async def test_a_quiet_batch_waits_until_its_peer_is_woken(short_directory: Path) -> None:
    world, gateway, shard = await asleep(short_directory)
    assert gateway.end.send_quietly(b"one") == 1
    assert gateway.end.send_quietly(b"two") == 2
    await loop_turns()
    assert shard.batches == [] and world.rings("shard") == 0
    gateway.end.wake_peer()
    await until(lambda: shard.batches == [b"one", b"two"])
    world.close()


async def test_a_quiet_batch_goes_before_the_next_one(short_directory: Path) -> None:
    world, gateway, shard = await asleep(short_directory)
    gateway.end.send_quietly(b"quiet")
    gateway.end.send(b"loud")
    await until(lambda: shard.batches == [b"quiet", b"loud"])
    world.close()


async def test_a_quiet_batch_is_taken_by_who_wakes_for_another_reason(short_directory: Path) -> None:
    world, gateway, shard = await asleep(short_directory)
    gateway.end.send_quietly(b"quiet")
    shard.links.schedule()
    await until(lambda: shard.batches == [b"quiet"])
    world.close()


async def test_a_quiet_batch_of_one_that_is_gone_is_not_lost(short_directory: Path) -> None:
    world, gateway, shard = await asleep(short_directory)
    gateway.end.send_quietly(b"quiet")
    world.disconnect(shard, gateway)
    assert shard.batches == [b"quiet"] and shard.downs == 1
    world.close()
