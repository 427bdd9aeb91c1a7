"""Dead letters of one engine: their routes, their records, and what waits for what."""
from __future__ import annotations

from pathlib import Path

import pytest

from amqp091.properties import Properties, encode
from tests.unit.shards import wire
from tests.unit.shards.letters import GONE, START_MS, LetterShard
from topology.features import QueueFeatures


@pytest.fixture
def shard(tmp_path: Path) -> LetterShard:
    """Queue 1 dies into 2, whatever the key."""
    made = LetterShard(tmp_path)
    made.dying(1)
    made.queue(2)
    made.router.routes["dlx"] = {"": [2]}
    return made


def test_a_letter_is_the_message_with_its_death(shard: LetterShard) -> None:
    properties = encode(Properties(headers={"h": 1}, delivery_mode=2, message_id="m"))
    shard.reject(1, b"body", exchange=b"x", routing_key=b"k", properties=properties)
    shard.sync()
    (letter,) = shard.letters(2)
    assert (letter.body, letter.exchange, letter.routing_key, letter.deaths) == (
        b"body", b"dlx", b"k", [("q1", "rejected", 1)])
    headers = letter.properties.headers or {}
    (death,) = headers["x-death"]
    assert (death["exchange"], death["routing-keys"], int(death["time"])) == ("x", ["k"], START_MS // 1000)
    assert (headers["h"], letter.properties.message_id) == (1, "m")
    assert shard.counted == {"rejected": 1}


def test_a_key_of_the_queue(tmp_path: Path) -> None:
    shard = LetterShard(tmp_path)
    shard.dying(1, key="other")
    shard.queue(2)
    shard.router.routes["dlx"] = {"other": [2]}
    properties = encode(Properties(headers={"CC": ["cc"], "BCC": ["bcc"]}))
    shard.reject(1, b"body", properties=properties)
    (letter,) = shard.letters(2)
    assert letter.routing_key == b"other"
    parts = [f"x-{which}-death-{part}" for which in ("first", "last") for part in ("reason", "queue", "exchange")]
    assert set(letter.properties.headers or {}) == {"x-death", *parts}


def test_a_queue_without_an_exchange_lets_its_dead_go(tmp_path: Path) -> None:
    shard = LetterShard(tmp_path)
    shard.queue(1, max_length=1)
    shard.reject(1, b"1")
    shard.feed(wire.publish(1), wire.publish(1))
    assert (shard.ready(1), shard.live, shard.counted) == (1, 1, {})


class TestRoutes:
    """They are asked for once."""

    def test_known_keys_are_not_asked_for_again(self, shard: LetterShard) -> None:
        shard.reject(1, *[b"x"] * 5)
        shard.reject(1, *[b"x"] * 5, routing_key=b"other")
        shard.reject(1, *[b"x"] * 5)
        assert shard.router.asked == [(1, "dlx", ["key"], False), (1, "dlx", ["other"], False)]

    def test_until_the_topology_changes(self, shard: LetterShard) -> None:
        shard.reject(1, b"1")
        shard.queue(3)
        shard.router.routes["dlx"] = {"": [3]}
        shard.reject(1, b"2")
        shard.router.version += 1
        shard.reject(1, b"3")
        assert (shard.bodies(2), shard.bodies(3)) == ([b"1", b"2"], [b"3"])

    def test_each_queue_has_its_own(self, shard: LetterShard) -> None:
        shard.dying(4, "other")
        shard.queue(3)
        shard.router.routes["other"] = {"": [3]}
        shard.reject(1, b"of 1")
        shard.reject(4, b"of 4")
        assert (shard.bodies(2), shard.bodies(3)) == ([b"of 1"], [b"of 4"])

    def test_all_keys_of_a_message(self, shard: LetterShard) -> None:
        shard.queue(3)
        shard.router.routes["dlx"] = {"key": [2], "cc": [3, 2], "bcc": [3]}
        properties = encode(Properties(headers={"CC": ["cc", "none"], "BCC": ["bcc"]}))
        shard.reject(1, b"body", b"body", properties=properties)
        assert shard.router.asked == [(1, "dlx", ["key", "cc", "none", "bcc"], False)]
        assert (len(shard.letters(2)), len(shard.letters(3))) == (2, 2)

    def test_those_by_headers_are_asked_for_each_time(self, shard: LetterShard) -> None:
        shard.queue(3)
        shard.router.by_headers.add("dlx")
        shard.router.routes["dlx"] = {"two": [2], "three": [3]}
        for to in ("two", "three", "nowhere", "two"):
            shard.reject(1, to.encode(), properties=encode(Properties(headers={"to": to})))
        assert (shard.bodies(2), shard.bodies(3)) == ([b"two", b"two"], [b"three"])
        assert [properties for _, _, _, properties in shard.router.asked] == [False, True, True, True, True]
        assert shard.dropped == 1

    def test_many_keys_start_the_memory_anew(self, shard: LetterShard) -> None:
        count = 66_000
        shard.feed(*(wire.publish(1, b"x", routing_key=b"%d" % number, ttl_ms=0) for number in range(count)))
        shard.at(0)
        while not shard.engine.idle:
            shard.engine.dispatch()
        assert (shard.ready(2), len(shard.router.asked)) == (count, count)

    def test_no_route_and_no_queue(self, shard: LetterShard) -> None:
        shard.router.routes["dlx"] = {"gone": [GONE], "both": [GONE, 2]}
        shard.reject(1, b"nowhere")
        shard.reject(1, b"gone", routing_key=b"gone")
        shard.reject(1, b"both", routing_key=b"both")
        shard.sync()
        assert shard.bodies(2) == [b"both"]
        assert (shard.dropped, shard.live) == (2, 0)


class TestDurability:
    """Which entry is done with when."""

    def test_a_durable_letter_is_one_record_and_the_old_entry_waits_for_the_disk(self, shard: LetterShard) -> None:
        shard.reject(1, b"body")
        assert (shard.ready(2), shard.live, shard.waiting(1)) == (1, 2, 0)
        shard.sync()
        assert shard.live == 1
        assert shard.bodies(2) == [b"body"]
        assert shard.live == 0

    def test_a_transient_one_does_not(self, shard: LetterShard) -> None:
        shard.reject(1, b"body", persistent=False)
        assert (shard.ready(2), shard.live) == (1, 1)

    def test_a_persistent_one_for_a_transient_queue_does_not(self, shard: LetterShard) -> None:
        shard.queue(3, durable=False)
        shard.router.routes["dlx"] = {"": [3]}
        shard.reject(1, b"body")
        assert (shard.ready(3), shard.live) == (1, 1)

    def test_one_from_a_transient_queue_for_a_durable_one_waits(self, shard: LetterShard) -> None:
        shard.queue(3, durable=False, features=QueueFeatures(dead_letter_exchange="dlx"))
        shard.reject(3, b"body")
        assert shard.live == 2
        shard.sync()
        assert (shard.ready(2), shard.live) == (1, 1)

    def test_a_transient_message_in_a_quorum_queue_waits(self, shard: LetterShard) -> None:
        shard.queue(3, queue_type="quorum")
        shard.router.routes["dlx"] = {"": [3]}
        shard.reject(1, b"body", persistent=False)
        assert shard.live == 2
        shard.sync()
        assert (shard.ready(3), shard.live) == (1, 1)

    def test_a_fanout_is_one_record(self, shard: LetterShard) -> None:
        targets = list(range(2, 40))
        for queue_id in targets[1:]:
            shard.queue(queue_id)
        shard.router.routes["dlx"] = {"": targets}
        before = shard.store.appended_position
        shard.reject(1, b"x" * 10_000)
        assert shard.store.appended_position - before < 25_000      # the message and its letter
        assert all(shard.ready(queue_id) == 1 for queue_id in targets)
        shard.sync()
        assert shard.live == len(targets)

    def test_a_letter_that_is_consumed_before_it_is_on_the_disk(self, shard: LetterShard) -> None:
        shard.consume(2, no_ack=True)
        shard.reject(1, b"body")
        (delivered,) = wire.parse(bytes(shard.engine.outgoing(0)))
        assert (delivered.body, shard.live) == (b"body", 1)
        shard.sync()
        assert shard.live == 0


class TestRestarts:
    """What another process finds. Each death of one is in tests/simulation/shards/test_letters.py."""

    def test_a_letter_is_there_and_its_message_is_not(self, shard: LetterShard) -> None:
        shard.reject(1, b"body")
        shard.sync()
        again = shard.restarted()
        (letter,) = again.letters(2)
        assert (letter.deaths, again.ready(1), again.live) == ([("q1", "rejected", 1)], 0, 0)

    def test_neither_is_one_that_was_delayed(self, shard: LetterShard) -> None:
        """It has another number in its queue than in the log."""
        shard.feed(wire.publish(1, b"late", persistent=True, not_before_ms=START_MS + 50))
        shard.feed(wire.publish(1, b"early", persistent=True))
        shard.at(50)
        assert shard.ready(1) == 2
        for _ in range(2):
            assert shard.engine.get(0, 1, 1, 50, False)
        shard.engine.sent(0)
        shard.feed(wire.settle(50, 2, wire.REJECT, multiple=True))
        # the disk has the letters, and the process dies before it has acknowledged anything
        ticket = shard.store.sync_target()
        assert ticket is not None
        ticket.synchronise()
        again = shard.restarted()
        assert (again.bodies(2), again.ready(1), again.live) == ([b"early", b"late"], 0, 0)

    def test_a_letter_dies_on_with_its_history(self, shard: LetterShard) -> None:
        shard.router.routes["dlx"] = {"": [3]}
        shard.dying(3, "last")
        shard.router.routes["last"] = {"": [2]}
        shard.reject(1, b"body")
        shard.sync()
        again = shard.restarted()
        assert again.engine.get(0, 1, 3, 50, False)
        again.engine.sent(0)
        again.feed(wire.settle(50, 1, wire.REJECT))
        assert [letter.deaths for letter in again.letters(2)] == [[("q3", "rejected", 1), ("q1", "rejected", 1)]]

    def test_what_waited_is_in_its_queue(self, shard: LetterShard) -> None:
        shard.queue(3, max_length=0, overflow="reject-publish")
        shard.router.routes["dlx"] = {"": [3]}
        shard.reject(1, b"1", b"2")
        shard.sync()
        again = shard.restarted()
        assert again.bodies(1) == [b"1", b"2"]


class TestDeaths:
    """Reasons, and letters that die again."""

    def test_maxlen_and_expired(self, shard: LetterShard) -> None:
        shard.dying(3, max_length=1, message_ttl_ms=50)
        shard.feed(wire.publish(3, b"1"), wire.publish(3, b"2"))
        assert [letter.deaths for letter in shard.letters(2)] == [[("q3", "maxlen", 1)]]
        shard.at(50)
        assert [(letter.body, letter.deaths) for letter in shard.letters(2)] == [(b"2", [("q3", "expired", 1)])]
        assert shard.counted == {"maxlen": 1, "expired": 1}

    def test_the_expiration_is_gone(self, shard: LetterShard) -> None:
        shard.feed(wire.publish(1, b"body", ttl_ms=30, properties=encode(Properties(expiration="30"))))
        shard.at(30)
        shard.at(100)
        (letter,) = shard.letters(2)
        assert letter.properties.expiration is None
        assert (letter.properties.headers or {})["x-death"][0]["original-expiration"] == "30"

    def test_a_chain_of_deaths_in_one_turn(self, shard: LetterShard) -> None:
        for queue_id in range(10, 20):
            shard.dying(queue_id, f"dlx{queue_id}", max_length=0)
            shard.router.routes[f"dlx{queue_id}"] = {"": [queue_id + 1]}
        shard.queue(20)
        shard.feed(wire.publish(10, b"body", persistent=True))
        (letter,) = shard.letters(20)
        assert letter.deaths == [(f"q{queue_id}", "maxlen", 1) for queue_id in range(19, 9, -1)]
        shard.sync()
        assert shard.live == 0

    def test_circles_end(self, shard: LetterShard) -> None:
        """10 and 11 have no room for anything, and die into each other."""
        for queue_id, other in ((10, 11), (11, 10)):
            shard.dying(queue_id, f"to{other}", max_length=0)
            shard.router.routes[f"to{other}"] = {"": [other]}
        shard.feed(wire.publish(10, persistent=True), wire.publish(10, persistent=True))
        shard.sync()
        assert (shard.live, shard.dropped, shard.engine.idle) == (0, 2, True)
        assert shard.router.circles == [(11, b"q10")]

    def test_a_client_that_rejects_may_go_on_for_ever(self, shard: LetterShard) -> None:
        shard.router.routes["dlx"] = {"": [1]}
        shard.reject(1, b"body")
        for times in range(1, 20):
            assert shard.engine.get(0, 1, 1, 50, False)
            shard.engine.sent(0)
            shard.feed(wire.settle(50, times, wire.REJECT))
        (letter,) = shard.letters(1)
        assert letter.deaths == [("q1", "rejected", 20)]

    def test_a_full_queue_that_buries_what_it_refuses(self, shard: LetterShard) -> None:
        shard.dying(3, max_length=1, overflow="reject-publish-dlx")
        shard.feed(*(wire.publish(3, b"%d" % n, persistent=True, sequence=n) for n in (1, 2, 3)))
        refused = wire.parse(bytes(shard.engine.outgoing(0)))
        assert [record.publish_sequence for record in refused] == [2, 3]
        shard.engine.sent(0)
        shard.sync()
        assert [(letter.body, letter.deaths) for letter in shard.letters(2)] == [
            (b"2", [("q3", "maxlen", 1)]), (b"3", [("q3", "maxlen", 1)])]
        assert (shard.bodies(3), shard.live) == ([b"1"], 0)

    def test_a_letter_for_one(self, shard: LetterShard) -> None:
        """It dies there, too: nobody else would keep it."""
        shard.dying(3, "last", max_length=0, overflow="reject-publish-dlx")
        shard.router.routes.update({"dlx": {"": [3]}, "last": {"": [2]}})
        shard.reject(1, b"body")
        (letter,) = shard.letters(2)
        assert letter.deaths == [("q3", "maxlen", 1), ("q1", "rejected", 1)]
        shard.sync()
        assert shard.live == 0

    def test_a_claim_is_not_believed_and_a_death_of_ours_is(self, shard: LetterShard) -> None:
        claim = encode(Properties(headers={"x-death": [{"queue": "q2", "reason": "expired", "count": 9}]}))
        shard.feed(wire.publish(1, b"body", properties=claim, ttl_ms=0))
        shard.at(0)
        (letter,) = shard.letters(2)
        assert letter.deaths == [("q1", "expired", 1)]

    def test_work_for_many_turns(self, shard: LetterShard) -> None:
        """A hundred queues with a hundred each: others have their turn between."""
        for queue_id in range(10, 60):
            shard.dying(queue_id)
        shard.feed(*(wire.publish(queue_id, b"x", ttl_ms=10) for queue_id in range(10, 60) for _ in range(200)))
        while shard.engine.expire(START_MS + 10):
            pass
        turns = 0
        while not shard.engine.idle:
            shard.engine.dispatch()
            turns += 1
        assert (shard.ready(2), turns) == (10_000, 3)


class TestWaiting:
    """Targets that are full, and a full disk."""

    def test_a_full_target_is_tried_again_and_the_order_stays(self, shard: LetterShard) -> None:
        shard.queue(3, max_length=1, overflow="reject-publish")
        shard.router.routes["dlx"] = {"": [3]}
        shard.reject(1, b"1", b"2", b"3")
        assert (shard.ready(3), shard.waiting(1), shard.engine.idle) == (1, 2, True)
        assert shard.engine.next_timer_ms() == START_MS + 200
        shard.at(200)
        assert (shard.ready(3), shard.waiting(1)) == (1, 2)
        bodies = []
        for turn in range(2, 6):
            bodies += shard.bodies(3)
            shard.at(turn * 200)
        assert bodies == [b"1", b"2", b"3"]
        shard.sync()
        assert (shard.live, shard.engine.next_timer_ms()) == (0, None)

    def test_one_of_several_that_is_full_holds_up_no_other(self, shard: LetterShard) -> None:
        shard.queue(3, max_length=2, overflow="reject-publish")
        shard.router.routes["dlx"] = {"": [2, 3]}
        shard.reject(1, b"1", b"2", b"3", b"4")
        shard.sync()
        assert (shard.ready(2), shard.ready(3), shard.waiting(1)) == (4, 2, 2)
        bodies = shard.bodies(3)
        shard.at(200)
        shard.sync()
        assert (bodies + shard.bodies(3), shard.waiting(1)) == ([b"1", b"2", b"3", b"4"], 0)
        assert shard.bodies(2) == [b"1", b"2", b"3", b"4"]
        assert shard.live == 0

    def test_what_waits_costs_its_entry(self, shard: LetterShard) -> None:
        shard.queue(3, max_length=0, overflow="reject-publish")
        shard.router.routes["dlx"] = {"": [3]}
        shard.feed(*(wire.publish(1, b"x", ttl_ms=0) for _ in range(20_000)))
        shard.at(0)
        assert shard.waiting(1) == 20_000
        shard.engine.remove_queue(3)
        shard.router.routes["dlx"] = {"": [2]}
        shard.router.version += 1
        shard.at(200)
        while not shard.engine.idle:
            shard.engine.dispatch()
        assert (shard.waiting(1), shard.ready(2)) == (0, 20_000)

    def test_a_clock_that_is_set_back_holds_nothing_up(self, shard: LetterShard) -> None:
        shard.queue(3, max_length=0, overflow="reject-publish")
        shard.router.routes["dlx"] = {"": [3]}
        shard.reject(1, b"body")
        shard.router.routes["dlx"] = {"": [2]}
        shard.router.version += 1
        shard.at(-3_600_000)
        assert shard.bodies(2) == [b"body"]


class TestChanges:
    """Queues and settings that go."""

    def test_a_queue_that_goes_takes_what_was_dying_along(self, shard: LetterShard) -> None:
        shard.queue(3, max_length=0, overflow="reject-publish")
        shard.router.routes["dlx"] = {"": [3]}
        shard.reject(1, b"1", b"2")
        shard.engine.remove_queue(1)
        assert shard.live == 0
        shard.at(1000)
        assert shard.engine.idle and shard.ready(3) == 0

    def test_one_with_letters_at_several_targets(self, shard: LetterShard) -> None:
        shard.queue(3, max_length=0, overflow="reject-publish")
        shard.router.routes["dlx"] = {"": [2, 3]}
        shard.reject(1, b"1", b"2")
        shard.engine.remove_queue(1)
        shard.at(1000)
        assert (shard.bodies(2), shard.live) == ([b"1", b"2"], 0)

    def test_one_whose_letters_are_not_on_the_disk_yet(self, shard: LetterShard) -> None:
        shard.reject(1, b"body")
        shard.engine.remove_queue(1)
        assert shard.live == 2
        shard.sync()
        assert (shard.bodies(2), shard.live) == ([b"body"], 0)

    def test_a_purge_leaves_what_has_died(self, shard: LetterShard) -> None:
        shard.queue(3, max_length=0, overflow="reject-publish")
        shard.router.routes["dlx"] = {"": [3]}
        shard.reject(1, b"dead")
        shard.feed(wire.publish(1, b"ready"))
        assert shard.engine.purge(1) == 1
        assert shard.waiting(1) == 1

    def test_a_new_exchange_counts_at_once(self, shard: LetterShard) -> None:
        shard.queue(3)
        shard.router.routes["new"] = {"": [3]}
        shard.reject(1, b"1")
        shard.engine.configure(1, QueueFeatures(dead_letter_exchange="new"))
        shard.reject(1, b"2")
        shard.engine.configure(1, QueueFeatures(dead_letter_exchange="new", dead_letter_routing_key="k"))
        shard.reject(1, b"3")
        assert shard.bodies(2) == [b"1"]
        assert [(letter.body, letter.routing_key) for letter in shard.letters(3)] == [(b"2", b"key"), (b"3", b"k")]

    def test_an_exchange_that_is_taken_away(self, shard: LetterShard) -> None:
        shard.queue(3, max_length=0, overflow="reject-publish")
        shard.router.routes["dlx"] = {"": [3]}
        shard.reject(1, b"waits")
        shard.engine.configure(1, QueueFeatures())
        shard.reject(1, b"goes")
        shard.at(1000)
        assert (shard.live, shard.waiting(1), shard.dropped) == (0, 0, 1)
        shard.engine.configure(1, QueueFeatures(dead_letter_exchange="dlx"))
        shard.router.routes["dlx"] = {"": [2]}
        shard.router.version += 1
        shard.reject(1, b"again")
        assert shard.bodies(2) == [b"again"]
