"""Definitions through the catalog: one transaction, all or nothing, and what is loaded when the broker starts."""
import asyncio
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import topology.client
from broker.catalog.core import Catalog
from broker.catalog.loading import load_definitions
from broker.catalog.process import open_store, prepare
from broker.catalog.requests import definitions
from broker.catalog.store import StoreFull
from bus.context import StartError
from bus.control import ControlError
from tests.harness.definitions import PASSWORDS, comparable, everything
from tests.unit.catalog.world import SETTINGS, World, declare, run, started, turns

BINDING = {"source": "amq.direct", "vhost": "/", "destination": "gone", "destination_type": "queue", "routing_key": ""}


async def promptly(condition: Callable[[], bool]) -> None:
    """Until something is so, seen in the very turn of the loop."""
    until = asyncio.get_running_loop().time() + 5
    while not condition():
        assert asyncio.get_running_loop().time() < until
        await asyncio.sleep(0)


def queue(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}, **fields}


def test_an_import_is_one_change_for_everybody_and_lasts(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        client = world.peers["gateway-0"].client
        answer = await client.request("import", document=everything())
        assert answer["warnings"] == [] and answer["changed"]["queues"] == 7
        for peer in world.peers.values():
            assert len(peer.seen) == 2                      # the snapshot, and this
            assert peer.replica.catalog_version == 1
        exported = await client.request("export")
        assert world.catalog is not None
        ids = world.catalog.topology.queue_ids()
        shards = {one.shard for one in world.catalog.topology.queues()}
        assert len(ids) == 7 and 0 not in ids and shards == {0, 1}
        await world.kill_catalog()
        world.start_catalog()
        world.restart_clients()
        again = await world.peers["gateway-1"].client.request("export")
        assert comparable(again) == comparable(exported)
        replica = world.peers["gateway-1"].replica
        assert all(replica.authenticate(name, password) for name, password in PASSWORDS.items())
        assert await world.peers["gateway-0"].client.request("import", document=exported) == {
            "changed": {}, "warnings": []
        }

    run(scenario())


def test_queues_that_deduplicate_get_the_ids_they_need(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        client = world.peers["gateway-0"].client
        arguments = {"x-message-deduplication": True}
        await client.request("import", document={"queues": [queue(name, arguments=arguments) for name in "abc"]})
        declared = await client.request("queue.declare", **declare("d"))
        ids = sorted(world.peers["gateway-1"].replica.queue_ids())
        assert ids == [ids[0], ids[0] + 2, ids[0] + 4, ids[0] + 6] and declared["queue_id"] == ids[-1]

    run(scenario())


def test_a_document_with_one_thing_wrong_changes_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        client = world.peers["gateway-0"].client
        before = await client.request("export")
        for wrong in ({"bindings": [BINDING]}, {"policies": [{"vhost": "/", "name": "p", "pattern": "("}]}):
            with pytest.raises(ControlError) as refusal:
                await client.request("import", document={**everything(), **wrong})
            assert refusal.value.code == 406
        for document in (None, 5, [], "x"):
            with pytest.raises(ControlError, match="not_json"):
                await client.request("import", document=document)
        await turns()
        assert await client.request("export") == before
        assert all(len(peer.seen) == 1 for peer in world.peers.values())
        await world.kill_catalog()
        assert len(world.start_catalog().topology.users) == 1

    run(scenario())


def test_an_import_for_which_the_disk_has_no_room_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        assert world.catalog is not None
        client = world.peers["gateway-0"].client
        before = await client.request("export")

        def write(ops: object) -> None:
            raise StoreFull("full")

        world.catalog.committer._write = write
        with pytest.raises(ControlError) as refusal:
            await client.request("import", document=everything())
        assert refusal.value.code == 506
        await turns()
        assert await world.peers["gateway-0"].client.request("export") == before

    run(scenario())


def test_more_than_one_ordinary_transaction_holds(tmp_path: Path) -> None:
    """All queues of a document are there after a crash, or none: however many there are, they share one transaction."""

    async def scenario() -> None:
        world = await started(tmp_path, gateways=1, shards=1)
        client = world.peers["gateway-0"].client
        answer = await client.request("import", document={"queues": [queue(f"q{n}") for n in range(10_500)]})
        assert answer["changed"] == {"queues": 10_500}
        assert world.peers["gateway-0"].replica.catalog_version == 1
        declared = await client.request("queue.declare", **declare("one more", durable=True))
        await world.kill_catalog()
        topology = world.start_catalog().topology
        assert len(topology.vhosts["/"].queues) == 10_501
        assert max(topology.queue_ids()) == declared["queue_id"]

    run(scenario())


def test_a_large_change_is_applied_in_turns_and_others_wait_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topology.client, "OPS_PER_TURN", 10)

    async def scenario() -> None:
        world = await started(tmp_path)
        first, second = (world.peers[f"gateway-{index}"] for index in (0, 1))
        second.hold()
        importing = asyncio.ensure_future(
            first.client.request("import", document={"queues": [queue(f"q{n}") for n in range(105)]})
        )
        await promptly(lambda: len(second.held or ()) == 1)
        declaring = asyncio.ensure_future(first.client.request("queue.declare", **declare("behind")))
        await promptly(lambda: len(second.held or ()) == 2)
        second.let_go()
        await promptly(lambda: len(second.replica.queue_ids()) > 50)
        assert second.replica.catalog_version == 0 and not importing.done() and not declaring.done()
        async with asyncio.timeout(5):
            await importing
            await declaring
        for peer in world.peers.values():
            assert len(peer.replica.queue_ids()) == 106 and peer.replica.catalog_version == 2
            assert max(len(change["ops"]) for change in peer.seen[1:]) == 10

    run(scenario())


def test_a_new_snapshot_replaces_what_was_applied_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology.client, "OPS_PER_TURN", 10)

    async def scenario() -> None:
        world = await started(tmp_path)
        first, second = (world.peers[f"gateway-{index}"] for index in (0, 1))
        importing = asyncio.ensure_future(
            first.client.request("import", document={"queues": [queue(f"q{n}") for n in range(105)]})
        )
        await promptly(lambda: len(second.replica.queue_ids()) > 50)
        second.client.resynchronise()
        await importing
        await second.client.request("queue.declare", **declare("behind"))
        assert len(second.replica.queue_ids()) == 106
        seen = [(change["snapshot"], change["version"]) for change in second.seen]
        assert seen[-2:] == [(True, 1), (False, 2)]         # nothing more of the change that was left
        failing = iter([RuntimeError("a bug")])

        def on_change(change: dict[str, Any]) -> None:
            for error in failing:
                raise error

        second.client._on_change = on_change
        await first.client.request("import", document={"queues": [queue(f"r{n}") for n in range(105)]})
        assert len(second.replica.queue_ids()) == 211

    run(scenario())


def test_an_import_is_not_larger_than_the_catalog_can_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definitions, "OBJECTS_MAX", 3)

    async def scenario() -> None:
        world = await started(tmp_path)
        client = world.peers["gateway-0"].client
        await client.request("import", document={"queues": [queue(f"q{n}") for n in range(3)]})
        with pytest.raises(ControlError, match="have 4 objects, more than 3"):
            await client.request("import", document={"queues": [queue(f"q{n}") for n in range(4)]})

    run(scenario())


def test_one_vhost_out_and_into_another(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        client = world.peers["gateway-0"].client
        await client.request("import", document=everything())
        await client.request("vhost.add", name="copy")
        document = await client.request("export", vhost="shöp")
        await client.request("import", document=document, vhost="copy")
        replica = world.peers["gateway-1"].replica
        assert set(replica.vhosts["copy"].queues) == set(replica.vhosts["shöp"].queues)
        with pytest.raises(ControlError, match="missing the virtual host field"):
            await client.request("import", document=document)
        with pytest.raises(ControlError, match='create virtual host "nowhere" prior'):
            await client.request("import", document=document, vhost="nowhere")
        with pytest.raises(ControlError, match="vhost nowhere not found"):
            await client.request("export", vhost="nowhere")

    run(scenario())


# at the start

def load(world: World, path: Path | None, *, skip: bool = False) -> Catalog:
    """As the catalog process does when the broker starts; nobody has subscribed yet."""
    settings = {
        **SETTINGS, "load_definitions": str(path) if path else None, "definitions_skip_if_unchanged": skip,
    }
    store = open_store(world.data, world.runtime, settings)
    try:
        catalog = Catalog(store, shard_count=2, epoch=1, send=lambda *_: None, ask_shard=world.ask_shard)
        prepare(catalog, settings)
    finally:
        store.close()
    return catalog


def written(path: Path, document: object) -> Path:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_definitions_take_the_place_of_the_default_user_and_vhost(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = World(tmp_path)
        catalog = load(world, written(tmp_path / "defs.json", everything()))
        assert set(catalog.topology.users) == set(PASSWORDS)
        kept = world.start_catalog().topology
        assert set(kept.users) == set(PASSWORDS) and len(kept.queue_ids()) == 7
        await world.kill_catalog()
        again = load(world, tmp_path / "defs.json")
        assert set(again.topology.users) == set(PASSWORDS)
        assert again.topology.queue_ids() == kept.queue_ids()

    run(scenario())


def test_a_file_that_is_wrong_stops_the_start_and_a_later_one_without_it_has_the_defaults(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = World(tmp_path)
        for document, text in (
            ("hello", "not_json"), ({"bindings": [BINDING]}, 'bindings.0.: Please create virtual host "/"'),
            ({"queues": [{"name": "q"}]}, "missing the virtual host field"),
        ):
            with pytest.raises(StartError, match=rf"load_definitions: .*defs.json: .*{text}"):
                load(world, written(tmp_path / "defs.json", document))
        with pytest.raises(StartError, match=r"load_definitions: .*missing.json cannot be read: No such file"):
            load(world, tmp_path / "missing.json")
        catalog = load(world, None)
        assert set(catalog.topology.users) == {"guest"} and set(catalog.topology.vhosts) == {"/"}
        assert catalog.topology.permission("guest", "/") is not None

    run(scenario())


def test_all_files_of_a_directory_in_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = World(tmp_path)
        directory = tmp_path / "defs"
        directory.mkdir()
        written(directory / "2.json", {"queues": [queue("q")]})
        users = [{"name": "u", "password": "p", "tags": ""}]
        written(directory / "1.json", {"vhosts": [{"name": "/"}], "users": users})
        (directory / "sub").mkdir()
        catalog = load(world, directory)
        assert list(catalog.topology.vhosts["/"].queues) == ["q"] and catalog.topology.authenticate("u", "p")

    run(scenario())


def test_what_has_not_changed_is_skipped_on_request(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = World(tmp_path)
        file = written(tmp_path / "defs.json", {"users": [{"name": "u", "password": "p", "tags": ""}]})
        load(world, file)
        changed = sqlite3.connect(world.data / "catalog.db")
        changed.execute("UPDATE users SET tags = '[\"mine\"]'")
        changed.commit()
        changed.close()
        assert load(world, file, skip=True).topology.users["u"].tags == ("mine",)
        assert load(world, file).topology.users["u"].tags == ()
        written(file, {"users": [{"name": "u", "password": "p", "tags": "other"}]})
        assert load(world, file, skip=True).topology.users["u"].tags == ("other",)

    run(scenario())


def test_a_full_disk_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        assert world.catalog is not None

        def write(ops: object) -> None:
            raise StoreFull("full")

        monkeypatch.setattr(world.catalog.store, "write", write)
        with pytest.raises(StartError, match="the disk with the catalog is full"):
            load_definitions(
                world.catalog, written(tmp_path / "defs.json", everything()), skip_if_unchanged=False
            )

    run(scenario())
