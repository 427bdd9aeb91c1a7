"""Dead letters for queues of other shards: handed over at least once, and done with when the target has them."""
from __future__ import annotations

from pathlib import Path

import pytest

from shards.engine import relay
from tests.unit.shards import wire
from tests.unit.shards.letters import LetterShard, answer, connect, cross, disconnect, send
from topology.features import QueueFeatures

NO_ROOM = QueueFeatures(max_length=0, overflow="reject-publish")


class Pair:
    """Queue 1 of shard 0 dies into 102 of shard 1; the link between them is up."""

    def __init__(self, root: Path) -> None:
        self.source = LetterShard(root / "0", 0)
        self.target = LetterShard(root / "1", 1)
        self.source.dying(1)
        self.source.queue(2)
        self.target.queue(102)
        self.target.queue(103)
        self.route(102)
        connect(self.source, self.target)

    def route(self, *targets: int, key: str = "") -> None:
        self.source.router.routes.setdefault("dlx", {})[key] = list(targets)
        self.source.router.version += 1

    def cross(self) -> int:
        return cross(self.source, self.target)

    def settle(self) -> None:
        """Until nothing moves any more."""
        while self.cross():
            pass


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def test_a_letter_crosses_and_the_source_lets_go(pair: Pair) -> None:
    pair.source.reject(1, b"body", routing_key=b"k")
    assert (pair.source.waiting(1), pair.source.live) == (1, 1)
    assert send(pair.source, pair.target) == 1
    answer(pair.source, pair.target)
    assert pair.source.live == 1                # the target's disk does not have it
    pair.target.sync()
    answer(pair.source, pair.target)
    assert (pair.source.live, pair.source.waiting(1), pair.source.counted) == (0, 0, {"rejected": 1})
    (letter,) = pair.target.letters(102)
    assert (letter.body, letter.exchange, letter.routing_key, letter.deaths) == (
        b"body", b"dlx", b"k", [("q1", "rejected", 1)])


def test_history_goes_along(pair: Pair) -> None:
    """What a shard says of deaths the other believes, and what its clients say it does not."""
    pair.target.dying(104, "back")
    pair.target.router.routes["back"] = {"": [1]}
    pair.route(104)
    connect(pair.target, pair.source)
    pair.source.reject(1, b"body")
    pair.cross()
    assert pair.target.engine.get(0, 1, 104, 50, False)
    pair.target.engine.sent(0)
    pair.target.feed(wire.settle(50, 1, wire.REJECT))
    cross(pair.target, pair.source)
    (letter,) = pair.source.letters(1)
    assert letter.deaths == [("q104", "rejected", 1), ("q1", "rejected", 1)]


def test_circles_over_shards_end(pair: Pair) -> None:
    pair.target.dying(104, "back", max_length=0)
    pair.target.router.routes["back"] = {"": [1]}
    pair.route(104)
    connect(pair.target, pair.source)
    pair.source.feed(wire.publish(1, b"body", ttl_ms=10, persistent=True))
    pair.source.at(10)
    pair.cross()
    cross(pair.target, pair.source)
    assert (pair.source.ready(1), pair.target.dropped, pair.target.live) == (0, 1, 0)
    assert pair.target.router.circles == [(104, b"q1")]


def test_many_are_under_way_and_stay_in_order(pair: Pair) -> None:
    bodies = [b"%d" % number for number in range(5000)]
    pair.source.reject(1, *bodies)
    pair.settle()
    assert pair.target.bodies(102) == bodies
    assert pair.source.live == 0


def test_targets_here_and_there(pair: Pair) -> None:
    """Those here come last, in the record that settles the old entry."""
    pair.route(2, 102, 103)
    pair.source.reject(1, b"body")
    assert pair.source.ready(2) == 0
    pair.cross()
    assert (pair.source.ready(2), pair.source.live) == (1, 2)
    pair.source.sync()
    assert (pair.source.live, pair.target.ready(102), pair.target.ready(103)) == (1, 1, 1)


class TestAway:
    """A link that is down, or full."""

    def test_letters_wait_for_the_link(self, pair: Pair) -> None:
        disconnect(pair.source, pair.target)
        pair.source.reject(1, b"1", b"2")
        assert (pair.source.waiting(1), pair.source.engine.idle) == (2, True)
        assert relay.wanted(pair.source.engine) == [1]
        connect(pair.source, pair.target)
        pair.settle()
        assert (pair.target.bodies(102), pair.source.live) == ([b"1", b"2"], 0)

    def test_a_link_that_is_lost_on_the_way(self, pair: Pair) -> None:
        pair.source.reject(1, b"1", b"2")
        disconnect(pair.source, pair.target)
        assert (pair.source.waiting(1), pair.source.live) == (2, 2)
        connect(pair.source, pair.target)
        pair.source.at(200)
        pair.settle()
        assert (sorted(pair.target.bodies(102)), pair.source.live) == ([b"1", b"2"], 0)

    def test_one_that_the_target_had_already_comes_twice(self, pair: Pair) -> None:
        pair.source.reject(1, b"body")
        send(pair.source, pair.target)
        disconnect(pair.source, pair.target)
        connect(pair.source, pair.target)
        pair.source.at(200)
        pair.settle()
        assert (pair.target.bodies(102), pair.source.live) == ([b"body", b"body"], 0)

    def test_other_queues_do_not_wait(self, pair: Pair) -> None:
        disconnect(pair.source, pair.target)
        pair.source.dying(3)
        pair.route(2, key="here")
        pair.source.reject(1, b"there")
        pair.source.reject(3, b"here", routing_key=b"here")
        assert pair.source.bodies(2) == [b"here"]

    def test_no_more_is_under_way_than_the_relay_takes(self, pair: Pair) -> None:
        pair.source.feed(*(wire.publish(1, b"x" * 1000, ttl_ms=0) for _ in range(20_000)))
        pair.source.at(0)
        while not pair.source.engine.idle:
            pair.source.engine.dispatch()
        messages, size_bytes = relay.under_way(pair.source.engine, 1)
        assert 0 < messages < 20_000 and size_bytes < relay.BYTES_MAX + 10_000
        while pair.cross():
            while not pair.source.engine.idle:
                pair.source.engine.dispatch()
        assert (pair.target.ready(102), pair.source.live) == (20_000, 0)


class TestRefused:
    """Targets that have no room."""

    def test_one_that_is_full_gets_it_when_it_has_room(self, pair: Pair) -> None:
        pair.target.engine.configure(102, QueueFeatures(max_length=1, overflow="reject-publish"))
        pair.source.reject(1, b"1", b"2", b"3")
        pair.cross()
        assert (pair.target.ready(102), pair.source.waiting(1)) == (1, 2)
        bodies = []
        for turn in range(1, 10):
            bodies += pair.target.bodies(102)
            pair.source.at(turn * 200)
            pair.settle()
        assert sorted(bodies) == [b"1", b"2", b"3"]
        assert (pair.source.live, pair.source.waiting(1), pair.source.engine.next_timer_ms()) == (0, 0, None)

    def test_one_of_several_that_is_full_holds_up_no_other(self, pair: Pair) -> None:
        pair.target.engine.configure(102, NO_ROOM)
        pair.route(2, 102, 103)
        pair.source.reject(1, b"1", b"2")
        pair.cross()
        assert (pair.target.bodies(103), pair.source.ready(2), pair.source.waiting(1)) == ([b"1", b"2"], 0, 2)
        pair.target.engine.configure(102, QueueFeatures())
        pair.source.at(200)
        pair.settle()
        assert (sorted(pair.target.bodies(102)), sorted(pair.source.bodies(2))) == ([b"1", b"2"], [b"1", b"2"])
        assert pair.target.bodies(103) == []
        pair.source.sync()
        assert pair.source.live == 0

    def test_a_full_one_is_not_flooded(self, pair: Pair) -> None:
        pair.target.engine.configure(102, NO_ROOM)
        pair.source.feed(*(wire.publish(1, b"x", ttl_ms=0) for _ in range(10_000)))
        pair.source.at(0)
        while pair.cross() or not pair.source.engine.idle:
            pair.source.engine.dispatch()
        tried = []
        for turn in range(1, 6):
            pair.source.at(turn * 200)
            count = 0
            while crossed := pair.cross():
                count += crossed
            tried.append(count)
        assert max(tried) <= 256
        pair.target.engine.configure(102, QueueFeatures())
        turn = 6
        while pair.source.waiting(1):
            pair.source.at(turn * 200)
            while pair.cross() or not pair.source.engine.idle:
                pair.source.engine.dispatch()
            turn += 1
        assert turn < 12
        assert (pair.target.ready(102), pair.source.live) == (10_000, 0)

    def test_one_that_buries_what_it_refuses(self, pair: Pair) -> None:
        pair.target.dying(104, "last", max_length=0, overflow="reject-publish-dlx")
        pair.target.router.routes["last"] = {"": [103]}
        pair.route(104)
        pair.source.reject(1, b"body")
        pair.settle()
        (letter,) = pair.target.letters(103)
        assert letter.deaths == [("q104", "maxlen", 1), ("q1", "rejected", 1)]
        pair.target.sync()
        assert (pair.source.live, pair.target.live) == (0, 0)


class TestGoing:
    """Queues that are deleted."""

    def test_a_target_that_is_gone_counts_as_reached(self, pair: Pair) -> None:
        pair.target.engine.remove_queue(102)
        pair.source.reject(1, b"body")
        pair.settle()
        assert pair.source.live == 0

    def test_a_source_that_goes_while_its_letters_are_under_way(self, pair: Pair) -> None:
        pair.source.reject(1, b"1", b"2")
        pair.source.engine.remove_queue(1)
        pair.settle()
        assert (pair.target.bodies(102), pair.source.live) == ([b"1", b"2"], 0)

    @pytest.mark.parametrize("refused", [True, False])
    def test_one_that_goes_before_a_second_try(self, pair: Pair, refused: bool) -> None:
        if refused:
            pair.target.engine.configure(102, NO_ROOM)
        pair.source.reject(1, b"1", b"2")
        if refused:
            pair.cross()
        pair.source.engine.remove_queue(1)
        disconnect(pair.source, pair.target)
        connect(pair.source, pair.target)
        for turn in range(1, 4):
            pair.source.at(turn * 200)
            pair.settle()
        assert (pair.target.ready(102), pair.source.live) == (0, 0)

    def test_one_with_more_under_way_than_it_may(self, pair: Pair) -> None:
        pair.source.feed(*(wire.publish(1, b"x", ttl_ms=0) for _ in range(10_000)))
        pair.source.at(0)
        while not pair.source.engine.idle:
            pair.source.engine.dispatch()
        pair.source.engine.remove_queue(1)
        pair.settle()
        assert 0 < pair.target.ready(102) < 10_000
        assert pair.source.live == 0


def test_after_a_restart_of_the_source_it_comes_again(pair: Pair) -> None:
    """It was rejected, and is in its queue again; what expired would expire again."""
    pair.source.feed(wire.publish(1, b"expired", ttl_ms=10, persistent=True))
    pair.source.at(10)
    send(pair.source, pair.target)
    pair.source.sync()                          # of the message itself
    disconnect(pair.source, pair.target)
    again = pair.source.restarted()
    connect(again, pair.target)
    again.at(10)
    while cross(again, pair.target):
        pass
    assert (pair.target.bodies(102), again.live) == ([b"expired", b"expired"], 0)
