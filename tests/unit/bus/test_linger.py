"""Waiting awake for the answer of a peer that was woken: what is taken, what is not lost, and when it is left alone."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bus.linger import LATE_NS, PAUSE_MAX, WAIT_NS, Linger
from bus.links import SHARED_MEMORY
from tests.unit.bus.conftest import Side, World, until


class Scripted(Linger):
    """Does something in the place of stepping aside."""

    def __init__(self, action: Callable[[int], None] = lambda step: None) -> None:
        self.steps = 0
        self.action = action

    def step_aside(self) -> int:
        self.steps += 1
        self.action(self.steps)
        return 0


async def asleep(directory: Path) -> tuple[World, Side, Side]:
    world = World(SHARED_MEMORY, directory)
    gateway, shard = world.side("gateway"), world.side("shard")
    world.connect(gateway, shard)
    await until(lambda: gateway.idles > 0 and shard.idles > 0)
    return world, gateway, shard


async def test_the_answer_of_a_woken_peer_is_taken_without_a_bell(short_directory: Path) -> None:
    world, gateway, shard = await asleep(short_directory)
    bell = world.bell("gateway", 0)
    sleeping: list[bool] = []

    def answer(step: int) -> None:
        sleeping.append(bell.sleeping)
        shard.end.send(b"answer")

    gateway.links._linger = linger = Scripted(answer)
    gateway.links.began()
    gateway.end.send(b"question")
    gateway.links.rest()
    assert gateway.batches == [b"answer"] and linger.steps == 1
    assert sleeping == [False]
    assert world.rings("gateway") == 0
    assert bell.sleeping
    world.close()


async def test_who_has_not_said_that_it_works_does_so_before_it_waits(short_directory: Path) -> None:
    world, gateway, shard = await asleep(short_directory)
    gateway.links._linger = Scripted(lambda step: void(shard.end.send(b"answer")))
    gateway.end.send(b"question")
    gateway.links.rest()
    assert gateway.batches == [b"answer"] and world.rings("gateway") == 0
    world.close()


async def test_without_an_answer_it_sleeps_and_is_woken(short_directory: Path) -> None:
    world, gateway, shard = await asleep(short_directory)
    gateway.links._linger = linger = Scripted()
    gateway.links.began()
    gateway.end.send(b"question")
    gateway.links.rest()
    assert linger.steps > 0 and gateway.batches == []
    assert world.bell("gateway", 0).sleeping
    shard.end.send(b"late")
    await until(lambda: gateway.batches == [b"late"])
    world.close()


async def test_nobody_waits_for_a_peer_that_was_awake(short_directory: Path) -> None:
    world, gateway, shard = await asleep(short_directory)
    gateway.links._linger = linger = Scripted()
    shard.links.began()
    gateway.links.began()
    gateway.end.send(b"question")
    gateway.links.rest()
    assert linger.steps == 0
    shard.links.rest()
    assert shard.batches == [b"question"]
    world.close()


async def test_nobody_waits_whose_caller_has_more_to_do(short_directory: Path) -> None:
    world, gateway, shard = await asleep(short_directory)
    gateway.links._linger = linger = Scripted()
    gateway.links.began()
    gateway.end.send(b"question")
    gateway.links.rest(False)
    assert linger.steps == 0 and world.bell("gateway", 0).sleeping
    shard.end.send(b"answer")
    await until(lambda: gateway.batches == [b"answer"])
    world.close()


async def test_each_wake_up_is_waited_for_once(short_directory: Path) -> None:
    world, gateway, _shard = await asleep(short_directory)
    gateway.links._linger = linger = Scripted()
    gateway.links.began()
    gateway.end.send(b"question")
    gateway.links.rest()
    steps = linger.steps
    gateway.links.began()
    gateway.links.rest()
    assert linger.steps == steps
    world.close()


async def test_whom_a_turn_of_the_links_wakes_is_not_waited_for(short_directory: Path) -> None:
    world, gateway, shard = await asleep(short_directory)
    gateway.links._linger = linger = Scripted()
    gateway.on_batch = lambda link, view: void(gateway.end.send(b"thanks"))
    shard.end.send(b"something")
    await until(lambda: shard.batches == [b"thanks"])
    gateway.links.began()
    gateway.links.rest()
    assert linger.steps == 0
    world.close()


def void(_: object) -> None:
    pass


def passed_over(linger: Linger) -> int:
    """How many wake-ups nothing is waited for, now."""
    count = 0
    while not linger.due():
        count += 1
    return count


def test_failures_make_pauses_longer_and_answers_shorter() -> None:
    linger = Linger()
    assert passed_over(linger) == 0
    pauses = []
    for _ in range(8):
        linger.ended(False, WAIT_NS)
        pauses.append(passed_over(linger))
    assert pauses == [2, 10, 42, 170, 682, PAUSE_MAX, PAUSE_MAX, PAUSE_MAX]
    for _ in range(10):
        linger.ended(True, 1000)
        assert passed_over(linger) == 0
    linger.ended(False, WAIT_NS)
    assert passed_over(linger) == 2


def test_an_answer_that_was_found_late_is_a_failure() -> None:
    linger = Linger()
    linger.ended(True, LATE_NS - 1)
    assert passed_over(linger) == 0
    linger.ended(True, LATE_NS)
    assert passed_over(linger) == 2


def test_one_failure_among_many_answers_passes_over_next_to_nothing() -> None:
    linger = Linger()
    skipped = 0
    for number in range(1000):
        linger.ended(number % 20 != 0, 1000)
        skipped += passed_over(linger)
    assert skipped <= 2 * 50


def test_where_every_other_wait_fails_it_is_soon_left_alone() -> None:
    linger = Linger()
    skipped = 0
    for number in range(40):
        linger.ended(number % 2 != 0, 1000)
        skipped += passed_over(linger)
    assert skipped > 10 * PAUSE_MAX
