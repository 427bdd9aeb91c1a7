"""Where dead letters go, asked of the replica: what is remembered by key, what each letter is asked about."""
from __future__ import annotations

import pytest

from amqp091.tables import encode_table
from shards.dead_letters import LetterRoute, LetterRouter
from tests.unit.gateway_core import frames
from tests.unit.topology.random_changes import EXCHANGES, KEYS, Dice
from tests.unit.topology.test_routing_through_exchanges import World
from topology.replica import Replica

NO_PROPERTIES = b"\0\0"
STEPS = 400


@pytest.fixture
def world() -> World:
    """Queues a, b and c; letters come from the queue `dying`."""
    made = World()
    for name in ("dying", "a", "b", "c"):
        made.queue(name)
    return made


def targets(
    world: World, exchange: str, *keys: bytes, properties: bytes | None = None
) -> list[bytes] | None:
    """None: it depends on the letter."""
    queue = world.replica.queue("/", "dying")
    assert queue is not None
    found = LetterRouter(0, world.replica).route(queue.queue_id, exchange.encode(), keys, properties)
    assert found.source == b"dying"
    return None if found.by_message else sorted(name for _, name in found.local)


def test_by_key_alone_it_is_answered_at_once(world: World) -> None:
    world.bind("amq.direct", "a", "k")
    assert targets(world, "amq.direct", b"k") == [b"a"]
    assert targets(world, "", b"b", b"c", b"nothing") == [b"b", b"c"]
    assert targets(world, "missing", b"k") == []


@pytest.mark.parametrize("kind", ["headers", "x-consistent-hash", "x-random"])
def test_headers_and_choices_are_looked_at_for_each_letter(world: World, kind: str) -> None:
    world.exchange("letters", kind)
    for name in "abc":
        world.bind("letters", name, "1")
    assert targets(world, "letters", b"k") is None
    found = targets(world, "letters", b"k", properties=NO_PROPERTIES)
    assert found is not None and len(found) == (3 if kind == "headers" else 1)


def test_a_letter_goes_the_way_that_a_publish_would_go(world: World) -> None:
    world.exchange("letters", "x-consistent-hash", arguments={"hash-header": "id"})
    for name in "abc":
        world.bind("letters", name, "1")
    found = set()
    for n in range(40):
        properties = frames.properties(headers=encode_table({"id": n}))
        (queue,) = world.replica.route("/", "letters", "k", properties=properties).queues
        assert targets(world, "letters", b"other", properties=properties) == [queue.name.encode()]
        found.add(queue.name)
    assert found == {"a", "b", "c"}


def test_the_alternate_exchange_gets_what_none_of_the_keys_routes(world: World) -> None:
    world.exchange("letters", arguments={"alternate-exchange": "amq.fanout"})
    world.bind("letters", "a", "k")
    world.bind("amq.fanout", "b")
    assert targets(world, "letters", b"unknown", b"k") == [b"a"]
    assert targets(world, "letters", b"unknown", b"too") == [b"b"]


def asked(world: World, exchange: str, *keys: bytes) -> tuple[LetterRouter, int]:
    """A router that was asked for this, and its version then."""
    queue = world.replica.queue("/", "dying")
    assert queue is not None
    router = LetterRouter(0, world.replica)
    router.route(queue.queue_id, exchange.encode(), keys, None)
    return router, router.version


def test_queues_that_come_and_go_elsewhere_touch_no_route_of_letters(world: World) -> None:
    world.bind("amq.direct", "a", "k")
    router, version = asked(world, "amq.direct", b"k")
    world.queue("new")
    world.bind("amq.direct", "new", "other")
    world.bind("amq.topic", "new", "k")
    world.exchange("unrelated")
    assert router.version == version


@pytest.mark.parametrize("exchange", ["amq.direct", "amq.topic", "before"])
def test_a_binding_that_a_letter_would_take_touches_its_route(world: World, exchange: str) -> None:
    """Also one behind the exchange that the letter goes to."""
    world.exchange("before", arguments={"alternate-exchange": "amq.topic"})
    router, version = asked(world, exchange, b"k")
    world.bind("amq.topic" if exchange == "before" else exchange, "b", "k")
    assert router.version != version


def test_a_queue_or_an_exchange_that_letters_waited_for_touches_their_route(world: World) -> None:
    for exchange, come in (("", world.queue), ("missing", world.exchange)):
        router, version = asked(world, exchange, b"none", b"missing")
        come("missing")
        assert router.version != version


def test_what_is_answered_of_a_queue_that_is_not_known_yet_is_not_remembered(world: World) -> None:
    router = LetterRouter(0, world.replica)
    version = router.version
    assert router.route(999, b"", [b"a"], None).source == b""
    assert router.version != version


def test_any_number_of_keys_costs_little_memory(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shards.dead_letters.ASKED_MAX", 10)
    router, version = asked(world, "amq.direct", *(b"%d" % n for n in range(10)))
    queue = world.replica.queue("/", "dying")
    assert queue is not None
    router.route(queue.queue_id, b"amq.direct", [b"last"], None)
    assert router.version != version, "so that the engine forgets what this has forgotten"
    world.bind("amq.direct", "a", "last")
    assert router.version > version + 1


@pytest.mark.parametrize("seed", range(6))
def test_a_letter_whose_route_is_not_touched_goes_where_it_went(seed: int) -> None:
    """Held against routing anew after each of many random changes."""
    replica = Replica()
    dice = Dice(replica, seed)
    router = LetterRouter(0, replica)
    known: dict[tuple[int, str, str], LetterRoute] = {}     # as the engine remembers them
    version, kept = router.version, 0
    for _ in range(STEPS):
        dice.change()
        if router.version != version:
            known.clear()
            version = router.version
        queue_ids = [queue.queue_id for queue in replica.vhosts["/"].queues.values()]
        for (queue_id, exchange, key), route in known.items():
            if queue_id in queue_ids:           # letters of others are dropped
                kept += 1
                assert router.route(queue_id, exchange.encode(), [key.encode()], None) == route
        if queue_ids:
            place = dice.random.choice(queue_ids), dice.random.choice(("", *EXCHANGES)), dice.random.choice(KEYS)
            known[place] = router.route(place[0], place[1].encode(), [place[2].encode()], None)
    assert kept > STEPS
