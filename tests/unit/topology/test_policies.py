"""Which policies apply to what, and that nothing learned before a change of them outlives it."""
from typing import Any

import pytest

from topology import changes
from topology.model import Binding, Exchange, Policy, Queue
from topology.replica import Replica
from topology.routing import Scope

VHOST = "/"
QUEUES = {"orders": "classic", "mail": "classic", "ledger": "quorum"}


def policy(name: str, pattern: str = "", /, priority: float = 0, apply_to: str = "all", **definition: Any) -> Policy:
    return Policy(VHOST, name, pattern, {"max-length": 1} | dashed(definition), priority, apply_to)


def dashed(definition: dict[str, Any]) -> dict[str, Any]:
    return {key.replace("_", "-"): value for key, value in definition.items()}


class World:
    """A replica with a few queues."""

    def __init__(self, *policies: Policy) -> None:
        self.replica = Replica()
        self.replica.apply_ops([changes.vhost_add(VHOST)])
        for queue_id, (name, queue_type) in enumerate(QUEUES.items(), 1):
            self.declare(Queue(queue_id, name, VHOST, durable=True, arguments={"x-queue-type": queue_type}))
        for one in policies:
            self.set(one)

    @property
    def vhost(self) -> Any:
        return self.replica.vhosts[VHOST]

    def declare(self, queue: Queue) -> None:
        self.replica.apply_ops([changes.queue_add(queue)])

    def set(self, policy: Policy) -> None:
        self.replica.apply_ops([changes.policy_set(policy)])

    def clear(self, policy: Policy) -> None:
        self.replica.apply_ops([changes.policy_clear(policy)])

    def applied(self, name: str) -> list[str]:
        return [one.name for one in self.vhost.policies.of_queue(self.vhost.queues[name]).policies]

    def max_length(self, name: str) -> int | None:
        return self.replica.features(self.vhost.queues[name]).max_length


@pytest.mark.parametrize(("pattern", "names"), [
    ("", ["orders", "mail", "ledger"]),
    ("e", ["orders", "ledger"]),
    ("^m", ["mail"]),
    ("^(?!orders).*", ["mail", "ledger"]),
    ("nothing", []),
])
def test_a_pattern_is_searched_in_the_name_and_an_empty_one_fits_all(pattern: str, names: list[str]) -> None:
    world = World(policy("p", pattern))
    assert [name for name in QUEUES if world.applied(name)] == names


@pytest.mark.parametrize(("apply_to", "classic", "quorum", "exchanges"), [
    ("all", True, True, True),
    ("queues", True, True, False),
    ("classic_queues", True, False, False),
    ("quorum_queues", False, True, False),
    ("streams", False, False, False),
    ("exchanges", False, False, True),
])
def test_apply_to(apply_to: str, classic: bool, quorum: bool, exchanges: bool) -> None:
    world = World(policy("p", apply_to=apply_to))
    assert bool(world.applied("orders")) == classic and bool(world.applied("ledger")) == quorum
    assert bool(world.vhost.policies.of_exchange("amq.topic")) == exchanges


def test_the_order_is_priority_and_then_the_name() -> None:
    world = World(policy("b"), policy("c"), policy("last", priority=-1), policy("first", priority=2.5), policy("a"))
    assert world.applied("orders") == ["first", "a", "b", "c", "last"]
    world.set(policy("c", priority=7))
    assert world.applied("orders") == ["c", "first", "a", "b", "last"]


def test_a_policy_with_a_key_that_the_queue_type_does_not_know_does_not_apply() -> None:
    world = World(policy("strange", priority=9, delivery_limit=3), policy("next", max_length=2))
    assert world.applied("orders") == ["next"] and world.max_length("orders") == 2
    assert world.applied("ledger") == ["strange", "next"] and world.max_length("ledger") == 1
    assert World(policy("mirrors", ha_mode="all")).applied("ledger") == []


def test_a_change_is_seen_at_once() -> None:
    world = World()
    assert world.max_length("orders") is None
    world.set(policy("p", "^o", max_length=5))
    assert world.max_length("orders") == 5 and world.max_length("mail") is None
    world.set(policy("p", "^m", max_length=4))
    assert world.max_length("orders") is None and world.max_length("mail") == 4
    world.set(Policy(VHOST, "p", "", {"max-length": 3}, operator=True))        # the same name, another kind
    assert world.max_length("orders") == 3 and world.max_length("mail") == 3
    world.clear(policy("p"))
    assert world.max_length("mail") == 3
    world.clear(Policy(VHOST, "p", "", {}, operator=True))
    assert world.max_length("orders") is None and world.max_length("mail") is None


def test_a_queue_declared_again_is_looked_at_again() -> None:
    world = World(policy("p", apply_to="quorum_queues"))
    assert world.max_length("orders") is None
    world.replica.apply_ops([changes.queue_delete(world.vhost.queues["orders"])])
    world.declare(Queue(9, "orders", VHOST, durable=True, arguments={"x-queue-type": "quorum"}))
    assert world.max_length("orders") == 1
    assert set(world.vhost.policies._applied) <= {2, 3, 9}


def test_queues_alike_share_their_features() -> None:
    world = World(policy("p"))
    for queue_id in (10, 11):
        world.declare(Queue(queue_id, f"plain-{queue_id}", VHOST))
    first, second = (world.replica.features(world.vhost.queues[f"plain-{n}"]) for n in (10, 11))
    assert first is second and first.max_length == 1
    world.set(policy("q", "10", priority=1, max_length=2))
    assert world.max_length("plain-10") == 2 and world.max_length("plain-11") == 1


def test_policies_stay_in_their_vhost_and_go_with_it() -> None:
    world = World(policy("p"))
    world.replica.apply_ops([changes.vhost_add("other"), changes.queue_add(Queue(20, "orders", "other"))])
    assert world.replica.features(world.replica.vhosts["other"].queues["orders"]).max_length is None
    world.replica.apply_ops([changes.vhost_delete(VHOST), changes.vhost_add(VHOST)])
    assert list(world.vhost.policies) == []


def test_a_snapshot_carries_policies() -> None:
    world = World(policy("p", "^o", 3, "queues", max_length=4), Policy(VHOST, "p", "", {"expires": 5}, operator=True))
    copy = Replica()
    copy.load({"version": 1, "ops": list(world.replica.snapshot_ops())})
    assert list(map(str, copy.snapshot_ops())) == list(map(str, world.replica.snapshot_ops()))
    features = copy.features(copy.vhosts[VHOST].queues["orders"])
    assert (features.max_length, features.expires_ms) == (4, 5)


class Exchanges(World):
    """With two queues behind two exchanges, and one exchange that leads nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.exchange("source", "direct")
        for name, queue in (("spill", "orders"), ("other-spill", "mail")):
            self.exchange(name, "fanout")
            self.replica.apply_ops([changes.binding_add(Binding(VHOST, name, queue, "queue", ""), False)])

    def exchange(self, name: str, kind: str, **arguments: str) -> None:
        self.replica.apply_ops([changes.exchange_add(Exchange(VHOST, name, kind, arguments=dashed(arguments)))])

    def routed(self, exchange: str) -> list[str]:
        return [queue.name for queue in self.replica.route(VHOST, exchange, "key").queues]


def test_an_alternate_exchange_by_policy() -> None:
    world = Exchanges()
    assert world.routed("source") == []
    version = world.replica.version
    world.set(policy("low", alternate_exchange="spill"))
    assert world.replica.version > version                # what others remember of routes is void
    assert world.routed("source") == ["orders"]
    world.set(policy("high", "^source$", 1, alternate_exchange="other-spill"))
    assert world.routed("source") == ["mail"]
    world.clear(policy("high"))
    assert world.routed("source") == ["orders"]
    world.set(policy("low", apply_to="queues", alternate_exchange="spill"))
    assert world.routed("source") == []


def test_the_argument_goes_before_the_policy() -> None:
    world = Exchanges()
    world.set(policy("p", alternate_exchange="spill"))
    world.exchange("declared", "direct", alternate_exchange="other-spill")
    assert world.routed("declared") == ["mail"]


def test_the_default_exchange_has_no_alternate() -> None:
    world = Exchanges()
    world.set(policy("p", apply_to="exchanges", alternate_exchange="spill"))
    assert world.routed("") == [] and world.routed("amq.direct") == ["orders"]


def test_loops_of_alternates_end() -> None:
    world = Exchanges()
    world.exchange("back", "direct")
    world.set(policy("p", "^source$", alternate_exchange="back"))
    world.set(policy("q", "^back$", alternate_exchange="source"))
    assert world.routed("source") == []


def test_whether_headers_matter_follows_the_policies() -> None:
    world = Exchanges()
    world.exchange("by-headers", "headers")
    assert not world.replica.scope(VHOST, "source") & Scope.HEADERS
    world.set(policy("p", "^source$", alternate_exchange="by-headers"))
    assert world.replica.scope(VHOST, "source") & Scope.HEADERS
    world.clear(policy("p"))
    assert not world.replica.scope(VHOST, "source") & Scope.HEADERS


def test_an_exchange_declared_again_is_looked_at_again() -> None:
    world = Exchanges()
    world.set(policy("p", alternate_exchange="spill"))
    assert world.routed("source") == ["orders"]
    world.replica.apply_ops([changes.exchange_delete(world.vhost.exchanges["source"])])
    world.exchange("source", "direct", alternate_exchange="other-spill")
    assert world.routed("source") == ["mail"]
