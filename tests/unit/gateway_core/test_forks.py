"""Routes that depend on a choice: made anew for each message, each way asked for once."""
from collections import Counter
from typing import Any

from amqp091.tables import encode_table
from gateway.core import Fork, Route, Way
from tests.unit.gateway_core import frames
from tests.unit.gateway_core.driver import Connection, Gateway
from topology.choice import Choice
from topology.model import Destination

WAYS_REMEMBERED_MAX = 1 << 14
BASE = 1000      # of the queue ids that tell a path
THREE = [Destination("queue", name) for name in "abc"]


class World:
    """A connection whose exchanges fork as told; what it asked for."""

    def __init__(self, *choices: Choice) -> None:
        self.gateway = Gateway(1)
        self.connection = Connection(self.gateway)
        self.connection.ways = self.way
        self.choices = choices
        self.asked: list[tuple[int, ...]] = []

    def way(self, exchange: bytes, keys: Any, headers: Any, has_delay: bool, path: tuple[int, ...]) -> Way:
        """One choice after the other; the queue id tells the path."""
        self.asked.append(path)
        if len(path) < len(self.choices):
            return Fork(self.choices[len(path)], path)
        return Route([(0, sum(index * BASE**place for place, index in enumerate(path)), 0)])

    def routed(self, messages: list[bytes], exchange: bytes = b"fanout", properties: bytes = b"\0\0") -> list[int]:
        self.connection.receive(
            b"".join(frames.publish(1, b"", properties, exchange=exchange, routing_key=key) for key in messages))
        return [record.queues[0] for record in self.gateway.send()]


KEYS = [b"key-%d" % n for n in range(300)]


def test_each_message_is_chosen_for_and_each_way_is_asked_for_once() -> None:
    choice = Choice(THREE, weights=[1, 2, 3])
    world = World(choice)
    found = world.routed(KEYS)
    assert found == [choice.index(key) for key in KEYS] == world.routed(KEYS)
    assert sorted(world.asked) == [(), (0,), (1,), (2,)]


def test_choices_in_a_row() -> None:
    by_key, by_header = Choice(THREE), Choice(THREE, weights=[1, 1, 1], hash_header="h")
    world = World(by_key, by_header)
    for value in range(20):
        properties = frames.properties(headers=encode_table({"h": value}))
        second = by_header.index(b"", properties)
        found = world.routed(KEYS[:30], properties=properties)
        assert found == [by_key.index(key) + BASE * second for key in KEYS[:30]]
    assert len(world.asked) == len(set(world.asked)) == 1 + 3 + 9


def test_at_random_every_way_is_taken_whatever_the_key() -> None:
    world = World(Choice(THREE, random=True))
    counts = Counter(world.routed([b"same"] * 3000))
    assert sorted(counts) == [0, 1, 2] and min(counts.values()) > 800


def test_a_fork_is_remembered_by_what_its_exchange_depends_on() -> None:
    world = World(Choice(THREE))
    world.routed(KEYS, b"fanout")
    assert len(world.asked) == 4
    world.asked.clear()
    world.routed(KEYS * 2, b"direct")       # each key has a fork of its own, which that key passes one way
    assert len(world.asked) == 2 * len(KEYS)


def test_forks_are_forgotten_when_the_topology_moves() -> None:
    world = World(Choice(THREE))
    world.routed(KEYS)
    world.gateway.stamps.touch_everything()
    world.choices = (Choice(THREE[:2]),)
    assert set(world.routed(KEYS)) == {0, 1}
    assert len(world.asked) == 4 + 3


def test_with_copies_a_choice_is_made_once() -> None:
    choice = Choice(THREE, weights=[1, 1, 1])
    world = World(choice)
    for exchange in (b"fanout", b"direct"):
        properties = frames.properties(headers=encode_table({"CC": ["x", "y"], "BCC": ["z"]}))
        assert world.routed(KEYS[:50], exchange, properties) == [choice.index(key) for key in KEYS[:50]]


def test_more_ways_than_are_remembered_are_still_found() -> None:
    wide = [Destination("queue", f"q{n}") for n in range(300)]
    by_key, at_random = Choice(wide, weights=[1] * 300), Choice(wide, random=True)
    world = World(by_key, at_random, at_random)
    keys = [b"%d" % n for n in range(18_000)]
    found = world.routed(keys)
    assert [queue % BASE for queue in found] == [by_key.index(key) for key in keys]
    assert len(world.asked) > 2 * WAYS_REMEMBERED_MAX


def test_an_exchange_on_whose_routes_nothing_counts_is_asked_once() -> None:
    world = World()
    world.routed(KEYS)
    assert world.asked == [()]
    properties = frames.properties(headers=encode_table({"x-delay": 5}))
    world.routed(KEYS, properties=properties)
    assert world.asked == [(), ()]
