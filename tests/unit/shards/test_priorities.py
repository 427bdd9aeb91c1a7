"""Consumer priorities: the highest level that can take a message gets it, turns are taken inside a level."""
import pytest

from tests.unit.shards.conftest import Bench
from tests.unit.shards.wire import Deliver, credit, publish, settle

WINDOW_BYTES = 1 << 20


def consumers(bench: Bench, gateway: int = 0) -> list[int]:
    return [record.consumer for record in bench.take(gateway) if isinstance(record, Deliver)]


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_the_highest_gets_all_whoever_came_first(bench: Bench, order: tuple[int, ...]) -> None:
    for consumer in order:
        bench.consume(consumer, priority=consumer - 2)
    bench.feed(*(publish(1) for _ in range(4)))
    assert consumers(bench) == [3, 3, 3, 3]


@pytest.mark.parametrize("no_ack", [False, True])
def test_turns_inside_a_level(bench: Bench, no_ack: bool) -> None:
    for consumer, priority in [(1, 5), (2, 0), (3, 5), (4, 5)]:
        bench.consume(consumer, priority=priority, no_ack=no_ack)
    bench.feed(*(publish(1) for _ in range(7)))
    assert consumers(bench) == [1, 3, 4, 1, 3, 4, 1]


def test_lower_ones_get_what_prefetch_keeps_from_higher_ones(bench: Bench) -> None:
    bench.consume(1)
    bench.consume(2)
    bench.consume(3, channel=2, prefetch=1, priority=1)
    bench.consume(4, channel=3, prefetch=2, priority=9)
    bench.feed(*(publish(1, b"%d" % number) for number in range(7)))
    assert consumers(bench) == [4, 4, 3, 1, 2, 1, 2]
    bench.feed(settle(2, 1), settle(3, 2, multiple=True))
    bench.feed(*(publish(1) for _ in range(4)))
    assert consumers(bench) == [4, 4, 3, 1]


def test_an_ack_just_before_a_publish_counts(bench: Bench) -> None:
    bench.consume(1)
    bench.consume(2, channel=2, prefetch=1, priority=1)
    bench.feed(publish(1), publish(1))
    bench.feed(settle(2, 1), publish(1), publish(1))
    assert consumers(bench) == [2, 1, 2, 1]


def test_a_backlog_goes_to_the_highest_first(bench: Bench) -> None:
    bench.feed(*(publish(1) for _ in range(5)))
    bench.engine.consume(0, 1, 1, 1, 1, no_ack=False, exclusive=False, prefetch=0)
    bench.engine.consume(0, 1, 2, 2, 1, no_ack=False, exclusive=False, prefetch=3, priority=1)
    bench.engine.dispatch()
    assert consumers(bench) == [2, 2, 2, 1, 1]


def test_a_cancelled_level_gives_way_and_may_come_back(bench: Bench) -> None:
    bench.consume(1)
    bench.consume(2, channel=2, priority=1)
    bench.feed(publish(1))
    bench.engine.cancel(0, 2)
    bench.feed(publish(1))
    bench.consume(3, channel=2, priority=1)
    bench.feed(publish(1), settle(2, 1), publish(1))
    assert consumers(bench) == [2, 1, 3, 3]


def test_what_a_higher_consumer_gives_back_comes_to_it_again_or_to_lower_ones(bench: Bench) -> None:
    bench.consume(1)
    bench.consume(2, channel=2, priority=1)
    bench.feed(publish(1, b"a"))
    bench.take()
    bench.engine.recover(0, 2)
    bench.engine.dispatch()
    assert consumers(bench) == [2]
    bench.engine.close_channel(0, 2)
    bench.engine.dispatch()
    assert consumers(bench) == [1]


def test_a_full_window_lets_lower_ones_have_their_turn(bench: Bench) -> None:
    bench.consume(1, connection=1)
    bench.consume(2, channel=2, connection=2, priority=1)
    body = bytes(WINDOW_BYTES)
    bench.feed(publish(1, body))
    (record,) = bench.take()
    bench.feed(publish(1))
    assert consumers(bench) == [1]
    bench.feed(credit(2, record.record_bytes), publish(1))
    assert (record.consumer, consumers(bench)) == (2, [2])


def test_a_full_link_lets_lower_ones_of_another_gateway_have_their_turn(bench: Bench) -> None:
    bench.consume(1, gateway=1)
    bench.consume(2, priority=1)
    bench.engine.set_congested(0, True)
    bench.feed(publish(1))
    assert (consumers(bench, 0), consumers(bench, 1)) == ([], [1])
    bench.engine.set_congested(0, False)
    bench.feed(publish(1))
    assert (consumers(bench, 0), consumers(bench, 1)) == ([2], [])


def test_a_channel_that_is_paused_lets_lower_ones_have_their_turn(bench: Bench) -> None:
    bench.consume(1)
    bench.consume(2, channel=2, priority=1)
    bench.engine.qos(0, 2, limited=False, paused=True)
    bench.feed(publish(1))
    assert consumers(bench) == [1]
    bench.engine.qos(0, 2, limited=False)
    bench.feed(publish(1))
    assert consumers(bench) == [2]


def test_priorities_of_one_queue_do_not_concern_another(bench: Bench) -> None:
    bench.consume(1, 1, priority=1)
    bench.consume(2, 2)
    bench.feed(publish([1, 2]), publish(2))
    assert consumers(bench) == [1, 2, 2]


@pytest.mark.parametrize("priority", [-(1 << 63), (1 << 63) - 1])
def test_the_widest_priorities(bench: Bench, priority: int) -> None:
    bench.consume(1)
    bench.consume(2, priority=priority)
    bench.feed(publish(1))
    assert consumers(bench) == [2 if priority > 0 else 1]


def test_a_queue_goes_with_all_its_levels(bench: Bench) -> None:
    for consumer in range(1, 6):
        bench.consume(consumer, channel=consumer, priority=consumer)
    bench.feed(publish(1), publish(1))
    assert sorted(bench.engine.remove_queue(1)) == [(0, consumer) for consumer in range(1, 6)]
    bench.engine.add_queue(1, True, False)
    bench.consume(7, channel=7)
    bench.feed(publish(1))
    assert consumers(bench) == [5, 5, 7]


def test_lower_ones_wait_until_it_is_known_whether_the_channel_of_a_higher_one_has_credit(bench: Bench) -> None:
    bench.consume(1)
    bench.engine.qos(0, 2, limited=True, connection=1)
    bench.consume(2, channel=2, priority=1)
    bench.feed(publish(1), publish(1), publish(1))
    (asked,) = bench.take()
    assert asked.document == {"event": "credit_wanted", "channel": 2, "count": 3}
    bench.engine.grant(0, 2, 1)
    bench.engine.dispatch()
    assert consumers(bench) == [2, 1, 1]
    bench.feed(publish(1))
    assert consumers(bench) == [1]
    bench.engine.grant(0, 2, 2)
    bench.feed(publish(1), publish(1), publish(1))
    assert consumers(bench) == [2, 2]
    bench.engine.cancel(0, 2)
    bench.consume(3, channel=3)
    assert consumers(bench) == [1]


@pytest.mark.parametrize("how", ["cancel", "close", "unlimited", "gateway"])
def test_an_answer_that_never_comes_holds_nobody_up(bench: Bench, how: str) -> None:
    bench.consume(1, gateway=1)
    bench.engine.qos(0, 2, limited=True, connection=1)
    bench.consume(2, channel=2, priority=1)
    bench.feed(publish(1))
    assert consumers(bench, 1) == []
    match how:
        case "cancel":
            bench.engine.cancel(0, 2)
        case "close":
            bench.engine.close_channel(0, 2)
        case "unlimited":
            bench.engine.qos(0, 2, limited=False)
        case "gateway":
            bench.engine.gateway_down(0)
    bench.engine.dispatch()
    assert (consumers(bench, 0), consumers(bench, 1)) == (([2], []) if how == "unlimited" else ([], [1]))
