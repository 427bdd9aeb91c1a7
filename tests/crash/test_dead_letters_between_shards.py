"""Messages that die on one shard and belong into a queue of the other, while processes are killed: none is lost.

A dead letter may come twice where a process was killed; without that, it comes once, and in order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from broker.alarms import private_memory_bytes
from tests.harness.client import connect
from tests.harness.load import Publisher
from tests.harness.warren import Warren, wait_until
from tests.pressure.conftest import stopped

TTL_MS = 1
CROSS_S_MAX = 30.0
QUIET_S = 0.2
NAMES = 16
LARGE_BYTES, LARGE_COUNT = 100_000, 400
MEMORY_BYTES_MAX = 20 << 20
"""Half of these messages: the relay's limit is 4 MiB, and the link's pending bytes are the same ones again."""


@dataclass(frozen=True)
class Queues:
    """Messages of `source`, on shard 0, die into `target`, on shard 1; those of `bystander`, on shard 0, live."""

    source: str
    target: str
    bystander: str


@pytest.fixture(scope="module", params=["shared-memory"])
def warren(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warren]:
    """One broker with this kind of link for all tests of this file: each leaves it whole."""
    server = Warren(tmp_path_factory.mktemp("dying"), gateways=2, shards=2, link=request.param)
    server.start()
    yield server
    server.kill_all()


both_kinds = pytest.mark.parametrize("warren", ["shared-memory", "zeromq"], indirect=True)


@pytest.fixture
def declare(warren: Warren) -> Iterator[Callable[..., Queues]]:
    """Declares the queues; the source with these arguments besides where its dead letters go."""
    names: list[str] = []

    def on_shard(prefix: str, shard: int, target: str | None = None, **arguments: object) -> str:
        """A durable queue there: names are tried until one falls to it."""
        if target is not None:
            arguments |= {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": target}
        with connect(warren.endpoint) as client:
            channel = client.channel()
            for number in range(NAMES):
                name = f"{prefix}-{number}"
                channel.declare(name, durable=True, arguments=arguments)
                if {row["name"]: row["shard"] for row in warren.listing("queues")}[name] == shard:
                    names.append(name)
                    client.close()
                    return name
                channel.delete(name)
        raise AssertionError(f"no queue of {NAMES} is on shard {shard}")

    def all_of_them(**arguments: object) -> Queues:
        target = on_shard("target", 1)
        return Queues(on_shard("source", 0, target, **arguments), target, on_shard("bystander", 0))

    yield all_of_them
    with connect(warren.endpoint) as client:
        channel = client.channel()
        for name in names:
            channel.delete(name)
        client.close()


def take(warren: Warren, queue: str, expected: set[bytes]) -> list[bytes]:
    """The bodies that come out of a queue until all that are expected were there and nothing comes any more."""
    missing = set(expected)
    bodies: list[bytes] = []
    deadline_s = time.monotonic() + CROSS_S_MAX
    with connect(warren.endpoint) as client:
        channel = client.channel()
        channel.consume(queue, no_ack=True)
        while True:
            try:
                body = channel.delivery(max(0.1, deadline_s - time.monotonic()) if missing else QUIET_S).body
            except TimeoutError:
                break
            bodies.append(body)
            missing.discard(body)
        client.close()
    assert not missing, f"{len(missing)} of {len(expected)} are lost: {sorted(missing)[:3]}"
    return bodies


def publish(warren: Warren, queue: str, count: int, size: int = 40) -> list[bytes]:
    """Confirmed messages of one publisher, in order."""
    publisher = Publisher(warren.endpoint, "p", [queue], count=count, window=1000, size=size)
    publisher.start()
    publisher.join(CROSS_S_MAX)
    publisher.finish()
    assert publisher.error is None
    assert len(publisher.told[queue].confirmed) == count
    return [publisher.body(queue, number) for number in range(count)]


def is_empty(warren: Warren, queue: str) -> bool:
    return all(row["messages"] == 0 for row in warren.listing("queues") if row["name"] == queue)


@both_kinds
@pytest.mark.parametrize("count, size", [(3000, 40), (LARGE_COUNT, LARGE_BYTES)])
def test_each_crosses_once_and_in_order(
    warren: Warren, declare: Callable[..., Queues], count: int, size: int
) -> None:
    queues = declare(**{"x-message-ttl": TTL_MS})
    bodies = publish(warren, queues.source, count, size)
    assert take(warren, queues.target, set(bodies)) == bodies
    wait_until(lambda: is_empty(warren, queues.source), "the end of the source")


def under_load(warren: Warren, queue: str, what: Callable[[], None]) -> list[Publisher]:
    """Three publishers, of which some may end because of what is done meanwhile."""
    publishers = [Publisher(warren.endpoint, f"p{number}", [queue]) for number in range(3)]
    for publisher in publishers:
        publisher.start()
    wait_until(lambda: all(publisher.confirmed_count > 500 for publisher in publishers), "the load", 30)
    what()
    for publisher in publishers:
        publisher.finish()
    return publishers


def check_none_is_lost(warren: Warren, queues: Queues, publishers: list[Publisher]) -> None:
    expected = {one.body(queues.source, n) for one in publishers for n in one.told[queues.source].confirmed}
    taken = take(warren, queues.target, expected)
    assert set(taken) <= {
        one.body(queues.source, number) for one in publishers for number in range(one.told[queues.source].sent)
    }
    wait_until(lambda: is_empty(warren, queues.source), "the end of the source")


@both_kinds
@pytest.mark.parametrize(
    "killed", [[("shard", 1)], [("shard", 0)], [("shard", 0), ("shard", 1)]], ids=["target", "source", "both"]
)
def test_none_is_lost_when_shards_die(
    warren: Warren, declare: Callable[..., Queues], killed: list[tuple[str, int]]
) -> None:
    queues = declare(**{"x-message-ttl": TTL_MS})

    def kill_twice() -> None:
        for _ in range(2):
            old = {one: warren.kill(*one) for one in killed}
            for one, pid in old.items():
                warren.wait_back(*one, pid)

    check_none_is_lost(warren, queues, under_load(warren, queues.source, kill_twice))


def test_none_is_lost_when_the_broker_dies(warren: Warren, declare: Callable[..., Queues]) -> None:
    queues = declare(**{"x-message-ttl": TTL_MS})
    publishers = under_load(warren, queues.source, warren.kill_all)
    warren.start()
    check_none_is_lost(warren, queues, publishers)


def test_a_gateway_that_dies_changes_nothing(warren: Warren, declare: Callable[..., Queues]) -> None:
    """Not even a message twice: only its clients' publishes are in doubt."""
    queues = declare(**{"x-message-ttl": TTL_MS})

    def kill() -> None:
        warren.wait_back("gateway", 0, warren.kill("gateway", 0))

    publishers = under_load(warren, queues.source, kill)
    expected = {one.body(queues.source, n) for one in publishers for n in one.told[queues.source].confirmed}
    taken = take(warren, queues.target, expected)
    assert len(taken) == len(set(taken))


def test_rejected_ones_are_not_lost_either(warren: Warren, declare: Callable[..., Queues]) -> None:
    queues = declare()
    bodies = publish(warren, queues.source, 2000)
    with connect(warren.endpoint) as client:
        channel = client.channel()
        channel.consume(queues.source)
        messages = channel.deliveries(len(bodies))
        channel.nack(messages[len(messages) // 2].delivery_tag, multiple=True, requeue=False)
        old = warren.kill("shard", 1)
        channel.nack(messages[-1].delivery_tag, multiple=True, requeue=False)
        warren.wait_back("shard", 1, old)
        assert set(take(warren, queues.target, set(bodies))) == set(bodies)
        client.close()


@both_kinds
def test_a_target_that_stands_still_is_waited_for(warren: Warren, declare: Callable[..., Queues]) -> None:
    """What dies meanwhile stays where it is; the other queues of its shard go on."""
    queues = declare(**{"x-message-ttl": TTL_MS})
    first = publish(warren, queues.source, 10)
    assert take(warren, queues.target, set(first)) == first
    source_pid = warren.pid("shard", 0)
    before = private_memory_bytes(source_pid)
    with stopped(warren.pid("shard", 1)):
        second = publish(warren, queues.source, LARGE_COUNT, LARGE_BYTES)
        third = publish(warren, queues.bystander, 100)
        assert take(warren, queues.bystander, set(third)) == third
        grown = private_memory_bytes(source_pid) - before
    assert grown < MEMORY_BYTES_MAX, f"{grown >> 20} MiB more"
    assert take(warren, queues.target, set(second)) == second
