"""The routes of one gateway: what is remembered and shared, forks, replies, delays, what queues keep."""
from __future__ import annotations

from typing import Any

import pytest

from amqp091.tables import encode_table
from gateway.core import KEEPS_ALL, KEEPS_NONE, KEEPS_PERSISTENT, Fork, Route, RouteStamps, Way
from gateway.replies import ReplyNames, ReplyPlace
from gateway.routes import ROUTES_LOOKED_OVER, RouteTable
from tests.unit.topology.test_routing_through_exchanges import World
from topology import changes
from topology.model import Permission


class Table:
    """A route table over a small world."""

    def __init__(self) -> None:
        self.world = World()
        self.names = ReplyNames(bytes(32))
        self.table = RouteTable(self.world.replica, self.names, RouteStamps())
        self.ids = {name: self.world.queue(name, durable=True).queue_id for name in ("a", "b", "c")}

    def way(self, exchange: str, *keys: str, **options: Any) -> Way:
        return self.table.find("/", exchange, keys, **options)

    def queues(self, exchange: str, *keys: str, **options: Any) -> tuple[list[int], list[int]]:
        """Ids of those that get it at once, and of those that get it late."""
        route = self.way(exchange, *keys, **options)
        assert isinstance(route, Route)
        return [queue for _, queue, _ in route.targets], [queue for _, queue, _ in route.delayed]


@pytest.fixture
def table() -> Table:
    return Table()


def test_a_route_is_made_once_until_a_change_may_have_touched_it(table: Table) -> None:
    first, both = table.way("", "a"), table.way("", "a", "b")
    assert table.way("", "a") is first and table.way("", "b") is not first
    assert table.way("", "a", "b") is both is not first
    table.world.queue("d")
    assert table.way("", "a") is first and table.way("", "a", "b") is not both
    table.world.replica.apply_ops([changes.permission_set("guest", "/", Permission("", ".*", ".*"))])
    assert table.way("", "a") is not first


def test_routes_of_queues_that_have_gone_do_not_pile_up(table: Table) -> None:
    for _ in range(ROUTES_LOOKED_OVER * 3):
        queue = table.world.queue("reply")
        assert table.queues("", "reply") == ([queue.queue_id], [])
        assert table.queues("", f"nobody-{queue.queue_id}") == ([], [])
        table.world.queue(f"nobody-{queue.queue_id}")
        table.world.replica.apply_ops([changes.queue_delete(queue)])
    assert len(table.table._routes) <= ROUTES_LOOKED_OVER


def test_where_keys_do_not_count_all_share_one(table: Table) -> None:
    table.world.bind("amq.fanout", "a")
    assert table.way("amq.fanout", "x") is table.way("amq.fanout", "y", "z")
    assert table.way("amq.fanout", "x", has_delay=True) is not table.way("amq.fanout", "x")


def test_where_headers_count_each_message_is_looked_at(table: Table) -> None:
    table.world.bind("amq.headers", "a", h=1)
    assert table.queues("amq.headers", "", headers=encode_table({"h": 1})) == ([table.ids["a"]], [])
    assert table.queues("amq.headers", "", headers=encode_table({"h": 2})) == ([], [])
    assert table.queues("amq.headers", "", headers=b"") == ([], [])
    # and elsewhere they are not even decoded
    assert table.queues("", "a", headers=b"no table") == ([table.ids["a"]], [])


def test_a_choice_is_a_fork_whose_ways_are_asked_for_by_their_path(table: Table) -> None:
    table.world.exchange("x", "x-random")
    for name in "abc":
        table.world.bind("x", name)
    fork = table.way("x", "k")
    assert isinstance(fork, Fork) and fork.path == () and table.way("x", "other") is fork
    assert [table.queues("x", "k", path=(n,))[0] for n in range(3)] == [[table.ids[name]] for name in "abc"]


def test_of_one_destination_there_is_no_choice(table: Table) -> None:
    table.world.exchange("x", "x-random")
    table.world.bind("x", "b")
    assert table.queues("x", "k") == ([table.ids["b"]], [])


def test_forks_behind_forks(table: Table) -> None:
    world = table.world
    world.exchange("both", "fanout")
    for name in ("one", "two"):
        world.exchange(name, "x-consistent-hash")
        world.bind("both", name, kind="exchange")
        world.bind(name, "a", "1")
        world.bind(name, "c", "1")
    first = table.way("both", "k")
    assert isinstance(first, Fork)
    second = table.way("both", "k", path=(0,))
    assert isinstance(second, Fork) and second.path == (0,)
    found = [table.queues("both", "k", path=(i, j))[0] for i in (0, 1) for j in (0, 1)]
    assert [set(queues) for queues in found] == [
        {table.ids["a"]}, {table.ids["a"], table.ids["c"]}, {table.ids["a"], table.ids["c"]}, {table.ids["c"]}]


def test_a_path_from_before_a_change_still_leads_somewhere(table: Table) -> None:
    """A core may ask for the way of a choice that has lost destinations since."""
    table.world.exchange("x", "x-random")
    for name in "ab":
        table.world.bind("x", name)
    assert table.queues("x", "k", path=(7,)) == ([table.ids["b"]], [])


def test_replies_may_be_copies_and_do_not_count_as_routed(table: Table) -> None:
    name = table.names.name(ReplyPlace(3, (1 << 31) + 5))
    only, both = table.way("", name), table.way("", "a", name, "nothing")
    assert isinstance(only, Route) and only.targets == [(3, (1 << 31) + 5, KEEPS_NONE)]
    assert isinstance(both, Route)
    assert both.targets == [(0, table.ids["a"], KEEPS_PERSISTENT), (3, (1 << 31) + 5, KEEPS_NONE)]
    assert table.queues("", "amq.rabbitmq.reply-to.forged") == ([], [])
    table.world.bind("amq.direct", "a", name)
    assert table.queues("amq.direct", name) == ([table.ids["a"]], [])


def test_queues_behind_a_delayed_exchange_are_told_apart(table: Table) -> None:
    world = table.world
    world.exchange("late", "x-delayed-message", arguments={"x-delayed-type": "fanout"})
    world.exchange("x", "fanout")
    world.bind("x", "a")
    world.bind("x", "late", kind="exchange")
    world.bind("late", "b")
    assert table.queues("x", "k") == ([table.ids["a"], table.ids["b"]], [])
    assert table.queues("x", "k", has_delay=True) == ([table.ids["a"]], [table.ids["b"]])


def test_what_a_queue_keeps_on_the_disk(table: Table) -> None:
    world = table.world
    world.queue("transient")
    world.queue("quorum", durable=True, arguments={"x-queue-type": "quorum"})
    world.queue("stream", durable=True, arguments={"x-queue-type": "stream"})
    route = table.way("", "transient", "a", "quorum", "stream")
    assert isinstance(route, Route)
    assert [keeps for _, _, keeps in route.targets] == [KEEPS_NONE, KEEPS_PERSISTENT, KEEPS_ALL, KEEPS_ALL]
