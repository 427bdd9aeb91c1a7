"""Single active consumer: who is active, who follows, and who is after a restart."""
from __future__ import annotations

import random
from pathlib import Path

import pytest

from shards.engine import ExclusiveConflict
from tests.unit.shards.test_queue_features import FeatureBench
from tests.unit.shards.wire import Deliver, Json, publish, settle


def queue(tmp_path: Path, queue_type: str = "classic") -> FeatureBench:
    return FeatureBench(tmp_path, queue_type=queue_type, single_active_consumer=True)


def receivers(bench: FeatureBench, gateway: int = 0) -> list[int]:
    return [record.consumer for record in bench.take(gateway) if isinstance(record, Deliver)]


def active(bench: FeatureBench) -> int | None:
    found = bench.engine.active_consumer(1)
    return None if found is None else found[1]


def told(bench: FeatureBench, gateway: int = 0) -> list[tuple[int, bool]]:
    """Which consumers were said to be active or not."""
    return [
        (record.document["consumer"], record.document["active"])
        for record in bench.take(gateway) if isinstance(record, Json) and record.document["event"] == "active"
    ]


def test_the_first_gets_everything(tmp_path: Path) -> None:
    bench = queue(tmp_path)
    bench.feed(publish(1))
    for consumer in (1, 2, 3):
        bench.consume(consumer, channel=consumer)
    bench.feed(publish(1), publish(1))
    assert receivers(bench) == [1, 1, 1]
    assert bench.engine.count(1) == (0, 3)
    assert active(bench) == 1


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_the_next_in_order_follows_at_once(tmp_path: Path, queue_type: str) -> None:
    bench = queue(tmp_path, queue_type)
    for consumer in (1, 2, 3, 4):
        bench.consume(consumer, channel=consumer, prefetch=1)
    bench.feed(publish(1, b"a"), publish(1, b"b"), publish(1, b"c"))
    bench.engine.cancel(0, 3)
    bench.engine.cancel(0, 1)               # its message stays its channel's
    bench.engine.dispatch()
    assert (receivers(bench), active(bench)) == ([1, 2], 2)
    bench.engine.close_channel(0, 2)
    bench.engine.dispatch()
    assert (receivers(bench), active(bench)) == ([4], 4)
    bench.engine.close_connection(0, 1)
    assert (active(bench), bench.ready()) == (None, 3)


def test_the_gateway_hears_of_it(tmp_path: Path) -> None:
    bench = queue(tmp_path)
    bench.consume(1)
    bench.consume(2, gateway=1)
    assert told(bench) == [(1, True)]
    bench.engine.gateway_down(0)
    assert told(bench, 1) == [(2, True)]
    assert bench.engine.active_consumer(1) == (1, 2)


def test_the_highest_priority_follows(tmp_path: Path) -> None:
    bench = queue(tmp_path)
    for consumer, priority in [(1, 0), (2, 5), (3, 9), (4, 5)]:
        bench.consume(consumer, priority=priority)
    order = []
    while (consumer := active(bench)) is not None:
        order.append(consumer)
        bench.engine.cancel(0, consumer)
    assert order == [1, 3, 2, 4]


def test_a_higher_priority_takes_over_in_a_quorum_queue(tmp_path: Path) -> None:
    bench = queue(tmp_path, "quorum")
    bench.consume(1, channel=1)
    bench.feed(publish(1), publish(1))
    bench.consume(2, channel=2, priority=5)
    bench.feed(publish(1), settle(1, 1))
    assert (receivers(bench), active(bench)) == ([1, 1], 1)
    bench.feed(settle(1, 2))
    assert (receivers(bench), active(bench)) == ([2], 2)
    bench.engine.close_channel(0, 2)
    bench.engine.dispatch()
    assert (receivers(bench), active(bench)) == ([1], 1)


def test_an_idle_one_gives_way_at_once(tmp_path: Path) -> None:
    bench = queue(tmp_path, "quorum")
    bench.consume(1)
    bench.consume(2, priority=1)
    bench.consume(3, priority=1)
    assert (active(bench), told(bench)) == (2, [(1, True), (1, False), (2, True)])


def test_one_without_acks_gives_way_at_once(tmp_path: Path) -> None:
    bench = queue(tmp_path, "quorum")
    bench.consume(1, no_ack=True)
    bench.feed(publish(1))
    bench.consume(2, priority=1)
    bench.feed(publish(1))
    assert receivers(bench) == [1, 2]


def test_it_stays_where_whom_it_was_to_make_place_for_has_gone(tmp_path: Path) -> None:
    bench = queue(tmp_path, "quorum")
    bench.consume(1, channel=1)
    bench.feed(publish(1))
    bench.consume(2, channel=2, priority=5)
    bench.engine.cancel(0, 2)
    bench.feed(publish(1))
    assert (receivers(bench), active(bench)) == ([1, 1], 1)


def test_one_that_fades_may_be_cancelled(tmp_path: Path) -> None:
    bench = queue(tmp_path, "quorum")
    bench.consume(1, channel=1)
    bench.feed(publish(1))
    bench.consume(2, channel=2, priority=5)
    bench.engine.cancel(0, 1)
    bench.feed(publish(1), settle(1, 1))
    assert (receivers(bench), active(bench)) == ([1, 2], 2)


def test_prefetch_does_not_wake_those_who_wait(tmp_path: Path) -> None:
    bench = queue(tmp_path, "quorum")
    bench.consume(1, channel=1, prefetch=1)
    bench.consume(2, channel=2, prefetch=1)
    bench.feed(publish(1), publish(1), publish(1))
    bench.engine.qos(0, 2, limited=False, prefetch=10)
    bench.engine.dispatch()
    assert receivers(bench) == [1]
    bench.consume(3, channel=3, priority=1)
    bench.engine.qos(0, 1, limited=False, prefetch=10)
    bench.engine.dispatch()
    assert receivers(bench) == []
    bench.feed(settle(1, 1))
    assert receivers(bench) == [3, 3]


def test_a_channel_wide_limit_holds_for_the_active_one(tmp_path: Path) -> None:
    bench = queue(tmp_path)
    bench.engine.qos(0, 1, limited=True, connection=1)
    bench.consume(1, channel=1)
    bench.consume(2, channel=2)
    bench.feed(publish(1), publish(1))
    assert receivers(bench) == []
    bench.engine.grant(0, 1, 1)
    bench.engine.dispatch()
    assert receivers(bench) == [1]
    bench.engine.cancel(0, 1)
    bench.engine.dispatch()
    assert receivers(bench) == [2]


def test_nobody_consumes_it_exclusively(tmp_path: Path) -> None:
    bench = queue(tmp_path)
    with pytest.raises(ExclusiveConflict):
        bench.consume(1, exclusive=True)


def test_a_queue_that_goes_makes_nobody_active(tmp_path: Path) -> None:
    bench = queue(tmp_path)
    for consumer in (1, 2, 3):
        bench.consume(consumer, channel=consumer)
    bench.feed(publish(1))
    bench.take()
    assert sorted(bench.engine.remove_queue(1)) == [(0, 1), (0, 2), (0, 3)]
    assert bench.take() == []


# -- after a restart

def succession(bench: FeatureBench) -> list[int]:
    """Who is active, one after the other, as they leave."""
    order = []
    while (consumer := active(bench)) is not None:
        order.append(consumer)
        bench.engine.cancel(consumer % 2, consumer)
    return order


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
@pytest.mark.parametrize("seed", range(10))
def test_the_order_is_what_it_was(tmp_path: Path, queue_type: str, seed: int) -> None:
    """Consumers attached to a new engine in any order, and one that comes meanwhile."""
    dice = random.Random(seed)
    bench = queue(tmp_path / "before", queue_type)
    priorities = {consumer: dice.randrange(3) for consumer in range(1, 8)}
    for consumer, priority in priorities.items():
        bench.consume(consumer, gateway=consumer % 2, priority=priority)
    first = active(bench)
    if first is not None and seed % 2:
        bench.engine.cancel(first % 2, first)
        del priorities[first]

    again = queue(tmp_path / "after", queue_type)
    again.engine.now_ms += 5
    again.engine.await_attachments()
    for consumer in dice.sample(list(priorities), len(priorities)):
        standing = bench.engine.standing(consumer % 2, consumer)
        assert standing is not None
        again.consume(consumer, gateway=consumer % 2, priority=priorities[consumer], arrival=standing[0],
                      was_active=standing[1])
    for one in (bench, again):
        one.consume(99, gateway=1)
    again.engine.all_attached()
    assert succession(again) == succession(bench)


def test_nobody_takes_the_place_of_one_that_is_still_to_be_attached(tmp_path: Path) -> None:
    bench = queue(tmp_path)
    bench.engine.await_attachments()
    bench.consume(1, arrival=5)
    bench.feed(publish(1))
    assert (receivers(bench), active(bench)) == ([], None)
    bench.consume(2, arrival=9, was_active=True)
    assert receivers(bench) == [2]
    bench.engine.all_attached()
    assert active(bench) == 2


def test_where_it_does_not_come_the_first_follows(tmp_path: Path) -> None:
    bench = queue(tmp_path)
    bench.engine.await_attachments()
    bench.consume(1, arrival=8)
    bench.consume(2, arrival=5)
    bench.feed(publish(1))
    bench.engine.all_attached()
    bench.engine.dispatch()
    assert receivers(bench) == [2]
