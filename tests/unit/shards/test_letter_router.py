"""Where dead letters go, asked of the replica: what is remembered by key, what each letter is asked about."""
from __future__ import annotations

import pytest

from amqp091.tables import encode_table
from shards.dead_letters import LetterRouter
from tests.unit.gateway_core import frames
from tests.unit.topology.test_routing_through_exchanges import World

NO_PROPERTIES = b"\0\0"


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
