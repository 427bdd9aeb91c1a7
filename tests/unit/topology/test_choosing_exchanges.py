"""Exchanges that send each message to one of their destinations: what may be declared and bound, and where it goes."""
from collections import Counter
from typing import Any

import pytest

from amqp091.errors import PreconditionFailed
from amqp091.tables import encode_table
from amqp091.values import Binary
from tests.unit.gateway_core import frames
from tests.unit.topology.test_routing_through_exchanges import World
from topology.equivalence import check_exchange_declare, check_exchange_equivalent
from topology.exchanges import check_binding
from topology.model import Binding, Exchange, Queue
from topology.routing import Scope

HASH = "x-consistent-hash"


@pytest.fixture
def world() -> World:
    return World()


def spread(world: World, exchange: str = "x", count: int = 600) -> Counter[str]:
    """How many of many keys each queue gets; every message goes to one queue."""
    counts: Counter[str] = Counter()
    for n in range(count):
        (name,) = world.routed(exchange, f"key-{n}")
        counts[name] += 1
    return counts


def refusal(kind: str, arguments: dict[str, Any]) -> str | None:
    try:
        check_exchange_declare("/", "x", kind, arguments)
    except PreconditionFailed as error:
        return error.text
    return None


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, None),
        ({"hash-header": "h"}, None),
        ({"hash-header": ""}, None),
        ({"hash-property": "timestamp"}, None),
        ({"hash-property": "app_id"}, "Unsupported property: app_id"),
        ({"hash-header": "h", "hash-property": "message_id"}, "hash-header and hash-property are mutually exclusive"),
        ({"hash-header": 5}, "invalid type 'signedint' for arg 'hash-header' in exchange 'x' in vhost '/'"),
        ({"hash-property": True}, "invalid type 'bool' for arg 'hash-property' in exchange 'x' in vhost '/'"),
        ({"hash-property": None}, "invalid type 'void' for arg 'hash-property' in exchange 'x' in vhost '/'"),
    ],
)
def test_what_a_consistent_hash_exchange_may_hash(arguments: dict[str, Any], text: str | None) -> None:
    assert refusal(HASH, arguments) == text
    assert refusal("x-delayed-message", {"x-delayed-type": HASH, **arguments}) == text
    assert refusal("direct", arguments) is None


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"x-delayed-type": "topic"}, None),
        ({"x-delayed-type": Binary(b"headers")}, None),
        ({"x-delayed-type": "x-random"}, None),
        ({}, "Invalid argument, 'x-delayed-type' must be an existing exchange type"),
        ({"x-delayed-type": 5}, "Invalid argument, 'x-delayed-type' must be an existing exchange type"),
        ({"x-delayed-type": "nope"}, "unknown exchange type 'nope'"),
        ({"x-delayed-type": ""}, "unknown exchange type ''"),
        (
            {"x-delayed-type": "x-delayed-message"},
            "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'",
        ),
    ],
)
def test_what_a_delayed_message_exchange_may_route_like(arguments: dict[str, Any], text: str | None) -> None:
    assert refusal("x-delayed-message", arguments) == text


def test_arguments_of_a_type_do_not_matter_for_equivalence() -> None:
    """As in RabbitMQ, which compares the alternate exchange alone, and does not even look whether they make sense."""
    exchange = Exchange("/", "x", HASH, arguments={"hash-header": "a"})
    for arguments in ({}, {"hash-header": "b"}, {"hash-header": "b", "hash-property": "message_id"}):
        check_exchange_equivalent(
            exchange, HASH, durable=False, auto_delete=False, internal=False, arguments=arguments)
    with pytest.raises(PreconditionFailed, match="inequivalent arg 'type'"):
        check_exchange_equivalent(
            exchange, "x-random", durable=False, auto_delete=False, internal=False, arguments={})


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("1", None),
        ("+2", None),
        ("0010", None),
        ("1000000", None),
        ("", "The binding key must be an integer: <<>>"),
        ("a", 'The binding key must be an integer: <<"a">>'),
        ("1.5", 'The binding key must be an integer: <<"1.5">>'),
        (" 1", 'The binding key must be an integer: <<" 1">>'),
        ("1_0", 'The binding key must be an integer: <<"1_0">>'),
        ("0", "The binding key must be greater than 0"),
        ("-1", "The binding key must be greater than 0"),
        ("1000001", "The binding key must not exceed 1000000"),
    ],
)
@pytest.mark.parametrize("delayed", [False, True])
def test_the_binding_key_of_a_consistent_hash_exchange_is_a_weight(key: str, text: str | None, delayed: bool) -> None:
    source = Exchange("/", "x", HASH)
    if delayed:
        source = Exchange("/", "x", "x-delayed-message", arguments={"x-delayed-type": HASH})
    try:
        check_binding(source, Binding("/", "x", "q", "queue", key), None)
    except PreconditionFailed as error:
        assert error.text == text
    else:
        assert text is None


@pytest.mark.parametrize(
    ("key", "queue", "text"),
    [
        ("", Queue(1, "q", "/"), None),
        ("k", Queue(1, "q", "/"), "Non empty binding 'k' key not permitted"),
        ("", None, "Destination not found"),
        (
            "", Queue(1, "q", "/", arguments={"x-queue-type": "quorum"}),
            "Queue type rabbit_quorum_queue not valid for this exchange type",
        ),
    ],
)
def test_what_a_local_random_exchange_takes(key: str, queue: Queue | None, text: str | None) -> None:
    binding = Binding("/", "x", "q", "queue" if queue else "exchange", key)
    try:
        check_binding(Exchange("/", "x", "x-local-random"), binding, queue)
    except PreconditionFailed as error:
        assert error.text == text
    else:
        assert text is None


def test_a_consistent_hash_exchange_gives_each_queue_its_share(world: World) -> None:
    world.exchange("x", HASH)
    for name, weight in (("a", 1), ("b", 2), ("c", 3)):
        world.queue(name)
        world.bind("x", name, str(weight))
    counts = spread(world)
    assert sorted(counts) == ["a", "b", "c"] and counts["a"] < counts["b"] < counts["c"]
    assert counts == spread(world)


def test_bindings_that_come_and_go_move_as_little_as_possible(world: World) -> None:
    world.exchange("x", HASH)
    for name in "abcd":
        world.queue(name)
    bindings = [world.bind("x", name, "1") for name in "abc"]
    keys = [f"key-{n}" for n in range(600)]
    three = [world.routed("x", key) for key in keys]
    world.bind("x", "d", "1")
    four = [world.routed("x", key) for key in keys]
    assert {tuple(new) for old, new in zip(three, four, strict=True) if old != new} == {("d",)}
    world.unbind(bindings[1])
    assert all(old == new for old, new in zip(four, (world.routed("x", key) for key in keys), strict=True)
               if old != ["b"])
    world.bind("x", "b", "1")
    assert [world.routed("x", key) for key in keys] == four


def test_several_bindings_to_one_queue_add_up(world: World) -> None:
    world.exchange("x", HASH)
    world.queue("a")
    world.queue("b")
    world.bind("x", "b", "10")
    small, large = world.bind("x", "a", "1"), world.bind("x", "a", "9")
    even = spread(world)
    assert abs(even["a"] - even["b"]) < 150
    world.unbind(large)
    assert spread(world)["a"] < even["a"] // 2
    world.unbind(small)
    assert set(spread(world)) == {"b"}


def test_a_weight_that_was_never_checked_gets_nothing(world: World) -> None:
    world.exchange("x", HASH)
    world.queue("a")
    world.queue("b")
    odd = [world.bind("x", "a", key) for key in ("0", "-5", "odd")]
    assert world.routed("x", "k") == []
    world.bind("x", "b", "1")
    assert set(spread(world)) == {"b"}
    for binding in odd:
        world.unbind(binding)
    assert set(spread(world)) == {"b"}


def test_a_header_or_a_property_is_hashed_where_the_exchange_says_so(world: World) -> None:
    for name in "abcd":
        world.queue(name)
    world.exchange("by-header", HASH, arguments={"hash-header": "id"})
    world.exchange("by-property", HASH, arguments={"hash-property": "message_id"})
    for exchange in ("by-header", "by-property"):
        for name in "abcd":
            world.bind(exchange, name, "1")

    def routed(exchange: str, key: str, properties: bytes) -> str:
        (queue,) = world.replica.route("/", exchange, key, properties=properties).queues
        return queue.name

    by_header = [frames.properties(headers=encode_table({"id": n})) for n in range(40)]
    found = [routed("by-header", "k", properties) for properties in by_header]
    assert len(set(found)) == 4 and found == [routed("by-header", "other", properties) for properties in by_header]
    by_property = [b"\x00\x80\x03%03d" % n for n in range(40)]
    found = [routed("by-property", "k", properties) for properties in by_property]
    assert len(set(found)) == 4 and found == [routed("by-property", "other", properties) for properties in by_property]
    assert len({routed("by-property", f"k{n}", b"\0\0") for n in range(40)}) == 1


@pytest.mark.parametrize("kind", ["x-modulus-hash", "x-random", "x-local-random"])
def test_every_binding_counts_the_same(world: World, kind: str) -> None:
    world.exchange("x", kind)
    assert world.routed("x", "k") == []
    for name in "abc":
        world.queue(name)
        world.bind("x", name)
    assert set(spread(world)) == {"a", "b", "c"}
    assert (spread(world) == spread(world)) is (kind == "x-modulus-hash")


def test_a_choice_beyond_other_exchanges(world: World) -> None:
    """Both queues of a choice are never reached at once; what lies beside it always is."""
    world.exchange("start", "fanout")
    world.exchange("choose", HASH)
    world.exchange("behind", "direct")
    for name in ("a", "b", "c", "always"):
        world.queue(name)
    world.bind("start", "always")
    world.bind("start", "choose", kind="exchange")
    world.bind("choose", "behind", "1", kind="exchange")
    world.bind("choose", "a", "1")
    world.bind("behind", "b", "key-1")
    world.bind("behind", "c", "key-2")
    found = {tuple(world.routed("start", f"key-{n}")) for n in range(100)}
    assert found <= {("a", "always"), ("always", "b"), ("always", "c"), ("always",)} and len(found) >= 2


def test_without_a_destination_the_alternate_exchange_gets_it(world: World) -> None:
    world.queue("rest")
    world.bind("amq.fanout", "rest")
    for kind in (HASH, "x-random", "x-modulus-hash"):
        world.exchange(kind, kind, arguments={"alternate-exchange": "amq.fanout"})
        assert world.routed(kind, "k") == ["rest"]


def test_what_routes_depend_on(world: World) -> None:
    def scope(name: str) -> Scope:
        return world.replica.scope("/", name)

    world.exchange("fanout", "fanout")
    assert scope("fanout") == Scope.EXCHANGE
    for kind in (HASH, "x-modulus-hash", "x-random"):
        world.exchange(kind, kind)
        assert scope(kind) == Scope.CHOICE
    assert scope("amq.direct") == scope("amq.topic") == scope("") == scope("missing") == Scope.KEY
    assert scope("amq.headers") == Scope.KEY | Scope.HEADERS
    world.exchange("behind")
    binding = world.bind(HASH, "behind", "1", kind="exchange")
    assert scope(HASH) == Scope.KEY | Scope.CHOICE
    world.unbind(binding)
    assert scope(HASH) == Scope.CHOICE
    world.bind("fanout", HASH, kind="exchange")
    assert scope("fanout") == Scope.CHOICE
    world.exchange("late", "x-delayed-message", arguments={"x-delayed-type": "fanout"})
    assert scope("late") == Scope.EXCHANGE
    world.bind("late", "amq.match", kind="exchange")
    assert scope("late") == Scope.KEY | Scope.HEADERS


def test_copies_go_through_a_choice_once(world: World) -> None:
    world.exchange("x", HASH)
    for name in "abcd":
        world.queue(name)
        world.bind("x", name, "1")
    for n in range(50):
        (queue,) = world.replica.route("/", "x", f"k{n}", copies=[f"c{n}", f"d{n}"]).queues
        assert [queue.name] == world.routed("x", f"k{n}")
