"""x-consistent-hash, x-modulus-hash, x-random, x-local-random: one queue per message, and what may be declared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Names
from tests.harness.channel import ChannelClient
from tests.harness.client import Client
from tests.harness.methods import Exchange, Properties, Queue

OpenClient = Callable[..., Client]

HASH = "x-consistent-hash"
SPREADING = [HASH, "x-modulus-hash", "x-random"]
MESSAGES = 200


def bound_queues(channel: ChannelClient, exchange: str, *keys: str) -> list[str]:
    queues = [channel.exclusive_queue() for _ in keys]
    for queue, key in zip(queues, keys, strict=True):
        channel.bind(queue, exchange, key)
    return queues


def publish_all(channel: ChannelClient, exchange: str, count: int = MESSAGES, properties: Any = None) -> None:
    for n in range(count):
        channel.publish(exchange, f"key-{n}", b"%d" % n, properties(n) if properties else None)


def taken(channel: ChannelClient, queues: list[str]) -> list[set[int]]:
    return [{int(body) for body in channel.get_all(queue)} for queue in queues]


@pytest.mark.oracle
@pytest.mark.parametrize("kind", SPREADING)
def test_each_message_goes_to_one_queue_and_every_queue_gets_some(
    channel: ChannelClient, names: Names, kind: str
) -> None:
    channel.declare_exchange(names(), kind)
    queues = bound_queues(channel, names(), "1", "1", "1")
    publish_all(channel, names())
    found = taken(channel, queues)
    assert sum(map(len, found)) == MESSAGES and set.union(*found) == set(range(MESSAGES))
    assert min(map(len, found)) > MESSAGES // 10


@pytest.mark.oracle
@pytest.mark.parametrize("kind", [HASH, "x-modulus-hash"])
def test_the_same_key_goes_to_the_same_queue(open_client: OpenClient, names: Names, kind: str) -> None:
    """Whichever channel, connection or gateway it comes from."""
    owner = open_client().channel()
    owner.declare_exchange(names(), kind)
    queues = bound_queues(owner, names(), "1", "1", "1")
    rounds = []
    for channel in [owner, *(open_client().channel() for _ in range(4))]:
        channel.confirm()
        publish_all(channel, names(), 60)
        channel.wait_confirms(60)
        rounds.append(taken(owner, queues))
    assert all(found == rounds[0] for found in rounds)


@pytest.mark.oracle
def test_weights_are_shares(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names(), HASH)
    queues = bound_queues(channel, names(), "1", "+9")
    publish_all(channel, names(), 400)
    small, large = taken(channel, queues)
    assert 5 < len(small) < 100 and len(small) + len(large) == 400


def test_a_queue_that_goes_gives_away_its_messages_alone(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names(), HASH)
    queues = bound_queues(channel, names(), "1", "1", "1", "1")
    publish_all(channel, names())
    before = taken(channel, queues)
    channel.unbind(queues[1], names(), "1")
    publish_all(channel, names())
    after = taken(channel, queues)
    assert after[1] == set()
    assert all(before[n] <= after[n] for n in (0, 2, 3))


@pytest.mark.oracle
def test_a_header_is_hashed(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names(), HASH, arguments={"hash-header": "id"})
    queues = bound_queues(channel, names(), "1", "1", "1")
    publish_all(channel, names(), 60, lambda n: Properties(headers={"id": n % 20, "other": n}))
    for found in taken(channel, queues):
        assert all({n, (n + 20) % 60, (n + 40) % 60} <= found for n in found)


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["message_id", "correlation_id"])
def test_a_property_is_hashed(channel: ChannelClient, names: Names, name: str) -> None:
    channel.declare_exchange(names(), HASH, arguments={"hash-property": name})
    queues = bound_queues(channel, names(), "1", "1", "1")
    publish_all(channel, names(), 60, lambda n: Properties(**{name: str(n % 20), "app_id": str(n)}))
    found = taken(channel, queues)
    assert sum(bool(part) for part in found) > 1
    for part in found:
        assert all({n, (n + 20) % 60, (n + 40) % 60} <= part for n in part)


@pytest.mark.oracle
@pytest.mark.parametrize("arguments", [{"hash-header": "id"}, {"hash-property": "timestamp"}])
def test_messages_without_what_is_hashed_go_to_one_queue(
    channel: ChannelClient, names: Names, arguments: dict[str, Any]
) -> None:
    channel.declare_exchange(names(), HASH, arguments=arguments)
    queues = bound_queues(channel, names(), "1", "1", "1")
    publish_all(channel, names(), 30)
    assert sorted(map(len, taken(channel, queues))) == [0, 0, 30]


@pytest.mark.oracle
def test_at_random_one_key_goes_everywhere(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names(), "x-random")
    queues = bound_queues(channel, names(), "a", "b")
    channel.publish_many(names(), "a", [b"%d" % n for n in range(60)])
    assert all(taken(channel, queues))


@pytest.mark.oracle
@pytest.mark.parametrize("kind", SPREADING)
def test_without_bindings_nothing_is_routed(channel: ChannelClient, names: Names, kind: str) -> None:
    channel.declare_exchange(names(), kind)
    channel.publish(names(), "k", b"x", mandatory=True)
    assert channel.returned().body == b"x"
    (queue,) = bound_queues(channel, names(), "5")
    channel.publish(names(), "k", b"y", mandatory=True)
    assert channel.get_all(queue) == [b"y"]


@pytest.mark.oracle
def test_a_choice_between_exchanges_and_queues(channel: ChannelClient, names: Names) -> None:
    """What is bound to the exchange chosen matches as ever; what lies beside the choice always gets it."""
    channel.declare_exchange(names("start"), "fanout")
    channel.declare_exchange(names("choose"), HASH)
    channel.declare_exchange(names("behind"), "topic")
    queue, behind, always = (channel.exclusive_queue() for _ in range(3))
    channel.bind_exchange(names("choose"), names("start"))
    channel.bind(always, names("start"))
    channel.bind_exchange(names("behind"), names("choose"), "1")
    channel.bind(queue, names("choose"), "1")
    channel.bind(behind, names("behind"), "#")
    publish_all(channel, names("start"))
    chosen, through, all_ = taken(channel, [queue, behind, always])
    assert all_ == set(range(MESSAGES)) and chosen | through == all_ and not chosen & through
    assert min(len(chosen), len(through)) > MESSAGES // 5


@pytest.mark.oracle
def test_copies_are_chosen_for_once(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names(), HASH)
    queues = bound_queues(channel, names(), "1", "1", "1")
    publish_all(channel, names(), 40, lambda n: Properties(headers={"CC": [f"a{n}", f"b{n}"]}))
    assert sum(map(len, taken(channel, queues))) == 40


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"hash-header": "a", "hash-property": "message_id"}, "hash-header and hash-property are mutually exclusive"),
        ({"hash-property": "app_id"}, "Unsupported property: app_id"),
    ],
)
def test_arguments_that_do_not_say_what_to_hash(
    channel: ChannelClient, names: Names, arguments: dict[str, Any], text: str
) -> None:
    channel.send(Exchange.Declare(exchange=names(), exchange_type=HASH, arguments=arguments))
    channel.expect_error(406, f"PRECONDITION_FAILED - {text}")


@pytest.mark.warren_only("RabbitMQ ends the connection with 541")
@pytest.mark.parametrize("name", ["hash-header", "hash-property"])
def test_arguments_of_another_type_are_refused(channel: ChannelClient, names: Names, name: str) -> None:
    channel.send(Exchange.Declare(exchange=names(), exchange_type=HASH, arguments={name: 5}))
    channel.expect_error(406, f"PRECONDITION_FAILED - invalid type 'signedint' for arg '{name}' in exchange")


@pytest.mark.oracle
def test_arguments_do_not_matter_for_equivalence(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names(), HASH, arguments={"hash-header": "a"})
    channel.declare_exchange(names(), HASH, arguments={"hash-header": "b", "hash-property": "message_id"})
    channel.send(Exchange.Declare(exchange=names(), exchange_type="x-random"))
    channel.expect_error(406, "PRECONDITION_FAILED - inequivalent arg 'type'")


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("", "must be an integer: <<>>"), ("a", 'must be an integer: <<"a">>'), ("1.5", "must be an integer"),
        (" 1", "must be an integer"), ("1_0", "must be an integer"), ("0", "must be greater than 0"),
        ("-1", "must be greater than 0"),
    ],
)
def test_a_binding_key_that_is_no_weight(channel: ChannelClient, names: Names, key: str, text: str) -> None:
    channel.declare_exchange(names(), HASH)
    queue = channel.exclusive_queue()
    channel.send(Queue.Bind(queue=queue, exchange=names(), routing_key=key))
    close = channel.expect_error(406, f"PRECONDITION_FAILED - The binding key {text}")
    assert (close.class_id, close.method_id) == (50, 20)


@pytest.mark.warren_only("x-local-random is newer than RabbitMQ 3.10")
def test_a_local_random_exchange(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names(), "x-local-random")
    queues = bound_queues(channel, names(), "", "")
    publish_all(channel, names(), 60)
    assert all(taken(channel, queues))
    channel.send(Queue.Bind(queue=queues[0], exchange=names(), routing_key="k"))
    channel.expect_error(406, "PRECONDITION_FAILED - Non empty binding 'k' key not permitted")
