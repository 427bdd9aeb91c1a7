"""Who is waited for, in which order changes go out, and when a change is settled."""
import random
from typing import Any

import pytest

from broker.catalog.distribution import Distribution

SEED = 20_261_121


class Bus:
    """Records what is sent and what is settled."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []
        self.settled: list[int] = []
        self.distribution = Distribution(1, self._send, self.settled.append)
        self.published = 0

    def _send(self, identity: str, message: dict[str, Any]) -> None:
        self.sent.append((identity, message["version"]))

    def subscribe(self, *identities: str) -> None:
        for identity in identities:
            self.applied(identity, self.distribution.subscribe(identity))

    def applied(self, identity: str, version: int | None = None) -> None:
        self.distribution.applied(identity, self.published if version is None else version)

    def publish(self, *shards: int) -> int:
        self.published += 1
        self.distribution.publish(self.published, [{"op": "queue.add", "shard": shard} for shard in shards])
        return self.published


@pytest.fixture
def bus() -> Bus:
    bus = Bus()
    bus.subscribe("shard-0", "shard-1", "gateway-0", "gateway-1")
    return bus


def test_the_owner_shard_has_a_queue_before_any_gateway_hears_of_it(bus: Bus) -> None:
    bus.publish(0)
    assert bus.sent == [("shard-0", 1), ("shard-1", 1)]
    bus.applied("shard-1")
    assert len(bus.sent) == 2
    bus.applied("shard-0")
    assert bus.sent[2:] == [("gateway-0", 1), ("gateway-1", 1)]


def test_what_was_there_before_is_settled_when_all_that_are_expected_have_it() -> None:
    bus = Bus()
    assert bus.distribution.settled == 0            # nobody is there who could lack it
    bus.distribution.expect(("shard-0", "gateway-0"))
    assert bus.distribution.settled < 0
    bus.subscribe("shard-0")
    version = bus.distribution.subscribe("gateway-0")
    assert bus.settled == []
    bus.applied("gateway-0", version)
    assert bus.settled == [0]


def test_settled_when_everybody_has_it(bus: Bus) -> None:
    bus.publish(0)
    for identity in ("shard-0", "shard-1", "gateway-0"):
        bus.applied(identity)
        assert bus.settled == []
    bus.applied("gateway-1")
    assert bus.settled == [1]


def test_a_change_without_queues_goes_to_all_at_once(bus: Bus) -> None:
    bus.publish()
    assert len(bus.sent) == 4


def test_gateways_get_changes_in_order(bus: Bus) -> None:
    bus.publish(0)
    bus.publish(1)
    bus.applied("shard-1", 2)
    assert not [sent for sent in bus.sent if sent[0] == "gateway-0"]
    bus.applied("shard-0", 1)
    assert [version for identity, version in bus.sent if identity == "gateway-0"] == [1, 2]


def test_a_subscriber_that_vanishes_while_a_change_is_under_way_is_not_waited_for(bus: Bus) -> None:
    bus.publish(0)
    bus.applied("shard-0")
    bus.applied("shard-1")
    bus.applied("gateway-0")
    bus.distribution.gone("gateway-1")
    assert bus.settled == [1]


def test_an_owner_shard_that_vanishes_holds_up_nothing(bus: Bus) -> None:
    bus.publish(0)
    bus.distribution.gone("shard-0")
    for identity in ("shard-1", "gateway-0", "gateway-1"):
        bus.applied(identity)
    assert bus.settled == [1]


def test_one_that_comes_back_is_waited_for_until_it_has_its_snapshot(bus: Bus) -> None:
    bus.publish(0)
    bus.distribution.gone("gateway-1")
    assert bus.distribution.subscribe("gateway-1") == 1
    for identity in ("shard-0", "shard-1", "gateway-0"):
        bus.applied(identity)
    assert bus.settled == []
    assert ("gateway-1", 1) not in bus.sent
    bus.applied("gateway-1", 1)
    assert bus.settled == [1]


def test_one_that_is_expected_is_waited_for_until_it_comes_or_is_given_up(bus: Bus) -> None:
    bus.distribution.expect(["gateway-2"])
    bus.publish()
    for identity in ("shard-0", "shard-1", "gateway-0", "gateway-1"):
        bus.applied(identity)
    assert bus.settled == []
    assert bus.distribution.expect_no_longer() == ["gateway-2"]
    assert bus.settled == [1]


def test_a_version_from_the_future_is_not_believed(bus: Bus) -> None:
    bus.publish(0)
    bus.applied("shard-0", 99)
    assert not [sent for sent in bus.sent if sent[0] == "gateway-0"]


def test_without_anybody_a_change_is_settled_at_once() -> None:
    bus = Bus()
    bus.publish(0)
    assert bus.settled == [1]


class Checked(Bus):
    """Looks at every message as it is sent, and at every version as it is settled."""

    def __init__(self) -> None:
        self.has: dict[str, int] = {}               # what each live subscriber has acknowledged
        self.last: dict[str, int] = {}              # what each was sent last, or has by its snapshot
        self.owners: dict[int, set[str]] = {}
        super().__init__()
        self.distribution = Distribution(1, self._send, self._settle)

    def _send(self, identity: str, message: dict[str, Any]) -> None:
        version = message["version"]
        assert version == self.last[identity] + 1
        self.last[identity] = version
        if identity.startswith("gateway"):
            assert all(self.has[owner] >= version for owner in self.owners[version] if owner in self.has)

    def _settle(self, version: int) -> None:
        assert all(has >= version for has in self.has.values())

    def come(self, identity: str) -> None:
        self.has[identity] = -1
        self.last[identity] = self.distribution.subscribe(identity)

    def go(self, identity: str) -> None:
        self.has.pop(identity, None)
        self.distribution.gone(identity)

    def acknowledge(self, identity: str) -> None:
        if identity in self.has:
            self.has[identity] = self.last[identity]
            self.applied(identity, self.last[identity])

    def publish(self, *shards: int) -> int:
        self.owners[self.published + 1] = {f"shard-{shard}" for shard in shards}
        return super().publish(*shards)


@pytest.mark.parametrize("seed", range(SEED, SEED + 30))
def test_random_histories_keep_the_order_and_lose_nobody(seed: int) -> None:
    source = random.Random(seed)
    bus = Checked()
    everyone = ["shard-0", "shard-1", "gateway-0", "gateway-1"]
    for identity in everyone:
        bus.come(identity)
    for _ in range(300):
        action, identity = source.random(), source.choice(everyone)
        if action < 0.3:
            bus.publish(*source.sample([0, 1], source.randrange(3)))
        elif action < 0.35:
            bus.go(identity)
        elif action < 0.45:
            bus.come(identity)
        else:
            bus.acknowledge(identity)
    for _ in range(2):
        for identity in everyone:
            bus.acknowledge(identity)
    assert bus.distribution.settled == bus.published
