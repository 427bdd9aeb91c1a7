"""Messages moved by position: what they keep, in which order they arrive, and where they are when it does not work."""
from __future__ import annotations

import errno
import random
from pathlib import Path
from typing import Any

import pytest

from amqp091.properties import Properties, encode
from log.disk import Disk
from shards.engine.browsing import DELAYED, READY, Browsed
from shards.engine.moving import FULL, GONE, LOST, NO_ROOM, NOT_READY, REFUSED, Move
from tests.unit.shards import wire
from tests.unit.shards.letters import START_MS, LetterShard, answer, connect, cross, disconnect, send
from topology.deduplication import Deduplication
from topology.features import QueueFeatures

ALL = range(1, 100)
END = 2**64 - 1


@pytest.fixture
def shard(tmp_path: Path) -> LetterShard:
    """With queues 1 and 2."""
    made = LetterShard(tmp_path / "0")
    made.queue(1)
    made.queue(2)
    return made


@pytest.fixture
def other(shard: LetterShard, tmp_path: Path) -> LetterShard:
    """Shard 1 with queue 100, linked."""
    made = LetterShard(tmp_path / "1", 1)
    made.queue(100)
    connect(shard, made)
    return made


def publish(shard: LetterShard, *bodies: bytes, queue_id: int = 1, **fields: Any) -> None:
    shard.feed(*(wire.publish(queue_id, body, **({"persistent": True} | fields)) for body in bodies))


def move(
    shard: LetterShard, positions: Any, *targets: int, exchange: bytes | None = None, key: bytes | None = None,
    source: int = 1,
) -> tuple[Move, list[str]]:
    """The move, and a list that says when it is done."""
    done: list[str] = []
    local = [target for target in targets if target // 100 == shard.index]
    remote: dict[int, list[int]] = {}
    for target in targets:
        if target // 100 != shard.index:
            remote.setdefault(target // 100, []).append(target)
    made = shard.engine.move_messages(
        source, list(positions), local, sorted(remote.items()), exchange, key, lambda: done.append("done"))
    shard.engine.dispatch()
    return made, done


def seen(shard: LetterShard, queue_id: int, states: int = READY | DELAYED) -> list[Browsed]:
    return shard.engine.browse(queue_id, 0, END, states, 1000, 1 << 30, 1000)[0]


def payloads(shard: LetterShard, queue_id: int) -> list[bytes]:
    return [message.payload for message in seen(shard, queue_id)]


# -- on one shard

def test_messages_arrive_in_the_order_of_their_positions(shard: LetterShard) -> None:
    publish(shard, b"1", b"2", b"3", b"4", b"5")
    made, done = move(shard, [4, 2, 3, 9], 2)
    assert (made.moved, made.under_way, made.stopped, made.returned, done) == (3, 0, None, [], [])
    assert payloads(shard, 1) == [b"1", b"5"]
    assert shard.bodies(2) == [b"2", b"3", b"4"]
    assert shard.bodies(1) == [b"1", b"5"]
    shard.sync()
    assert shard.live == 0


def test_a_message_keeps_what_it_is(shard: LetterShard) -> None:
    properties = encode(Properties(headers={"a": 1}, delivery_mode=2, priority=7, message_id="m", expiration="1000"))
    publish(shard, b"body", exchange=b"x", routing_key=b"k", properties=properties, priority=7, ttl_ms=1000)
    publish(shard, b"transient", persistent=False)
    move(shard, ALL, 2)
    first, second = seen(shard, 2)
    assert (first.exchange, first.routing_key, first.properties, first.payload, first.priority, first.persistent) == (
        b"x", b"k", properties, b"body", 7, True)
    assert (second.persistent, second.delivery_count) == (False, 0)


@pytest.mark.parametrize("key, expected", [(b"new", b"new"), (None, b"key"), (b"", b"")])
def test_a_message_gets_another_exchange_and_key(shard: LetterShard, key: bytes | None, expected: bytes) -> None:
    publish(shard, b"body", exchange=b"old", properties=b"\x10\0\2")
    move(shard, ALL, 2, exchange=b"orders", key=key)
    (message,) = seen(shard, 2)
    assert (message.exchange, message.routing_key, message.properties, message.payload) == (
        b"orders", expected, b"\x10\0\2", b"body")


def test_its_own_ttl_goes_on_and_that_of_the_target_begins(tmp_path: Path) -> None:
    shard = LetterShard(tmp_path)
    shard.queue(1, message_ttl_ms=50_000)
    shard.queue(2, message_ttl_ms=1000)
    publish(shard, b"own", ttl_ms=5500)
    publish(shard, b"none")
    publish(shard, b"long", ttl_ms=100_000)
    shard.at(5000)
    move(shard, ALL, 2)
    assert [message.expires_at_ms - START_MS for message in seen(shard, 2) if message.expires_at_ms] == [
        5500, 6000, 6000]
    shard.at(5500)
    assert payloads(shard, 2) == [b"none", b"long"]


def test_what_waits_for_its_time_goes_on_waiting(shard: LetterShard) -> None:
    publish(shard, b"later", not_before_ms=START_MS + 500, ttl_ms=100)
    publish(shard, b"soon", not_before_ms=START_MS + 10)
    shard.at(10)
    move(shard, ALL, 2)
    assert [(message.payload, message.state) for message in seen(shard, 2)] == [(b"later", DELAYED), (b"soon", READY)]
    shard.at(500)
    assert shard.ready(2) == 2
    shard.at(600)
    assert shard.ready(2) == 2                  # soon is the head
    assert shard.bodies(2) == [b"soon"]


def test_a_consumer_of_the_target_gets_it_at_once(shard: LetterShard) -> None:
    shard.consume(2, no_ack=True)
    publish(shard, b"1", b"2")
    made, _ = move(shard, ALL, 2)
    assert made.moved == 2
    assert [record.body for record in wire.parse(bytes(shard.engine.outgoing(0)))] == [b"1", b"2"]
    shard.sync()
    assert shard.live == 0


def test_unacknowledged_messages_stay(shard: LetterShard) -> None:
    publish(shard, b"1", b"2")
    assert shard.engine.get(0, 1, 1, 1, False)
    made, _ = move(shard, ALL, 2)
    assert (made.moved, payloads(shard, 2)) == (1, [b"2"])


def test_several_targets_get_it(shard: LetterShard) -> None:
    shard.queue(3)
    publish(shard, b"1", b"2")
    made, _ = move(shard, ALL, 2, 3, 55)
    assert (made.moved, payloads(shard, 2), payloads(shard, 3)) == (2, [b"1", b"2"], [b"1", b"2"])


def test_the_old_entry_waits_for_the_disk(shard: LetterShard) -> None:
    """A crash before that finds the message in its old queue, one after it in the new one; never in both."""
    publish(shard, b"1")
    shard.sync()
    move(shard, ALL, 2)
    killed = shard.restarted()
    assert (payloads(killed, 1), payloads(killed, 2)) == ([b"1"], [])
    move(killed, ALL, 2)
    ticket = killed.store.sync_target()         # written, and nobody has been told
    assert ticket is not None
    killed.root = shard.root
    again = killed.restarted()
    assert (payloads(again, 1), payloads(again, 2)) == ([], [b"1"])


@pytest.mark.parametrize("overflow", ["reject-publish", "reject-publish-dlx"])
def test_a_full_target_stops_it(tmp_path: Path, overflow: str) -> None:
    shard = LetterShard(tmp_path)
    shard.queue(1)
    shard.queue(2, max_length=2, overflow=overflow)
    publish(shard, b"1", b"2", b"3", b"4")
    made, _ = move(shard, ALL, 2)
    assert (made.moved, made.stopped, made.returned) == (2, FULL, [3, 4])
    assert (payloads(shard, 1), payloads(shard, 2)) == ([b"3", b"4"], [b"1", b"2"])
    assert shard.bodies(1) == [b"3", b"4"]


def test_a_target_that_drops_its_head_is_never_full(tmp_path: Path) -> None:
    shard = LetterShard(tmp_path)
    shard.queue(1)
    shard.queue(2, max_length=2)
    publish(shard, b"1", b"2", b"3")
    made, _ = move(shard, ALL, 2)
    assert (made.moved, payloads(shard, 2)) == (3, [b"2", b"3"])


def test_a_target_that_is_gone_stops_it(shard: LetterShard) -> None:
    publish(shard, b"1")
    made, _ = move(shard, ALL, 77)
    assert (made.moved, made.stopped, payloads(shard, 1)) == (0, GONE, [b"1"])


def test_a_message_is_not_moved_to_its_own_queue(shard: LetterShard) -> None:
    publish(shard, b"1")
    with pytest.raises(ValueError, match="other queues"):
        move(shard, ALL, 2, 1)
    with pytest.raises(ValueError, match="other queues"):
        move(shard, ALL)
    assert payloads(shard, 1) == [b"1"]


class FullDisk(Disk):
    """Without room for another segment once it is told so."""

    full = False

    def create(self, path: str) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "no space")
        return super().create(path)


def test_a_full_disk_stops_it(tmp_path: Path) -> None:
    disk = FullDisk()
    shard = LetterShard(tmp_path, disk=disk)
    shard.queue(1)
    shard.queue(2)
    publish(shard, *(b"%d" % number + bytes(30_000) for number in range(10)))
    shard.store.take_chores()
    disk.full = True
    made, _ = move(shard, ALL, 2)
    assert made.stopped == NO_ROOM and 0 < made.moved < 10
    assert [body[:1] for body in payloads(shard, 2) + payloads(shard, 1)] == [b"%d" % number for number in range(10)]
    disk.full = False
    made, _ = move(shard, ALL, 2)
    assert (made.stopped, len(payloads(shard, 2))) == (None, 10)


# -- putting back

@pytest.mark.parametrize("max_priority", [None, 3])
@pytest.mark.parametrize("seed", range(3))
def test_what_comes_back_is_where_it_was(tmp_path: Path, seed: int, max_priority: int | None) -> None:
    chance = random.Random(seed)
    shard = LetterShard(tmp_path)
    shard.queue(1, max_priority=max_priority, max_length_bytes=1 << 40)
    count = chance.choice([30, 5000])
    shard.feed(*(wire.publish(1, b"x", priority=chance.randrange(4)) for _ in range(count)))
    for _ in range(chance.randrange(20)):
        shard.engine.get(0, 1, 1, 1, True)
    before = seen_positions(shard)
    for _ in range(6):
        chosen = chance.sample(range(1, count + 1), min(count, chance.choice([1, 25, 3000])))
        made, _ = move(shard, chosen, 77)       # a target that is not there
        there = sorted(set(chosen) & set(before))
        assert (made.stopped, sorted(made.returned)) == (GONE if there else None, there)
        assert seen_positions(shard) == before
    order = []
    priorities = {message.position: message.priority for message in shard.engine.browse(
        1, 0, END, READY, count, 1 << 40, 0)[0]}
    while shard.engine.get(0, 1, 1, 2, False):
        order.append(next(message.position for message in shard.engine.browse(1, 0, END, 2, count, 1 << 40, 0)[0]
                          if message.position not in order))
        shard.engine.sent(0)
        if len(order) == 100:
            break
    assert order == sorted(before, key=lambda one: (-min(priorities[one], max_priority or 0), one))[:len(order)]


def seen_positions(shard: LetterShard) -> list[int]:
    return list(shard.engine.positions(1, 0, END, READY, 10_000)[0])


def test_a_consumer_may_have_gone_on_meanwhile(shard: LetterShard, other: LetterShard) -> None:
    """What was on its way comes back in front of what has not been delivered yet."""
    publish(shard, *(b"%d" % number for number in range(1, 9)))
    move(shard, [2, 5, 7], 100)
    assert shard.engine.get(0, 1, 1, 1, True) and shard.engine.get(0, 1, 1, 1, True)    # 1 and 3
    shard.engine.sent(0)
    disconnect(shard, other)
    assert shard.bodies(1) == [b"2", b"4", b"5", b"6", b"7", b"8"]


# -- to another shard

def test_a_message_goes_when_the_other_shard_has_it_on_its_disk(shard: LetterShard, other: LetterShard) -> None:
    publish(shard, b"1", b"2", b"3", exchange=b"x", priority=3)
    made, done = move(shard, [1, 3], 100)
    assert (made.moved, made.under_way, done, payloads(shard, 1)) == (0, 2, [], [b"2"])
    assert send(shard, other) == 2
    answer(shard, other)
    assert (made.moved, done, shard.live) == (0, [], 3)
    cross(shard, other)
    assert (made.moved, made.under_way, made.stopped, done, shard.live) == (2, 0, None, ["done"], 1)
    assert [(message.payload, message.exchange, message.priority) for message in seen(other, 100)] == [
        (b"1", b"x", 3), (b"3", b"x", 3)]


def test_ttl_and_delay_cross(shard: LetterShard, other: LetterShard) -> None:
    publish(shard, b"ttl", ttl_ms=1000)
    publish(shard, b"later", not_before_ms=START_MS + 700)
    shard.at(400)
    other.at(400)
    move(shard, ALL, 100)
    cross(shard, other)
    assert [(message.expires_at_ms, message.ready_at_ms) for message in seen(other, 100)] == [
        (START_MS + 1000, None), (None, START_MS + 700)]


def test_what_is_refused_comes_back(shard: LetterShard, tmp_path: Path) -> None:
    other = LetterShard(tmp_path / "1", 1)
    other.dying(100, max_length=1, overflow="reject-publish-dlx")
    connect(shard, other)
    publish(shard, b"1", b"2", b"3")
    made, done = move(shard, ALL, 100)
    cross(shard, other)
    assert (made.moved, made.stopped, made.returned, done) == (1, REFUSED, [2, 3], ["done"])
    assert (payloads(shard, 1), payloads(other, 100), other.waiting(100)) == ([b"2", b"3"], [b"1"], 0)


def test_what_is_lost_on_the_way_comes_back(shard: LetterShard, other: LetterShard) -> None:
    publish(shard, b"1", b"2")
    made, done = move(shard, ALL, 100)
    disconnect(shard, other)
    assert (made.moved, made.stopped, done, payloads(shard, 1)) == (0, LOST, ["done"], [b"1", b"2"])
    made, _ = move(shard, ALL, 100)
    assert (made.stopped, made.returned, payloads(shard, 1)) == (NOT_READY, [1, 2], [b"1", b"2"])


def test_targets_on_several_shards(shard: LetterShard, other: LetterShard) -> None:
    """The old entry goes with the record of this shard's own target, which is the last."""
    publish(shard, b"1", b"2")
    made, done = move(shard, [1], 2, 100)
    assert payloads(shard, 2) == []
    cross(shard, other)
    assert (made.moved, done, payloads(shard, 2), payloads(other, 100)) == (1, ["done"], [b"1"], [b"1"])
    shard.sync()
    assert (shard.live, payloads(shard, 1)) == (2, [b"2"])


def test_a_target_here_that_fills_up_meanwhile(shard: LetterShard, other: LetterShard) -> None:
    shard.engine.configure(2, QueueFeatures(max_length=0, overflow="reject-publish"))
    publish(shard, b"1")
    made, done = move(shard, [1], 2, 100)
    cross(shard, other)
    assert (made.moved, made.stopped, done, payloads(shard, 1), payloads(other, 100)) == (
        0, FULL, ["done"], [b"1"], [b"1"])


def test_a_source_that_is_deleted_meanwhile(shard: LetterShard, other: LetterShard) -> None:
    publish(shard, b"1", b"2")
    made, done = move(shard, [1], 100)
    shard.engine.remove_queue(1)
    cross(shard, other)
    assert (made.moved, done, shard.live, payloads(other, 100)) == (1, ["done"], 0, [b"1"])
    publish(shard, b"3", queue_id=2)
    made, done = move(shard, [1], 100, source=2)
    shard.engine.remove_queue(2)
    disconnect(shard, other)
    assert (made.moved, done, shard.live) == (0, ["done"], 0)


def test_a_restart_finds_what_was_on_its_way_in_its_queue(shard: LetterShard, other: LetterShard) -> None:
    publish(shard, b"1", b"2")
    move(shard, [1], 100)
    shard.store.sync_target()
    assert payloads(shard.restarted(), 1) == [b"1", b"2"]


# -- and other features

def test_a_dead_letter_stays_one(shard: LetterShard) -> None:
    """Its x-death is the broker's own wherever it goes."""
    shard.dying(3)
    shard.router.routes["dlx"] = {"": [1]}
    shard.reject(3, b"dead")
    move(shard, ALL, 3, source=1)
    assert shard.engine.get(0, 1, 3, 3, False)
    shard.engine.sent(0)
    shard.feed(wire.settle(3, 2, wire.REJECT))
    (letter,) = shard.letters(1)
    assert letter.deaths == [("q3", "rejected", 2)]


def test_a_message_may_be_moved_back_into_a_queue_that_deduplicates(tmp_path: Path) -> None:
    shard = LetterShard(tmp_path)
    shard.queue(1, deduplication=Deduplication())
    shard.queue(3)
    properties = encode(Properties(message_id="m"))
    publish(shard, b"1", properties=properties)
    move(shard, ALL, 3)
    move(shard, ALL, 1, source=3)
    assert payloads(shard, 1) == [b"1"]
    publish(shard, b"again", properties=properties)
    assert payloads(shard, 1) == [b"1"]
