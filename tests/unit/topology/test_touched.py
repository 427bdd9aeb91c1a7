"""Which routes a change touches: never too few, and of queues that come and go no others than theirs."""
from __future__ import annotations

from typing import Any

import pytest

from amqp091.errors import NotFound
from tests.unit.topology.random_changes import EXCHANGES, KEYS, Dice
from tests.unit.topology.test_routing_through_exchanges import World
from topology import changes
from topology.choice import Choice
from topology.model import Exchange, Permission, Policy
from topology.replica import Replica

HEADERS: tuple[dict[str, Any] | None, ...] = (None, {"h": 1}, {"h": 2})
STEPS = 250


class Watch:
    """Notes everything that it is told."""

    def __init__(self) -> None:
        self.everything = False
        self.exchanges: set[tuple[str, str]] = set()
        self.keys: set[tuple[str, str, str]] = set()

    def touch_everything(self) -> None:
        self.everything = True

    def touch_exchange(self, vhost: str, exchange: str) -> None:
        self.exchanges.add((vhost, exchange))

    def touch_key(self, vhost: str, exchange: str, routing_key: str) -> None:
        self.keys.add((vhost, exchange, routing_key))

    def touched(self, exchange: str, *keys: str) -> bool:
        return (self.everything or ("/", exchange) in self.exchanges
                or any(("/", exchange, key) in self.keys for key in keys))


def routed(replica: Replica, exchange: str, keys: tuple[str, ...], headers: Any, has_delay: bool) -> Any:
    """All that a route can tell: queues, what had to be chosen on the way, what it depends on."""
    choices = []

    def pick(choice: Choice) -> int:
        choices.append(choice.destinations)
        return 0

    try:
        found = replica.route("/", exchange, keys[0], headers, copies=keys[1:], has_delay=has_delay, pick=pick)
    except NotFound:
        return None
    return ([queue.queue_id for queue in found.queues], [queue.queue_id for queue in found.delayed], choices,
            replica.scope("/", exchange), getattr(replica.exchange("/", exchange), "type", None))


@pytest.mark.parametrize("seed", range(12))
def test_a_route_that_is_not_touched_is_the_same(seed: int) -> None:
    replica = Replica()
    dice = Dice(replica, seed)
    cases = [
        (exchange, keys, headers, has_delay)
        for exchange in ("", *EXCHANGES) for keys in (*((key,) for key in KEYS), ("a", "b"), ("nowhere", "c"))
        for headers, has_delay in ((None, False), ({"h": 1}, False), ({"h": 2}, True))
    ]
    watch = Watch()
    replica.tell(watch)
    before = {number: routed(replica, *case) for number, case in enumerate(cases)}
    kept = 0
    for _ in range(STEPS):
        watch.__init__()                # type: ignore[misc]
        ops = dice.change()
        after = {number: routed(replica, *case) for number, case in enumerate(cases)}
        for number, (exchange, keys, *_) in enumerate(cases):
            if not watch.touched(exchange, *keys):
                kept += 1
                assert after[number] == before[number], (seed, ops, cases[number])
        before = after
    assert kept > STEPS * len(cases) / 2        # and most are not


@pytest.fixture
def world() -> World:
    return World()


def watched(world: World) -> Watch:
    watch = Watch()
    world.replica.tell(watch)
    watch.everything = False
    return watch


def test_a_queue_touches_its_name_alone(world: World) -> None:
    watch = watched(world)
    world.replica.apply_ops([changes.queue_delete(world.queue("q"))])
    assert watch.keys == {("/", "", "q")} and not watch.exchanges and not watch.everything


def test_a_binding_of_a_direct_exchange_touches_its_key_from_wherever_it_is_reached(world: World) -> None:
    world.exchange("x")
    world.exchange("over", "fanout")
    world.exchange("around", "topic", arguments={"alternate-exchange": "over"})
    world.exchange("apart", "topic")
    world.bind("over", "x", kind="exchange")
    world.queue("q")
    watch = watched(world)
    binding = world.bind("x", "q", "k")
    expected = {("/", name, "k") for name in ("x", "over", "around")}
    assert watch.keys == expected and not watch.exchanges
    watch.keys.clear()
    world.unbind(binding)
    assert watch.keys == expected and not watch.exchanges and not watch.everything


@pytest.mark.parametrize("type_", ["topic", "fanout", "headers", "x-random"])
def test_a_binding_of_another_exchange_touches_it_whole(world: World, type_: str) -> None:
    world.exchange("x", type_)
    world.exchange("over")
    world.bind("over", "x", kind="exchange")
    world.queue("q")
    watch = watched(world)
    world.bind("x", "q", "k")
    assert watch.exchanges == {("/", "x"), ("/", "over")} and not watch.keys and not watch.everything


def test_a_queue_with_bindings_touches_these_when_it_goes(world: World) -> None:
    world.exchange("x", "topic")
    queue = world.queue("q")
    world.bind("x", "q", "#")
    world.bind("amq.direct", "q", "k")
    watch = watched(world)
    world.replica.apply_ops([changes.queue_delete(queue)])
    assert watch.keys == {("/", "", "q"), ("/", "amq.direct", "k")} and watch.exchanges == {("/", "x")}


def test_an_exchange_that_comes_and_goes_touches_those_that_lead_to_it(world: World) -> None:
    world.exchange("x", arguments={"alternate-exchange": "later"})
    watch = watched(world)
    later = world.exchange("later", "fanout")
    assert watch.exchanges == {("/", "later"), ("/", "x")}
    world.bind("amq.fanout", "later", kind="exchange")
    watch.exchanges.clear()
    world.replica.apply_ops([changes.exchange_delete(later)])
    assert watch.exchanges == {("/", "later"), ("/", "x"), ("/", "amq.fanout")} and not watch.everything


def test_an_alternate_that_is_replaced_leads_there_no_more(world: World) -> None:
    world.exchange("x", arguments={"alternate-exchange": "amq.fanout"})
    world.queue("q")
    world.replica.apply_ops([changes.exchange_add(Exchange("/", "x", "direct"))])
    watch = watched(world)
    world.bind("amq.fanout", "q")
    assert watch.exchanges == {("/", "amq.fanout")}


def test_whatever_else_changes_touches_everything(world: World) -> None:
    policy = Policy("/", "p", ".*", {"max-length": 1})
    for op in (changes.permission_set("guest", "/", Permission("", "", "")), changes.permission_clear("guest", "/"),
               changes.user_delete("guest"), changes.policy_set(policy), changes.policy_clear(policy),
               changes.vhost_add("other"), changes.vhost_delete("other")):
        watch = watched(world)
        world.replica.apply_ops([op])
        assert watch.everything, op


def test_a_snapshot_touches_everything_and_goes_on_telling(world: World) -> None:
    watch = watched(world)
    fresh = World()
    fresh.exchange("x", arguments={"alternate-exchange": "amq.fanout"})
    world.replica.become(fresh.replica, 7)
    assert watch.everything
    watch.everything = False
    world.queue("q")
    world.bind("amq.fanout", "q")
    assert watch.keys == {("/", "", "q")} and watch.exchanges == {("/", "amq.fanout"), ("/", "x")}
    assert not watch.everything
