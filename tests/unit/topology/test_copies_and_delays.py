"""A message with several routing keys, and one that x-delayed-message exchanges delay."""
import pytest

from tests.unit.topology.test_routing_through_exchanges import World
from topology.routing import RouteResult


@pytest.fixture
def world() -> World:
    return World()


def names(result: RouteResult) -> tuple[list[str], list[str]]:
    return sorted(queue.name for queue in result.queues), sorted(queue.name for queue in result.delayed)


def copied(world: World, exchange: str, *keys: str) -> list[str]:
    return names(world.replica.route("/", exchange, keys[0], copies=keys[1:]))[0]


def delayed(world: World, exchange: str, key: str = "k") -> tuple[list[str], list[str]]:
    return names(world.replica.route("/", exchange, key, has_delay=True))


def late_exchange(world: World, name: str, routes_like: str = "fanout") -> None:
    world.exchange(name, "x-delayed-message", arguments={"x-delayed-type": routes_like})


def test_every_key_counts_and_each_queue_is_reached_once(world: World) -> None:
    for name in "abc":
        world.queue(name)
        world.bind("amq.direct", name, name)
        world.bind("amq.topic", name, f"{name}.*")
    world.bind("amq.topic", "a", "#")
    assert copied(world, "amq.direct", "a", "c", "nothing") == ["a", "c"]
    assert copied(world, "amq.direct", "nothing", "b") == ["b"]
    assert copied(world, "amq.topic", "x", "b.1", "b.2") == ["a", "b"]
    assert copied(world, "", "a", "b", "c", "d") == ["a", "b", "c"]
    assert copied(world, "amq.fanout", "a", "b") == []


def test_the_alternate_exchange_gets_what_none_of_the_keys_routes(world: World) -> None:
    world.exchange("x", arguments={"alternate-exchange": "amq.fanout"})
    for name in ("a", "rest"):
        world.queue(name)
    world.bind("x", "a", "a")
    world.bind("amq.fanout", "rest")
    assert copied(world, "x", "missing", "a") == copied(world, "x", "a", "missing") == ["a"]
    assert copied(world, "x", "missing", "gone") == ["rest"]


def test_copies_are_matched_by_the_exchanges_behind(world: World) -> None:
    world.exchange("x", "fanout")
    world.exchange("y", "direct")
    world.queue("a")
    world.queue("b")
    world.bind("x", "y", kind="exchange")
    world.bind("y", "a", "one")
    world.bind("y", "b", "two")
    assert copied(world, "x", "one", "two") == ["a", "b"]


def test_a_delayed_exchange_routes_like_its_type(world: World) -> None:
    world.queue("a")
    for kind in ("direct", "topic", "headers", "x-consistent-hash"):
        late_exchange(world, kind, kind)
        world.bind(kind, "a", "1")
        assert world.routed(kind, "1", {}) == ["a"]
    assert world.routed("direct", "2") == world.routed("topic", "2") == []


def test_what_is_behind_a_delayed_exchange_is_late_and_the_rest_is_not(world: World) -> None:
    world.exchange("start", "fanout")
    late_exchange(world, "late")
    world.exchange("behind", "fanout")
    for name in ("at-once", "directly", "further"):
        world.queue(name)
    world.bind("start", "at-once")
    world.bind("start", "late", kind="exchange")
    world.bind("late", "directly")
    world.bind("late", "behind", kind="exchange")
    world.bind("behind", "further")
    assert delayed(world, "start") == (["at-once"], ["directly", "further"])
    assert delayed(world, "late") == ([], ["directly", "further"])
    assert delayed(world, "behind") == (["further"], [])
    assert world.routed("start") == ["at-once", "directly", "further"]


def test_a_queue_that_is_reached_both_ways_gets_it_twice(world: World) -> None:
    """As from RabbitMQ's plugin, for which the delayed message is another one."""
    world.exchange("start", "fanout")
    late_exchange(world, "late")
    world.queue("q")
    world.bind("start", "q")
    world.bind("start", "late", kind="exchange")
    world.bind("late", "q")
    world.bind("late", "start", kind="exchange")
    assert delayed(world, "start") == (["q"], ["q"])
    assert world.routed("start") == ["q"]


def test_two_delayed_exchanges_in_a_row_delay_once(world: World) -> None:
    late_exchange(world, "one")
    late_exchange(world, "two")
    world.queue("q")
    world.bind("one", "two", kind="exchange")
    world.bind("two", "one", kind="exchange")
    world.bind("two", "q")
    assert delayed(world, "one") == ([], ["q"])


def test_an_alternate_exchange_that_delays(world: World) -> None:
    world.exchange("x", arguments={"alternate-exchange": "late"})
    late_exchange(world, "late")
    world.queue("q")
    world.bind("late", "q")
    assert delayed(world, "x") == ([], ["q"])
