"""The parts of supervision that decide: restart delays, links between incarnations, alarms."""
from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from broker.alarms import Alarms, allocated_bytes, machine_memory_bytes, private_memory_bytes
from broker.children import (
    RESTART_DELAY_S_MAX,
    SHORT_LIFE_S,
    SHORT_LIVES_FREE,
    Child,
    describe_exit,
    restart_delay_s,
)
from broker.link_registry import LinkRegistry, links_bytes
from broker.nursery import Process
from bus.limits import SHARD_LINK_RING_BYTES_MAX

RING_BYTES = 64 * 1024


def test_the_first_deaths_cost_no_delay_and_more_cost_more() -> None:
    delays = [restart_delay_s(lives) for lives in range(100)]
    assert set(delays[: SHORT_LIVES_FREE + 1]) == {0.0}
    assert delays[SHORT_LIVES_FREE + 1] > 0
    assert delays == sorted(delays)
    assert delays[-1] == RESTART_DELAY_S_MAX


def test_a_long_life_makes_up_for_short_ones() -> None:
    child = Child("shard", 0, short_lives=5, started_at_s=100.0)
    child.finish(100.0 + SHORT_LIFE_S / 2)
    assert child.short_lives == 6
    child.started_at_s = 200.0
    child.finish(200.0 + SHORT_LIFE_S)
    assert child.short_lives == 0


def test_an_exit_is_told_in_words() -> None:
    assert describe_exit(-signal.SIGKILL) == "was killed by SIGKILL"
    assert describe_exit(3) == "ended with exit code 3"


class Pushed:
    def __init__(self, directory: Path, kind: str = "shared-memory", ring_bytes: int = RING_BYTES) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.directory = directory
        self.registry = LinkRegistry(
            kind, [directory / "full", directory], ring_bytes, lambda to, message: self.messages.append((to, message))
        )

    def take(self) -> list[tuple[str, str, str, int]]:
        taken = [(to, m["verb"], f"{m['peer_role']}-{m['peer']}", m["incarnation"]) for to, m in self.messages]
        self.messages.clear()
        return taken

    def files(self) -> int:
        return len(list(self.directory.iterdir()))


def taking_links(role: str, index: int, incarnation: int = 1) -> Child:
    return Child(role, index, incarnation=incarnation, takes_links=True, link_address=f"ipc:///{role}{index}")


def test_a_link_is_made_when_both_sides_take_links(tmp_path: Path) -> None:
    pushed = Pushed(tmp_path)
    gateway, shard, absent = taking_links("gateway", 0), taking_links("shard", 0, 3), Child("shard", 1)
    pushed.registry.connect(gateway, [shard, absent])
    assert pushed.take() == [("shard-0", "link.up", "gateway-0", 1), ("gateway-0", "link.up", "shard-0", 3)]
    assert pushed.files() == 1
    assert len(pushed.registry) == 1


def test_the_peers_of_a_dead_process_hear_of_it_and_its_files_go(tmp_path: Path) -> None:
    pushed = Pushed(tmp_path)
    gateways = [taking_links("gateway", index) for index in range(2)]
    shard = taking_links("shard", 0)
    pushed.registry.connect(shard, gateways)
    pushed.take()
    pushed.registry.disconnect(shard)
    assert pushed.take() == [("gateway-0", "link.down", "shard-0", 1), ("gateway-1", "link.down", "shard-0", 1)]
    assert pushed.files() == 0


def test_link_down_names_the_incarnation_that_died(tmp_path: Path) -> None:
    pushed = Pushed(tmp_path)
    gateway, shard = taking_links("gateway", 0), taking_links("shard", 0, 4)
    pushed.registry.connect(gateway, [shard])
    shard.incarnation = 5
    pushed.take()
    pushed.registry.disconnect(shard)
    assert pushed.take() == [("gateway-0", "link.down", "shard-0", 4)]


def test_a_damaged_link_is_made_anew_for_both(tmp_path: Path) -> None:
    pushed = Pushed(tmp_path)
    gateway, shard = taking_links("gateway", 0), taking_links("shard", 0)
    pushed.registry.connect(gateway, [shard])
    pushed.take()
    pushed.registry.renew(gateway, shard)
    assert [verb for _, verb, _, _ in pushed.take()] == ["link.down", "link.down", "link.up", "link.up"]
    assert pushed.files() == 1


def joined_shards(pushed: Pushed, count: int = 2) -> list[Child]:
    shards = [taking_links("shard", index) for index in range(count)]
    for shard in shards:
        pushed.registry.connect(shard, shards)
    return shards


def test_shards_are_joined_when_one_has_something_for_the_other(tmp_path: Path) -> None:
    pushed = Pushed(tmp_path)
    shards = joined_shards(pushed)
    assert pushed.take() == []
    pushed.registry.want(shards[0], shards[1])
    assert [(to, message["serving"]) for to, message in pushed.messages] == [("shard-1", True), ("shard-0", False)]
    assert pushed.take() == [("shard-1", "link.up", "shard-0", 1), ("shard-0", "link.up", "shard-1", 1)]
    pushed.registry.want(shards[0], shards[1])
    assert pushed.take() == []
    pushed.registry.want(shards[1], shards[0])
    assert pushed.take() == [("shard-0", "link.up", "shard-1", 1), ("shard-1", "link.up", "shard-0", 1)]
    assert len(pushed.registry) == 2


def test_a_wanted_shard_is_joined_when_it_comes_back(tmp_path: Path) -> None:
    pushed = Pushed(tmp_path)
    shards = joined_shards(pushed)
    shards[1].takes_links = False
    pushed.registry.want(shards[0], shards[1])
    assert pushed.take() == []
    shards[1].takes_links, shards[1].incarnation = True, 2
    pushed.registry.connect(shards[1], shards)
    assert pushed.take() == [("shard-1", "link.up", "shard-0", 1), ("shard-0", "link.up", "shard-1", 2)]
    pushed.registry.disconnect(shards[1])
    assert pushed.take() == [("shard-0", "link.down", "shard-1", 2)]
    assert pushed.files() == 0
    pushed.registry.connect(shards[1], shards)
    assert [verb for _, verb, _, _ in pushed.take()] == ["link.up", "link.up"]


def test_a_shard_that_was_restarted_has_nothing_for_anybody_until_it_asks(tmp_path: Path) -> None:
    pushed = Pushed(tmp_path)
    shards = joined_shards(pushed)
    pushed.registry.want(shards[0], shards[1])
    pushed.take()
    pushed.registry.disconnect(shards[0])
    assert pushed.take() == [("shard-1", "link.down", "shard-0", 1)]
    pushed.registry.connect(shards[0], shards)
    assert pushed.take() == []


def test_links_of_gateways_and_of_shards_to_one_shard_are_told_apart(tmp_path: Path) -> None:
    pushed = Pushed(tmp_path)
    shards = joined_shards(pushed)
    gateway = taking_links("gateway", 0)
    pushed.registry.connect(gateway, shards)
    pushed.registry.want(shards[0], shards[1])
    assert len(pushed.registry) == 3
    pushed.take()
    pushed.registry.renew(shards[0], shards[1])
    assert pushed.take() == [
        ("shard-0", "link.down", "shard-1", 1), ("shard-1", "link.down", "shard-0", 1),
        ("shard-1", "link.up", "shard-0", 1), ("shard-0", "link.up", "shard-1", 1),
    ]
    pushed.registry.disconnect(gateway)
    assert pushed.take() == [("shard-0", "link.down", "gateway-0", 1), ("shard-1", "link.down", "gateway-0", 1)]
    assert len(pushed.registry) == 1


def test_a_link_between_shards_is_smaller(tmp_path: Path) -> None:
    pushed = Pushed(tmp_path, ring_bytes=1 << 20)
    shards = joined_shards(pushed)
    pushed.registry.want(shards[0], shards[1])
    (between,) = tmp_path.iterdir()
    pushed.registry.connect(taking_links("gateway", 0), shards[:1])
    (other,) = set(tmp_path.iterdir()) - {between}
    assert between.stat().st_size < 3 * SHARD_LINK_RING_BYTES_MAX < other.stat().st_size
    assert links_bytes(1, 2, 1 << 20) == 2 * other.stat().st_size + 2 * between.stat().st_size


def test_without_memory_for_a_link_between_shards_nobody_dies(tmp_path: Path) -> None:
    full = tmp_path / "full"            # where nothing can be made until it exists
    pushed = Pushed(full)
    shards = joined_shards(pushed)
    pushed.registry.want(shards[0], shards[1])
    pushed.registry.connect(shards[1], shards)
    assert pushed.take() == []
    with pytest.raises(OSError):
        pushed.registry.connect(taking_links("gateway", 0), shards)
    full.mkdir()
    pushed.registry.want(shards[0], shards[1])
    assert [verb for _, verb, _, _ in pushed.take()] == ["link.up", "link.up"]


def test_a_shard_is_no_client_of_itself(tmp_path: Path) -> None:
    pushed = Pushed(tmp_path)
    shards = joined_shards(pushed)
    with pytest.raises(ValueError, match="itself"):
        pushed.registry.want(shards[0], shards[0])


def test_over_zeromq_the_gateway_is_told_the_address_of_the_shard(tmp_path: Path) -> None:
    pushed = Pushed(tmp_path, "zeromq")
    pushed.registry.connect(taking_links("gateway", 0), [taking_links("shard", 0)])
    assert dict(pushed.messages)["gateway-0"]["address"] == "ipc:///shard0"
    assert pushed.files() == 0


def test_alarms_are_raised_and_cleared_at_their_limits() -> None:
    alarms = Alarms(memory_bytes_max=100, disk_free_limit_bytes=50)
    assert not alarms.check(100, 50)
    assert alarms.check(101, 50)
    assert alarms.message() == {"verb": "alarm", "memory": True, "disk": False}
    assert not alarms.check(200, 50)
    assert alarms.check(200, 49)
    assert alarms.check(0, 50)
    assert alarms.message() == {"verb": "alarm", "memory": False, "disk": False}


def test_the_memory_of_a_container_counts(tmp_path: Path) -> None:
    whole = machine_memory_bytes(tmp_path)
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("max\n")
    assert machine_memory_bytes(tmp_path) == whole
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("1048576\n")
    assert machine_memory_bytes(tmp_path) == 1048576


def test_memory_of_a_process_and_of_files(tmp_path: Path) -> None:
    assert private_memory_bytes(os.getpid()) > 1 << 20
    assert private_memory_bytes(0) == 0
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(bytes(100_000))
    assert allocated_bytes(tmp_path) >= 100_000


@pytest.mark.parametrize("missing", ["nowhere"])
def test_files_that_are_gone_count_nothing(tmp_path: Path, missing: str) -> None:
    assert allocated_bytes(tmp_path / missing) == 0


def test_the_memory_limit_of_a_service_counts_whichever_group_has_it(tmp_path: Path) -> None:
    service = tmp_path / "sys/fs/cgroup/system.slice/warren.service"
    service.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/system.slice/warren.service\n")
    (service / "memory.max").write_text("2097152\n")
    assert machine_memory_bytes(tmp_path) == 2097152
    (service.parent / "memory.max").write_text("1048576\n")
    assert machine_memory_bytes(tmp_path) == 1048576


def test_the_last_words_of_a_process_are_not_taken_for_its_successors() -> None:
    child = Child("shard", 0, incarnation=2, process=Process(os.getpid()))
    assert child.says({"verb": "ready", "own_incarnation": 2})
    assert not child.says({"verb": "links.open", "own_incarnation": 1})
    child.finish(1.0)
    assert not child.says({"verb": "links.open", "own_incarnation": 2})
