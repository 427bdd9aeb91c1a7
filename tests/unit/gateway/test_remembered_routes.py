"""What channels remember of routes while the topology changes at random: never anything but what routing anew says."""
from __future__ import annotations

import random
from typing import Any, Final

import pytest

from amqp091.errors import NotFound
from amqp091.tables import decode_table, encode_table
from gateway.core import RouteStamps, Way
from gateway.core.route_cache import routes_remembered
from gateway.replies import ReplyNames
from gateway.routes import RouteTable
from tests.unit.gateway_core import frames
from tests.unit.gateway_core.driver import Channel, Connection, Gateway
from tests.unit.topology.random_changes import EXCHANGES, KEYS, Dice
from topology import changes
from topology.model import Queue
from topology.replica import Replica

STEPS: Final = 150
CHANNELS: Final = 2
MESSAGES: Final[tuple[dict[str, Any] | None, ...]] = (
    None, {"h": 1}, {"h": 2, "x-delay": 5}, {"CC": ["b"]}, {"CC": ["1", "c"], "h": 1})

Reached = tuple[set[int], set[int]]


class RoutingChannel(Channel):
    """Asks the routes of a replica."""

    def route_scope(self, exchange: bytes) -> int:
        return self.connection.table.replica.scope("/", exchange.decode())   # type: ignore[attr-defined]


class World:
    """A gateway with a connection, whose channels route by a replica."""

    def __init__(self, channels: int = CHANNELS) -> None:
        self.replica = Replica()
        self.gateway = Gateway(1)
        self.table = RouteTable(self.replica, ReplyNames(bytes(32)), self.gateway.stamps)
        self.connection = Connection(self.gateway, 0)
        self.connection.vhost = "/"
        self.connection.table = self                    # type: ignore[attr-defined]
        self.connection.ways = self.way
        self.asked = 0
        for number in range(1, channels + 1):
            RoutingChannel(self.connection, number)

    def way(self, exchange: bytes, keys: tuple[bytes, ...], headers: bytes | None, has_delay: bool, path: Any) -> Way:
        self.asked += 1
        return self.table.find("/", exchange.decode(), tuple(key.decode() for key in keys), headers, has_delay, path)

    def publish(self, channel: int, exchange: str, key: str, headers: dict[str, Any] | None) -> Reached:
        """Ids of the queues that get it at once, and late."""
        properties = frames.properties(headers=None if headers is None else encode_table(headers))
        self.connection.receive(
            frames.publish(channel, b"", properties, exchange=exchange.encode(), routing_key=key.encode()))
        now: set[int] = set()
        late: set[int] = set()
        for record in self.gateway.send():
            (now if record.not_before_ms is None else late).update(record.queues)
        return now, late

    def routed(self, exchange: str, key: str, headers: dict[str, Any] | None) -> Reached:
        """The same by asking the replica."""
        properties = frames.properties(headers=None if headers is None else encode_table(headers))
        table = {} if headers is None else decode_table(encode_table(headers))
        found = self.replica.route(
            "/", exchange, key, table, copies=table.get("CC", ()), has_delay="x-delay" in table, properties=properties)
        return {queue.queue_id for queue in found.queues}, {queue.queue_id for queue in found.delayed}


@pytest.mark.parametrize("seed", range(6))
def test_a_channel_routes_as_if_it_remembered_nothing(seed: int) -> None:
    world = World()
    dice = Dice(world.replica, seed)
    published = 0
    for _ in range(STEPS):
        ops = dice.change()
        for _ in range(60):             # not all of them each time: what is remembered has seen several changes
            channel, exchange = dice.random.randint(1, CHANNELS), dice.random.choice(("", *EXCHANGES))
            key, headers = dice.random.choice(KEYS), dice.random.choice(MESSAGES)
            if world.replica.exchange("/", exchange) is None:
                continue
            published += 1
            assert world.publish(channel, exchange, key, headers) == world.routed(exchange, key, headers), (
                seed, ops, channel, exchange, key, headers)
    assert not world.connection.errors and world.asked < published * 3 / 4


def test_an_exchange_that_has_gone_is_not_remembered() -> None:
    world = World()
    dice = Dice(world.replica, 1)
    while world.replica.exchange("/", "e0") is None:
        dice.change()
    world.publish(1, "e0", "a", None)
    exchange = world.replica.exchange("/", "e0")
    assert exchange is not None and not world.connection.errors
    world.replica.apply_ops([changes.exchange_delete(exchange)])
    world.publish(1, "e0", "a", None)
    ((number, error),) = world.connection.errors
    assert number == 1 and isinstance(error, NotFound)


def test_queues_that_come_and_go_leave_the_routes_of_others_alone() -> None:
    """Of five thousand queues a channel asks for those again whose name was touched; two names that share a stamp cost
    a lookup, no more."""
    world = World(1)
    names = [f"queue-{number}" for number in range(5000)]
    world.replica.apply_ops([
        changes.vhost_add("/"), *(changes.queue_add(Queue(n, name, "/")) for n, name in enumerate(names, 1))])
    blob = b"".join(frames.publish(1, routing_key=name.encode()) for name in names)

    def targets() -> list[int]:
        world.connection.receive(blob)
        return [record.queues[0] if record.queues else 0 for record in world.gateway.send()]

    assert targets() == list(range(1, 5001)) and world.asked == 5000
    dice = random.Random(2)
    expected, next_id = list(range(1, 5001)), 5001
    lookups = []
    for _ in range(20):
        touched = dice.sample(range(5000), 100)
        for number in touched:
            queue = world.replica.queue("/", names[number])
            assert queue is not None
            world.replica.apply_ops([
                changes.queue_delete(queue), changes.queue_add(Queue(next_id, names[number], "/"))])
            expected[number] = next_id
            next_id += 1
        asked = world.asked
        assert targets() == expected
        assert world.asked - asked >= len(touched)
        lookups.append(world.asked - asked)
        assert targets() == expected
    # a name that shares the stamp of the exchange itself, one of some ten thousand, costs a lookup of each
    assert sorted(lookups)[10] < 2 * 100


def test_a_channel_does_not_collect_routes_of_queues_that_have_gone() -> None:
    """As that of a server whose clients each have a queue for the replies."""
    world = World(1)
    world.replica.apply_ops([changes.vhost_add("/")])
    before = routes_remembered()
    for queue_id in range(1, 10_001):
        queue = Queue(queue_id, f"reply-{queue_id}", "/")
        world.replica.apply_ops([changes.queue_add(queue)])
        assert world.publish(1, "", queue.name, None) == ({queue_id}, set())
        world.replica.apply_ops([changes.queue_delete(queue)])
    assert routes_remembered() - before < 100


def test_a_stamp_is_later_for_what_is_touched() -> None:
    stamps = RouteStamps()
    since = stamps.now
    assert stamps.holds(since, "/", "x", ("k",)) and stamps.holds(since, "/", "x", ())
    stamps.touch_key("/", "x", "k")
    assert not stamps.holds(since, "/", "x", ("k",)) and stamps.holds(since, "/", "x", ("other",))
    assert not stamps.holds(since, "/", "x", ()) and not stamps.holds(since, "/", "x", ("other", "another"))
    assert stamps.holds(stamps.now, "/", "x", ("k",)) and stamps.holds(since, "v", "x", ("k",))
    since = stamps.now
    stamps.touch_exchange("/", "x")
    assert not stamps.holds(since, "/", "x", ("other",)) and not stamps.holds(since, "/", "x", ())
    assert stamps.holds(since, "/", "y", ("other",)) and stamps.holds(since, "v", "x", ())
    since = stamps.now
    stamps.touch_everything()
    assert not stamps.holds(since, "v", "y", ("any",)) and not stamps.holds(since, "v", "y", ())
