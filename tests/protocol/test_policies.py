"""Policies on what exists: they hold at once, for every connection, and no longer than they are there."""
from __future__ import annotations

import time

import pytest

from tests.conftest import Names
from tests.harness.channel import ChannelClient
from tests.harness.client import Client
from tests.harness.methods import Basic, Queue
from tests.harness.policies import Policies

SHORT_MS = 100
LONG_MS = 60_000
PATIENCE_S = 10.0
POLL_S = 0.02


def fill(channel: ChannelClient, queue: str, count: int, left: int) -> None:
    channel.publish_many("", queue, [str(n).encode() for n in range(count)])
    channel.wait_count(queue, left)


def pattern(names: Names) -> str:
    """Fits what this test declares and nothing else."""
    return f"^{names.prefix}-"


def test_an_alternate_exchange_for_an_exchange_in_use(
    channel: ChannelClient, names: Names, policies: Policies
) -> None:
    source, spill, queue = names("source"), names("spill"), names("queue")
    channel.declare_exchange(source)
    channel.declare_exchange(spill, "fanout")
    channel.declare(queue)
    channel.bind(queue, spill)
    channel.publish(source, "k", b"1", mandatory=True)          # from here on the channel knows this route
    assert channel.returned().body == b"1"
    policies.set("ae", f"^{source}$", {"alternate-exchange": spill}, apply_to="exchanges")
    channel.confirm()
    channel.publish(source, "k", b"2", mandatory=True)
    channel.wait_confirms(1)
    policies.clear("ae")
    channel.publish(source, "k", b"3", mandatory=True)
    assert channel.returned().body == b"3"
    channel.wait_confirms(2, 2)
    assert channel.get_all(queue) == [b"2"]


def test_the_argument_of_an_exchange_goes_before_a_policy(
    channel: ChannelClient, names: Names, policies: Policies
) -> None:
    own, theirs, source = names("own"), names("theirs"), names("source")
    for name in (own, theirs):
        channel.declare_exchange(name, "fanout")
        channel.declare(name)
        channel.bind(name, name)
    policies.set("ae", pattern(names), {"alternate-exchange": theirs})
    channel.declare_exchange(source, arguments={"alternate-exchange": own})
    channel.publish(source, "k", b"1")
    channel.wait_count(own, 1)
    assert channel.count(theirs) == 0


def test_the_default_exchange_has_no_alternate(channel: ChannelClient, names: Names, policies: Policies) -> None:
    channel.declare_exchange(names("spill"), "fanout")
    channel.declare(names("queue"))
    channel.bind(names("queue"), names("spill"))
    policies.set("ae", "^$", {"alternate-exchange": names("spill")}, apply_to="exchanges")
    channel.publish("", names("missing"), b"1", mandatory=True)
    assert channel.returned().body == b"1"


def test_a_limit_for_a_full_queue_drops_its_head(channel: ChannelClient, names: Names, policies: Policies) -> None:
    queue = names()
    channel.declare(queue)
    fill(channel, queue, 5, left=5)
    policies.set("limit", pattern(names), {"max-length": 2}, apply_to="queues")
    channel.wait_count(queue, 2)
    policies.clear("limit")
    fill(channel, queue, 3, left=5)
    assert channel.get_all(queue) == [b"3", b"4", b"0", b"1", b"2"]


@pytest.mark.parametrize("argument, policy, operator, left", [
    (2, 3, None, 2), (3, 2, None, 2), (None, 3, 2, 2), (None, 2, 3, 2), (4, 3, 2, 2), (2, None, 3, 2)])
def test_the_lowest_limit_holds(
    channel: ChannelClient, names: Names, policies: Policies, argument: int | None, policy: int | None,
    operator: int | None, left: int,
) -> None:
    if policy is not None:
        policies.set("limit", pattern(names), {"max-length": policy})
    if operator is not None:
        policies.set("limit", pattern(names), {"max-length": operator}, operator=True)
    channel.declare(names(), arguments={"x-max-length": argument} if argument is not None else None)
    fill(channel, names(), 6, left)


@pytest.mark.parametrize("queue_type, argument, policy, refuses", [
    ("classic", "drop-head", "reject-publish", False), ("classic", "reject-publish", "drop-head", True),
    ("quorum", "drop-head", "reject-publish", True), ("quorum", "reject-publish", "drop-head", False)])
def test_overflow_is_the_arguments_but_on_quorum_queues_the_policys(
    channel: ChannelClient, names: Names, policies: Policies, queue_type: str, argument: str, policy: str,
    refuses: bool,
) -> None:
    policies.set("overflow", pattern(names), {"overflow": policy, "max-length": 1}, apply_to="queues")
    channel.declare(names(), durable=True, arguments={"x-queue-type": queue_type, "x-overflow": argument})
    channel.confirm()
    nacked = set()
    for number in range(1, 6):                          # RabbitMQ lets a quorum queue overshoot by one
        channel.publish("", names(), b"x")
        nacked |= channel.wait_confirms(number, number)
    assert bool(nacked) == refuses


def test_a_ttl_for_a_queue_in_use(channel: ChannelClient, names: Names, policies: Policies) -> None:
    queue = names()
    channel.declare(queue, arguments={"x-message-ttl": LONG_MS})
    policies.set("ttl", pattern(names), {"message-ttl": SHORT_MS})
    fill(channel, queue, 3, left=3)
    channel.wait_count(queue, 0)


def test_a_queue_in_use_gets_an_expiry(channel: ChannelClient, names: Names, policies: Policies) -> None:
    queue = names()
    channel.declare(queue)
    tag = channel.consume(queue)
    policies.set("expiry", pattern(names), {"expires": SHORT_MS}, apply_to="queues")
    channel.expect_nothing(queue)
    channel.cancel(tag)
    channel.confirm()
    deadline_s = time.monotonic() + PATIENCE_S
    while not returned(channel, queue):                 # to ask for the queue by its name would start the time anew
        assert time.monotonic() < deadline_s
        time.sleep(POLL_S)


def returned(channel: ChannelClient, queue: str) -> bool:
    """Whether a message to the queue comes back, on a channel in confirm mode."""
    channel.publish("", queue, b"", mandatory=True)
    first = channel.client.next_on(channel.number).method
    if isinstance(first, Basic.Return):
        channel.expect(Basic.Ack)
        return True
    return False


def test_a_policy_with_a_key_of_another_queue_type_leaves_the_place_to_the_next(
    channel: ChannelClient, names: Names, policies: Policies
) -> None:
    policies.set("quorum", pattern(names), {"delivery-limit": 3, "max-length": 1}, priority=9)
    policies.set("next", pattern(names), {"max-length": 2})
    channel.declare(names())
    fill(channel, names(), 5, left=2)


def test_a_policy_is_no_argument(client: Client, names: Names, policies: Policies) -> None:
    """A declaration is compared with the arguments alone."""
    channel = client.channel(1)
    channel.declare(names())
    policies.set("limit", pattern(names), {"max-length": 2})
    channel.declare(names())
    channel.send(Queue.Declare(queue=names(), arguments={"x-max-length": 2}))
    channel.expect_error(406, "current is none")


@pytest.mark.warren_only("RabbitMQ applies one policy only")
def test_several_policies_are_merged(channel: ChannelClient, names: Names, policies: Policies) -> None:
    queue = names()
    policies.set("length", pattern(names), {"max-length": 2}, priority=1)
    policies.set("overflow", pattern(names), {"overflow": "reject-publish", "max-length": 1})
    channel.declare(queue)
    channel.confirm()
    channel.publish_many("", queue, [b"1", b"2", b"3"])
    assert channel.wait_confirms(3) == {3}
    policies.set("first", pattern(names), {"overflow": "drop-head"}, priority=2)
    channel.publish("", queue, b"4")
    assert channel.wait_confirms(4, 4) == set()
    policies.set("first", pattern(names), {"message-ttl": SHORT_MS}, priority=2)
    channel.publish("", queue, b"5")
    assert channel.wait_confirms(5, 5) == {5}
    assert channel.get_all(queue) == [b"2", b"4"]
