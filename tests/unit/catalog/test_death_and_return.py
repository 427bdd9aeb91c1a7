"""What the catalog keeps when it dies, and what it does when others do."""
import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from broker.catalog.core import FULL_PAUSE_S
from broker.catalog.queue_ids import BLOCK_IDS
from broker.catalog.store import StoreFull
from bus.control import ControlError
from tests.unit.catalog.world import bound, declare, exchange, passed_on, patiently, run, started, turns

SEED = 20_261_121


def test_everything_is_there_after_the_catalog_was_killed(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        gateway = world.peers["gateway-0"]
        durable = await gateway.client.request(
            "queue.declare", **declare("durable", durable=True, arguments={"x-max-length": 5, "raw": b"\xff"})
        )
        transient = await gateway.client.request("queue.declare", **declare("transient", auto_delete=True))
        await gateway.client.request("queue.declare", **declare("mine", exclusive=True))
        await gateway.client.request("exchange.declare", **exchange("x", "topic", durable=True))
        await gateway.client.request("exchange.declare", **exchange("y", "headers"))
        await gateway.client.request("exchange.bind", **passed_on("x", "y", "#"))
        await gateway.client.request("queue.bind", **bound("durable", "x", "a.*"))
        await gateway.client.request("queue.bind", **bound("transient", "y", a=1))
        await gateway.client.request("user.add", name="u", password="p", tags=["monitoring"])
        before = sorted(map(str, gateway.replica.snapshot_ops()))
        await world.kill_catalog()
        catalog = world.start_catalog()
        assert sorted(map(str, catalog.topology.snapshot_ops())) == before
        world.restart_clients()
        await turns()
        again = await gateway.client.request("queue.declare", **declare("transient", auto_delete=True))
        assert again == {**transient, "created": False}
        new = await gateway.client.request("queue.declare", **declare("new"))
        assert new["queue_id"] > max(durable["queue_id"], transient["queue_id"])
        assert len(gateway.replica.route("/", "x", "a.b", {"a": 1}).queues) == 2

    run(scenario())


def test_transient_objects_are_gone_when_the_broker_starts_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        gateway = world.peers["gateway-0"]
        await gateway.client.request("queue.declare", **declare("durable", durable=True))
        await gateway.client.request("queue.declare", **declare("transient"))
        await gateway.client.request("exchange.declare", **exchange("x"))
        await gateway.client.request("queue.bind", **bound("durable", "x"))
        await gateway.client.request("queue.bind", **bound("durable", "amq.topic", "k"))
        await world.kill_catalog()
        for file in world.runtime.iterdir():            # the supervisor sweeps it
            file.unlink()
        topology = world.start_catalog().topology
        assert topology.queue("/", "durable") is not None
        assert topology.queue("/", "transient") is None
        assert topology.exchange("/", "x") is None
        assert [binding.source for binding in topology.vhosts["/"].bindings] == ["amq.topic"]

    run(scenario())


def test_a_request_that_was_under_way_when_the_catalog_died_is_answered_by_the_next(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        gateway = world.peers["gateway-0"]
        world.peers["gateway-1"].hold()
        declaring = asyncio.ensure_future(gateway.client.request("queue.declare", **declare("q", durable=True)))
        await patiently(lambda: bool(world.peers["gateway-1"].held))
        assert not declaring.done()
        await world.kill_catalog()
        world.peers["gateway-1"].held = None
        world.start_catalog()
        world.restart_clients()
        answer = await asyncio.wait_for(declaring, 5)
        queue = world.peers["gateway-1"].replica.queue("/", "q")
        assert queue is not None and queue.queue_id == answer["queue_id"]

    run(scenario())


def test_what_the_last_catalog_created_is_not_answered_before_its_shard_has_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        gateway, shards = world.peers["gateway-0"], [world.peers["shard-0"], world.peers["shard-1"]]
        for shard in shards:
            shard.hold()
        declaring = asyncio.ensure_future(gateway.client.request("queue.declare", **declare("q", durable=True)))
        await patiently(lambda: all(shard.held for shard in shards))
        await world.kill_catalog()
        world.start_catalog()
        for peer in world.peers.values():
            peer.held = None
            if peer not in shards:
                peer.client.catalog_restarted()
        await patiently(lambda: gateway.replica.queue("/", "q") is not None)
        await turns()
        assert not declaring.done()
        for shard in shards:
            assert shard.replica.queue("/", "q") is None
            shard.client.catalog_restarted()
        assert not (await asyncio.wait_for(declaring, 5))["created"]
        assert all(shard.replica.queue("/", "q") is not None for shard in shards)

    run(scenario())


def test_nothing_is_answered_before_the_slowest_gateway_has_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        slow = world.peers["gateway-1"]
        slow.hold()
        declaring = asyncio.ensure_future(
            world.peers["gateway-0"].client.request("queue.declare", **declare("q"))
        )
        await patiently(lambda: world.peers["gateway-0"].replica.queue("/", "q") is not None)
        await turns()
        assert not declaring.done()
        slow.let_go()
        await asyncio.wait_for(declaring, 5)

    run(scenario())


def test_a_gateway_that_vanishes_is_not_waited_for_and_its_exclusive_queues_go(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        first, second = world.peers["gateway-0"], world.peers["gateway-1"]
        await second.client.request("queue.declare", **declare("its", exclusive=True, owner="g1.1.7"))
        await first.client.request("queue.declare", **declare("mine", exclusive=True, owner="g0.1.7"))
        second.hold()
        declaring = asyncio.ensure_future(first.client.request("queue.declare", **declare("q")))
        await patiently(lambda: bool(second.held))
        await world.kill("gateway-1")
        await asyncio.wait_for(declaring, 5)
        await patiently(lambda: first.replica.queue("/", "its") is None)
        assert first.replica.queue("/", "mine") is not None
        back = await world.start("gateway-1")
        await back.client.request("queue.declare", **declare("its", exclusive=True, owner="g1.2.1"))
        with pytest.raises(ControlError) as refusal:
            await first.client.request("queue.declare", **declare("late", exclusive=True, owner="g1.1.7"))
        assert refusal.value.code == 541

    run(scenario())


def test_a_gateway_that_died_while_the_catalog_was_away_leaves_no_exclusive_queues(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        await world.peers["gateway-1"].client.request(
            "queue.declare", **declare("its", exclusive=True, owner="g1.1.7")
        )
        await world.kill_catalog()
        await world.kill("gateway-1", tell=False)
        world.start_catalog()
        world.restart_clients()
        await world.start("gateway-1")
        await patiently(lambda: world.peers["gateway-0"].replica.queue("/", "its") is None)

    run(scenario())


def test_word_of_a_death_that_comes_after_the_successor_does_not_cut_it_off(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        await world.kill("gateway-1", tell=False)
        successor = await world.start("gateway-1")
        assert world.service is not None
        await successor.client.request("queue.declare", **declare("its", exclusive=True, owner="g1.2.1"))
        world.service.peer_gone({"role": "gateway", "index": 1, "incarnation": 1})
        await world.peers["gateway-0"].client.request("queue.declare", **declare("q"))
        assert successor.replica.queue("/", "q") is not None
        assert successor.replica.queue("/", "its") is not None

    run(scenario())


def test_a_shard_that_comes_back_learns_what_it_owns(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        gateway = world.peers["gateway-0"].client
        answers = [await gateway.request("queue.declare", **declare(f"q{n}")) for n in range(20)]
        await world.kill("shard-1")
        while_away = await gateway.request("queue.declare", **declare("while-away"))
        back = await world.start("shard-1")
        ids = {answer["queue_id"] for answer in [*answers, while_away]}
        assert {op["queue_id"] for op in back.seen[0]["ops"] if op["op"] == "queue.add"} == ids
        assert back.seen[0]["snapshot"]

    run(scenario())


def test_a_snapshot_of_many_pages_and_the_changes_meanwhile(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path, gateways=1)
        gateway = world.peers["gateway-0"]
        await asyncio.gather(*(gateway.client.request("queue.declare", **declare(f"q{n}")) for n in range(5000)))
        late = asyncio.ensure_future(world.start("gateway-1"))
        await asyncio.gather(
            *(gateway.client.request("queue.delete", vhost="/", name=f"q{n}") for n in range(0, 5000, 50)),
            *(gateway.client.request("queue.declare", **declare(f"new{n}")) for n in range(50)),
        )
        peer = await late
        await gateway.client.request("queue.declare", **declare("last"))
        assert sorted(map(str, peer.replica.snapshot_ops())) == sorted(map(str, gateway.replica.snapshot_ops()))

    run(scenario())


def test_the_client_notices_a_gap(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        forgetful = world.peers["gateway-1"]
        forgetful.hold()
        lost = asyncio.ensure_future(world.peers["gateway-0"].client.request("queue.declare", **declare("lost")))
        await patiently(lambda: bool(forgetful.held))
        forgetful.held = []
        second = asyncio.ensure_future(world.peers["gateway-0"].client.request("queue.declare", **declare("q")))
        await patiently(lambda: bool(forgetful.held))
        forgetful.let_go()
        await asyncio.gather(lost, second)
        assert forgetful.replica.queue("/", "lost") is not None

    run(scenario())


def test_a_full_disk_refuses_changes_and_the_state_stays_what_was_committed(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        gateway = world.peers["gateway-0"]
        await gateway.client.request("queue.declare", **declare("before", durable=True))
        catalog = world.catalog
        assert catalog is not None
        write = catalog.committer._write

        def full(ops: object) -> None:
            raise StoreFull("database or disk is full")

        catalog.committer._write = full
        attempts = [gateway.client.request("queue.declare", **declare(f"q{n}", durable=True)) for n in range(3)]
        for outcome in await asyncio.gather(*attempts, return_exceptions=True):
            assert isinstance(outcome, ControlError) and outcome.code == 506
        with pytest.raises(ControlError) as refusal:
            await gateway.client.request("queue.declare", **declare("more"))
        assert refusal.value.code == 506
        again = await gateway.client.request("queue.declare", **declare("before", durable=True))
        assert not again["created"]
        catalog.committer._write = write
        catalog._refusing_until_s -= FULL_PAUSE_S
        answer = await gateway.client.request("queue.declare", **declare("q0", durable=True))
        assert answer["created"] and answer["queue_id"] > again["queue_id"]
        for peer in world.peers.values():
            assert peer.replica.queue("/", "q0") is not None and peer.replica.queue("/", "q1") is None

    run(scenario())


def test_an_error_of_the_disk_ends_the_committer(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        assert world.catalog is not None and world.committing is not None

        def broken(ops: object) -> None:
            raise sqlite3.OperationalError("disk I/O error")

        world.catalog.committer._write = broken
        declaring = asyncio.ensure_future(
            world.peers["gateway-0"].client.request("queue.declare", **declare("q", durable=True))
        )
        await asyncio.wait([world.committing])
        assert isinstance(world.committing.exception(), sqlite3.OperationalError)
        assert not declaring.done()

    run(scenario())


def test_ids_never_come_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        seen: set[int] = set()
        for _ in range(3):
            for n in range(5):
                client = world.peers["gateway-0"].client
                answer = await client.request("queue.declare", **declare(f"q{n}"))
                await client.request("queue.delete", queue_id=answer["queue_id"])
                assert answer["queue_id"] not in seen
                seen.add(answer["queue_id"])
            await world.kill_catalog()
            world.start_catalog()
            world.restart_clients()
            await turns()
        assert max(seen) < 4 * BLOCK_IDS

    run(scenario())


def test_random_requests_with_the_catalog_dying_between_them(tmp_path: Path) -> None:
    """Whatever was answered is there afterwards, and every replica ends with the same state."""
    source = random.Random(SEED)

    async def scenario() -> None:
        world = await started(tmp_path)
        exists: dict[str, bool] = {}
        for _ in range(12):
            requests = []
            for name in {f"q{source.randrange(30)}" for _ in range(15)}:
                client = world.peers[f"gateway-{source.randrange(2)}"].client
                if source.random() < 0.6:
                    durable = int(name[1:]) % 2 == 0
                    requests.append(client.request("queue.declare", **declare(name, durable=durable)))
                    exists[name] = True
                else:
                    requests.append(client.request("queue.delete", vhost="/", name=name))
                    exists[name] = False
            under_way = asyncio.gather(*requests)
            for _ in range(source.randrange(12)):
                await asyncio.sleep(0)
            if source.random() < 0.6:
                await world.kill_catalog()
                world.start_catalog()
                world.restart_clients()
            await asyncio.wait_for(under_way, 10)
            for peer in world.peers.values():
                for name, there in exists.items():
                    assert (peer.replica.queue("/", name) is not None) is there
        states = {str(sorted(map(str, peer.replica.snapshot_ops()))) for peer in world.peers.values()}
        assert len(states) == 1

    run(scenario())


WRITER = """
import sys
from pathlib import Path
from broker.catalog.process import open_store
from topology import changes
from topology.model import Queue
settings = {"default_user": "guest", "default_pass": "guest", "default_vhost": "/"}
store = open_store(Path(sys.argv[1]), Path(sys.argv[2]), settings)
first = store.queue_ids_reserved()
for n in range(first, first + 100000):
    queue = Queue(n, f"q{n}", "/", durable=n % 2 == 0)
    store.write([{"op": "queue_ids.reserve", "upto": n + 1}, changes.queue_add(queue)])
    print(n, flush=True)
"""


def test_what_was_written_survives_kill_9(tmp_path: Path) -> None:
    from broker.catalog.process import open_store

    data, runtime = tmp_path / "data", tmp_path / "runtime"
    data.mkdir()
    runtime.mkdir()
    written: list[int] = []
    for pause_lines in (1, 40):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(data), str(runtime)], stdout=subprocess.PIPE, text=True,
            cwd=Path(__file__).parents[3],
        )
        assert writer.stdout is not None
        for _ in range(pause_lines):
            written.append(int(writer.stdout.readline()))
        os.kill(writer.pid, signal.SIGKILL)
        written += [int(line) for line in writer.stdout.read().split("\n") if line]
        writer.wait()
    store = open_store(data, runtime, {})
    topology = store.load()
    assert len(written) == len(set(written))
    for n in written:
        queue = topology.queue_by_id(n)
        assert queue is not None and queue.durable is (n % 2 == 0)
    assert store.queue_ids_reserved() > max(written)
    store.close()
