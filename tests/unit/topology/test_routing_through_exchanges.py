"""The way of a message over several exchanges: bindings between them, cycles, alternates, one copy per queue."""
import random
from typing import Any

import pytest

from amqp091.errors import NotFound
from topology import changes
from topology.model import Binding, Exchange, Queue
from topology.replica import Replica
from topology.routing import Scope

SEED = 20_261_121


class World:
    """A replica with one vhost, and short words to fill it."""

    def __init__(self) -> None:
        self.replica = Replica()
        self.replica.apply_ops([changes.vhost_add("/")])
        self._queues = 0

    def exchange(self, name: str, type_: str = "direct", **fields: Any) -> Exchange:
        exchange = Exchange("/", name, type_, **fields)
        self.replica.apply_ops([changes.exchange_add(exchange)])
        return exchange

    def queue(self, name: str, **fields: Any) -> Queue:
        self._queues += 1
        self.replica.apply_ops([changes.queue_add(Queue(self._queues, name, "/", **fields))])
        queue = self.replica.queue("/", name)
        assert queue is not None
        return queue

    def bind(self, source: str, destination: str, key: str = "", kind: Any = "queue", **arguments: Any) -> Binding:
        binding = Binding("/", source, destination, kind, key, arguments)
        self.replica.apply_ops([changes.binding_add(binding, False)])
        return binding

    def unbind(self, binding: Binding) -> None:
        self.replica.apply_ops([changes.binding_delete(binding, False)])

    def routed(self, exchange: str, key: str = "", headers: dict[str, Any] | None = None) -> list[str]:
        return sorted(queue.name for queue in self.replica.route("/", exchange, key, headers).queues)


@pytest.fixture
def world() -> World:
    return World()


def test_the_default_exchange_routes_by_queue_name(world: World) -> None:
    world.queue("q")
    assert world.routed("", "q") == ["q"]
    assert world.routed("", "other") == []


def test_a_missing_exchange_is_not_found(world: World) -> None:
    with pytest.raises(NotFound, match=r"no exchange 'x' in vhost '/'"):
        world.routed("x")


def test_a_queue_reached_by_several_bindings_gets_one_copy(world: World) -> None:
    world.exchange("x", "topic")
    world.queue("q")
    for key in ("a.*", "*.b", "#", "a.b"):
        world.bind("x", "q", key)
    assert world.routed("x", "a.b") == ["q"]


def test_a_queue_reached_by_several_ways_gets_one_copy(world: World) -> None:
    world.exchange("x", "fanout")
    world.exchange("y", "fanout")
    world.queue("q")
    world.bind("x", "q")
    world.bind("x", "y", kind="exchange")
    world.bind("y", "q")
    assert world.routed("x") == ["q"]


def test_exchanges_bound_in_a_cycle(world: World) -> None:
    for name in "xyz":
        world.exchange(name, "fanout")
        world.queue(f"q-{name}")
        world.bind(name, f"q-{name}")
    world.bind("x", "y", kind="exchange")
    world.bind("y", "z", kind="exchange")
    world.bind("z", "x", kind="exchange")
    world.bind("x", "x", kind="exchange")
    assert world.routed("y") == ["q-x", "q-y", "q-z"]


def test_an_alternate_exchange_gets_what_is_not_routed(world: World) -> None:
    world.exchange("x", "direct", arguments={"alternate-exchange": "other"})
    world.exchange("other", "fanout")
    world.queue("q")
    world.queue("rest")
    world.bind("x", "q", "key")
    world.bind("other", "rest")
    assert world.routed("x", "key") == ["q"]
    assert world.routed("x", "unknown") == ["rest"]


def test_alternates_in_a_loop_end(world: World) -> None:
    world.exchange("x", arguments={"alternate-exchange": "y"})
    world.exchange("y", arguments={"alternate-exchange": "x"})
    assert world.routed("x", "k") == []


def test_an_alternate_exchange_that_is_missing_changes_nothing(world: World) -> None:
    world.exchange("x", arguments={"alternate-exchange": "later"})
    assert world.routed("x", "k") == []
    world.exchange("later", "fanout")
    world.queue("q")
    world.bind("later", "q")
    assert world.routed("x", "k") == ["q"]


def test_a_message_passed_on_to_an_exchange_that_has_no_queue_is_not_given_to_the_alternate(world: World) -> None:
    world.exchange("x", "fanout", arguments={"alternate-exchange": "other"})
    world.exchange("dead-end", "fanout")
    world.exchange("other", "fanout")
    world.queue("q")
    world.bind("other", "q")
    world.bind("x", "dead-end", kind="exchange")
    assert world.routed("x") == []


def test_what_depends_on_headers(world: World) -> None:
    replica = world.replica
    world.exchange("x", "fanout")
    world.exchange("middle", "fanout")
    assert not replica.scope("/", "x") & Scope.HEADERS
    through = world.bind("x", "middle", kind="exchange")
    onward = world.bind("middle", "amq.headers", kind="exchange")
    assert replica.scope("/", "x") & Scope.HEADERS
    assert replica.scope("/", "amq.match") & Scope.HEADERS
    world.unbind(onward)
    assert not replica.scope("/", "x") & Scope.HEADERS
    world.unbind(through)
    world.exchange("y", arguments={"alternate-exchange": "amq.headers"})
    assert replica.scope("/", "y") & Scope.HEADERS


def test_a_deleted_queue_takes_its_bindings_with_it(world: World) -> None:
    world.exchange("x", "topic")
    queue = world.queue("q")
    for n in range(10):
        world.bind("x", "q", f"k.{n}")
    world.replica.apply_ops([changes.queue_delete(queue)])
    world.queue("q")
    assert world.routed("x", "k.1") == []


def test_random_topologies_route_as_the_naive_model_does() -> None:
    """Direct and fanout exchanges bound at random, with deletions, against a walk over a list of bindings."""
    source = random.Random(SEED)
    for _ in range(30):
        world = World()
        exchanges = {}
        for n in range(6):
            alternate = {"alternate-exchange": f"x{source.randrange(8)}"} if source.random() < 0.4 else {}
            exchanges[f"x{n}"] = world.exchange(
                f"x{n}", source.choice(["direct", "fanout", "direct"]), arguments=alternate
            )
        queues = {f"q{n}": world.queue(f"q{n}") for n in range(5)}
        bindings: dict[Any, Binding] = {}
        for step in range(120):
            if source.random() < 0.3 and bindings:
                world.unbind(bindings.pop(source.choice(list(bindings))))
            elif source.random() < 0.7:
                kind = source.choice(["queue", "exchange"])
                one = world.bind(
                    source.choice(list(exchanges)), source.choice(list(queues if kind == "queue" else exchanges)),
                    source.choice(["", "a", "b"]), kind,
                )
                bindings[one.identity()] = one
            if step == 60:
                gone = source.choice(list(exchanges))
                world.replica.apply_ops([changes.exchange_delete(exchanges.pop(gone))])
                bindings = {
                    identity: one
                    for identity, one in bindings.items()
                    if one.source != gone and (one.destination_kind, one.destination) != ("exchange", gone)
                }
            start, key = source.choice(list(exchanges)), source.choice(["", "a", "b", "c"])
            assert world.routed(start, key) == naive(exchanges, list(bindings.values()), start, key)


def naive(exchanges: dict[str, Exchange], bindings: list[Binding], start: str, key: str) -> list[str]:
    seen, todo, queues = {start}, [start], set()
    while todo:
        exchange = exchanges[todo.pop()]
        targets = [
            (one.destination_kind, one.destination)
            for one in bindings
            if one.source == exchange.name and (exchange.type == "fanout" or one.routing_key == key)
        ] or [("exchange", name) for name in [exchange.alternate] if name]
        queues |= {name for kind, name in targets if kind == "queue"}
        onward = {name for kind, name in targets if kind == "exchange"} & exchanges.keys() - seen
        seen |= onward
        todo.extend(onward)
    return sorted(queues)
