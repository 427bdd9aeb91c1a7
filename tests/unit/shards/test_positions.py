"""Messages found, shown and deleted by position, wherever the queue keeps them; nothing changes by looking."""
from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from shards.engine.browsing import DELAYED, READY, UNACKED, Browsed
from tests.unit.shards.conftest import Bench
from tests.unit.shards.test_queue_features import START_MS, FeatureBench
from tests.unit.shards.wire import ACK, REQUEUE, publish, settle

ALL = READY | UNACKED | DELAYED
END = 2**64 - 1
BLOCKS = 3000
"""Messages that fill several blocks of a ready ring."""


def browse(
    bench: Bench, states: int = ALL, *, count: int = 1000, first: int = 0, last: int = END, **texts: Any
) -> list[Browsed]:
    messages, _ = bench.engine.browse(1, first, last, states, count, 1 << 30, 100, **texts)
    return messages


def positions(bench: Bench, states: int = ALL, **bounds: int) -> list[int]:
    return [message.position for message in browse(bench, states, **bounds)]


def publish_many(bench: Bench, count: int, **fields: Any) -> None:
    bench.feed(*(publish(1, b"%d" % number, **fields) for number in range(1, count + 1)))


def test_a_message_is_shown_as_it_is(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path, message_ttl_ms=500)
    bench.feed(publish(
        1, b"x" * 300, exchange=b"ex", routing_key=b"a.b", properties=b"\x10\0\2", persistent=True, priority=7))
    assert browse(bench) == [Browsed(
        1, READY, 0, 7, True, START_MS, START_MS + 500, None, b"ex", b"a.b", b"\x10\0\2", b"x" * 100, 300)]
    assert bench.take() == []


def test_looking_changes_nothing(bench: Bench) -> None:
    publish_many(bench, 5)
    assert positions(bench) == [1, 2, 3, 4, 5]
    bench.consume()
    assert not any(record.redelivered for record in bench.take())


def test_ready_and_unacknowledged_messages_are_told_apart(bench: Bench) -> None:
    publish_many(bench, 6)
    bench.consume(prefetch=2)
    bench.consume(consumer=2, channel=2, connection=2, gateway=1, prefetch=1)
    bench.engine.get(0, 1, 1, 3, False)
    assert positions(bench, READY) == [5, 6]
    assert positions(bench, UNACKED) == [1, 2, 3, 4]
    bench.feed(settle(1, 1, REQUEUE))
    assert [(message.position, message.state, message.delivery_count) for message in browse(bench, first=1, last=4)] \
        == [(1, UNACKED, 2), (2, UNACKED, 1), (3, UNACKED, 1), (4, UNACKED, 1)]


def test_what_another_queue_keeps_is_not_shown(bench: Bench) -> None:
    bench.feed(publish(1), publish(2), publish([1, 2]))
    bench.consume(queue_id=2, prefetch=1)
    assert positions(bench) == [1, 2]


def test_priorities_are_shown_by_position(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path, max_priority=9)
    for priority in (1, 9, 0, 5, 9):
        bench.feed(publish(1, priority=priority))
    assert [message.priority for message in browse(bench)] == [1, 9, 0, 5, 9]
    assert positions(bench) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("page", [1, 7, 1024, BLOCKS])
def test_pages_follow_one_another(bench: Bench, page: int) -> None:
    publish_many(bench, BLOCKS)
    bench.consume(prefetch=5)
    found: list[int] = []
    following: int | None = 0
    for _ in range(BLOCKS // page + 2):
        assert following is not None
        messages, following = bench.engine.browse(1, following, END, ALL, page, 1 << 30, 0)
        assert len(messages) <= page
        found += [message.position for message in messages]
        if following is None:
            break
    assert found == list(range(1, BLOCKS + 1))


def test_a_page_ends_with_the_bytes_it_may_look_at(bench: Bench) -> None:
    bench.feed(*(publish(1, b"x" * 1000) for _ in range(10)))
    messages, following = bench.engine.browse(1, 0, END, ALL, 100, 2500, 0)
    assert (len(messages), following) == (3, 4)
    messages, following = bench.engine.browse(1, 8, END, ALL, 100, 2500, 0)
    assert (len(messages), following) == (3, None)


def test_texts_are_found_in_key_properties_and_body(bench: Bench) -> None:
    named = b"\x20\0\0\0\0\x0e\x07needle1S\0\0\0\1v"
    bench.feed(
        publish(1, b"a needle1 here"), publish(1, b"x", routing_key=b"needle1"), publish(1, b"x", properties=named),
        publish(1, b"need", exchange=b"needle1", routing_key=b"le1"), publish(1, b"needle", routing_key=b"1"))
    assert [message.position for message in browse(bench, texts=(b"needle1",))] == [1, 2, 3]
    assert [message.position for message in browse(bench, texts=(b"needle1", b"here"))] == [1]
    assert [message.position for message in browse(bench, properties_texts=(b"needle1",))] == [3]
    assert len(browse(bench, texts=(b"",))) == 5


# -- deleting

def test_what_is_deleted_is_gone(bench: Bench) -> None:
    publish_many(bench, 6, persistent=True)
    assert bench.engine.delete_messages(1, [5, 2, 99, 2]) == 2
    assert positions(bench) == [1, 3, 4, 6]
    assert bench.store.live_entries == 4
    bench.consume(no_ack=True)
    assert bench.bodies() == [b"1", b"3", b"4", b"6"]


def test_an_unacknowledged_message_is_not_deleted(bench: Bench) -> None:
    publish_many(bench, 3)
    bench.consume(prefetch=1)
    assert bench.engine.delete_messages(1, [1, 2, 3]) == 2
    bench.engine.cancel(0, 1)
    bench.feed(settle(1, 1, REQUEUE))
    assert bench.engine.delete_messages(1, [1]) == 1
    assert (bench.ready(), bench.store.live_entries) == (0, 0)


def test_nothing_of_it_dies_and_the_bytes_are_right(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path, max_length_bytes=100, max_priority=3)
    for size in (10, 20, 30, 40):
        bench.feed(publish(1, b"x" * size, priority=size // 15))
    bench.engine.delete_messages(1, [2, 4])
    bench.feed(publish(1, b"x" * 60))
    assert (bench.ready(), bench.deaths()) == (3, {})
    bench.feed(publish(1, b"x"))
    assert (bench.ready(), bench.deaths()) == (3, {"maxlen": 1})


def test_the_next_head_expires_when_the_one_before_it_is_deleted(tmp_path: Path) -> None:
    bench = FeatureBench(tmp_path)
    bench.feed(publish(1), publish(1, ttl_ms=50))
    bench.engine.delete_messages(1, [1])
    assert bench.next_ms() == 50


@pytest.mark.parametrize("max_priority", [None, 4])
@pytest.mark.parametrize("seed", range(4))
def test_any_messages_may_be_taken_out_at_any_time(tmp_path: Path, seed: int, max_priority: int | None) -> None:
    """Against a list: publishes, gets, requeues and deletions by turns, over rings of many blocks."""
    chance = random.Random(seed)
    bench = FeatureBench(tmp_path, max_length_bytes=1 << 40, max_priority=max_priority)
    ready: list[tuple[int, int]] = []           # what the queue gives next first: (-priority, position)
    held: dict[int, tuple[int, int]] = {}
    last = sequence = 0
    for _ in range(80):
        action = chance.choice(["publish", "get", "requeue", "delete", "delete", "ack"])
        if action == "publish":
            count = chance.choice([1, 20, 2500])
            priorities = [chance.randrange(5) if max_priority else 0 for _ in range(count)]
            bench.engine.receive(0, b"".join(publish(1, b"x", priority=priority) for priority in priorities))
            ready += [(-priority, last + 1 + i) for i, priority in enumerate(priorities)]
            last += count
        elif action == "get":
            for _ in range(min(len(ready), chance.choice([1, 30, 1500]))):
                assert bench.engine.get(0, 1, 1, 1, False)
                sequence += 1
                held[sequence] = min(ready)
                ready.remove(held[sequence])
            bench.engine.sent(0)
        elif action in ("requeue", "ack"):
            for one in chance.sample(sorted(held), min(len(held), 40)):
                bench.feed(settle(1, one, REQUEUE if action == "requeue" else ACK))
                message = held.pop(one)
                ready += [message] if action == "requeue" else []
        else:
            low = chance.randint(0, last + 1)
            chosen = chance.choice([
                list(range(low, low + 3000)), [chance.randint(0, last + 1) for _ in range(200)],
                [position for position in range(low, last + 1) if position % 7 != 0]])
            gone = set(chosen) & {position for _, position in ready}
            assert bench.engine.delete_messages(1, chosen) == len(gone)
            ready = [message for message in ready if message[1] not in gone]
        ready.sort()
        assert bench.ready() == len(ready)
    assert positions(bench, READY, count=last + 1) == sorted(position for _, position in ready)
    assert positions(bench, UNACKED, count=last + 1) == sorted(position for _, position in held.values())
    for _ in ready:
        assert bench.engine.get(0, 1, 1, 1, True)
    assert not bench.engine.get(0, 1, 1, 1, True)
    assert bench.store.live_entries == len(held)
