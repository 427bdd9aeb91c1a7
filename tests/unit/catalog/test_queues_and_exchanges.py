"""The verbs for queues, exchanges and bindings, as a gateway asks them."""
import itertools
from pathlib import Path

import pytest

from bus.control import ControlError
from tests.unit.catalog.world import World, bound, declare, exchange, passed_on, run, started


def test_a_declared_queue_is_known_everywhere_when_the_answer_comes(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        answer = await world.peers["gateway-0"].client.request("queue.declare", **declare("q", durable=True))
        assert answer["created"]
        for peer in world.peers.values():
            queue = peer.replica.queue("/", "q")
            assert queue is not None and (queue.queue_id, queue.shard) == (answer["queue_id"], answer["shard"])
        assert peer.replica.route("/", "", "q").queues == [peer.replica.queue("/", "q")]

    run(scenario())


def test_declaring_again_finds_the_same_queue(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        gateway = world.peers["gateway-0"].client
        first = await gateway.request("queue.declare", **declare("q"))
        again = await gateway.request("queue.declare", **declare("q"))
        assert again == {**first, "created": False}

    run(scenario())


def test_a_queue_that_deduplicates_takes_two_ids(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        gateway = world.peers["gateway-0"].client
        ids = []
        for number in range(1030):      # beyond the ids that are reserved at once
            arguments = {"x-message-deduplication": number % 2 == 1}
            answer = await gateway.request("queue.declare", **declare(f"q{number}", durable=True, arguments=arguments))
            ids.append(answer["queue_id"])
        assert [later - earlier for earlier, later in itertools.pairwise(ids)] == [1, 2] * 514 + [1]
        await world.kill_catalog()
        world.start_catalog()
        world.restart_clients()
        answer = await gateway.request("queue.declare", **declare("after", durable=True))
        assert answer["queue_id"] > ids[-1] + 1

    run(scenario())


@pytest.mark.parametrize(
    ("fields", "code", "text"),
    [
        ({"durable": True}, 406, "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current"),
        ({"exclusive": True}, 405, "cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could"),
        ({"arguments": {"x-max-length": 5}}, 406, "received the value '5' of type 'signedint' but current is none"),
    ],
)
def test_a_different_declaration_is_refused(tmp_path: Path, fields: dict[str, object], code: int, text: str) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        gateway = world.peers["gateway-0"].client
        await gateway.request("queue.declare", **declare("q"))
        with pytest.raises(ControlError) as refusal:
            await gateway.request("queue.declare", **declare("q", **fields))
        assert refusal.value.code == code and text in refusal.value.text

    run(scenario())


def test_bad_arguments_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        gateway = world.peers["gateway-0"]
        with pytest.raises(ControlError, match=r"\{value_negative,-1\}"):
            await gateway.client.request("queue.declare", **declare("q", arguments={"x-max-length": -1}))
        assert gateway.replica.queue("/", "q") is None

    run(scenario())


def test_a_missing_vhost_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        with pytest.raises(ControlError, match="vhost nowhere not found"):
            await world.peers["gateway-0"].client.request("queue.declare", **declare("q", vhost="nowhere"))

    run(scenario())


def test_delete_returns_the_ready_messages_and_is_idempotent(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        gateway = world.peers["gateway-0"]
        answer = await gateway.client.request("queue.declare", **declare("q"))
        world.counts[answer["queue_id"]] = {"message_count": 7, "consumers": 1}
        for condition in ("if_unused", "if_empty"):
            with pytest.raises(ControlError) as refusal:
                await gateway.client.request("queue.delete", vhost="/", name="q", **{condition: True})
            assert refusal.value.code == 406
        assert await gateway.client.request("queue.delete", vhost="/", name="q") == {"message_count": 7}
        assert all(peer.replica.queue("/", "q") is None for peer in world.peers.values())
        assert await gateway.client.request("queue.delete", vhost="/", name="q") == {"message_count": 0}

    run(scenario())


def test_an_unused_auto_delete_queue_goes_and_others_stay(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        gateway, shard = world.peers["gateway-0"], world.peers["shard-0"]
        temporary = await gateway.client.request("queue.declare", **declare("temporary", auto_delete=True))
        lasting = await gateway.client.request("queue.declare", **declare("lasting"))
        assert (await shard.client.request("queue.unused", queue_id=temporary["queue_id"]))["deleted"]
        assert not (await shard.client.request("queue.unused", queue_id=lasting["queue_id"]))["deleted"]
        assert not (await shard.client.request("queue.unused", queue_id=temporary["queue_id"]))["deleted"]
        assert gateway.replica.queue("/", "temporary") is None
        assert gateway.replica.queue("/", "lasting") is not None

    run(scenario())


def test_bindings_are_idempotent_both_ways(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        gateway = world.peers["gateway-0"]
        await gateway.client.request("queue.declare", **declare("q"))
        for created in (True, False):
            answer = await gateway.client.request("queue.bind", **bound("q", "amq.topic", "a.#"))
            assert answer == {"created": created}
        assert len(gateway.replica.route("/", "amq.topic", "a.b").queues) == 1
        for deleted in (True, False):
            answer = await gateway.client.request("queue.unbind", **bound("q", "amq.topic", "a.#"))
            assert answer == {"deleted": deleted}
        assert await gateway.client.request("queue.unbind", **bound("nowhere", "amq.topic")) == {"deleted": False}

    run(scenario())


@pytest.mark.parametrize(
    ("verb", "fields", "code", "text"),
    [
        ("queue.bind", bound("q", "nowhere"), 404, "no exchange 'nowhere' in vhost '/'"),
        ("queue.bind", bound("nowhere", "amq.topic"), 404, "no queue 'nowhere' in vhost '/'"),
        ("queue.bind", bound("q", ""), 403, "operation not permitted on the default exchange"),
        ("queue.unbind", bound("q", ""), 403, "operation not permitted on the default exchange"),
        ("exchange.bind", passed_on("amq.topic", ""), 403, "operation not permitted on the default exchange"),
        ("queue.bind", bound("q", "amq.headers", **{"x-match": "some"}), 406, "Invalid x-match field value"),
        ("exchange.declare", exchange("amq.mine"), 403, "exchange name 'amq.mine' contains reserved prefix 'amq.*'"),
        ("exchange.declare", exchange("x", "magic"), 406, "unknown exchange type 'magic'"),
        ("exchange.delete", {"vhost": "/", "name": "amq.topic"}, 403, "deletion of system exchange 'amq.topic' in"),
        ("exchange.delete", {"vhost": "/", "name": ""}, 403, "operation not permitted on the default exchange"),
    ],
)
def test_what_cannot_be_done(tmp_path: Path, verb: str, fields: dict[str, object], code: int, text: str) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        gateway = world.peers["gateway-0"].client
        await gateway.request("queue.declare", **declare("q"))
        with pytest.raises(ControlError) as refusal:
            await gateway.request(verb, **fields)
        assert refusal.value.code == code and text in refusal.value.text

    run(scenario())


def test_an_exchange_in_use_is_not_deleted_if_unused(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        gateway = world.peers["gateway-0"]
        await gateway.client.request("exchange.declare", **exchange("x", "fanout"))
        await gateway.client.request("exchange.declare", **exchange("y", "fanout"))
        await gateway.client.request("exchange.bind", **passed_on("x", "y"))
        with pytest.raises(ControlError, match="exchange 'x' in vhost '/' in use"):
            await gateway.client.request("exchange.delete", vhost="/", name="x", if_unused=True)
        assert (await gateway.client.request("exchange.delete", vhost="/", name="y", if_unused=True))["deleted"]
        assert (await gateway.client.request("exchange.delete", vhost="/", name="x", if_unused=True))["deleted"]
        assert not (await gateway.client.request("exchange.delete", vhost="/", name="x"))["deleted"]

    run(scenario())


async def auto_delete_chain(world: World) -> None:
    """x to y to q: both exchanges auto-delete, y durable."""
    gateway = world.peers["gateway-0"].client
    await gateway.request("queue.declare", **declare("q"))
    await gateway.request("exchange.declare", **exchange("x", "fanout", auto_delete=True))
    await gateway.request("exchange.declare", **exchange("y", "fanout", auto_delete=True, durable=True))
    await gateway.request("exchange.bind", **passed_on("x", "y"))
    await gateway.request("queue.bind", **bound("q", "y", "first"))
    await gateway.request("queue.bind", **bound("q", "y", "second"))


def test_auto_delete_exchanges_go_with_their_last_binding_and_take_others_along(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        await auto_delete_chain(world)
        gateway = world.peers["gateway-0"]
        await gateway.client.request("queue.unbind", **bound("q", "y", "first"))
        assert gateway.replica.exchange("/", "y") is not None
        await gateway.client.request("queue.unbind", **bound("q", "y", "second"))
        for peer in world.peers.values():
            assert peer.replica.exchange("/", "y") is None
            assert peer.replica.exchange("/", "x") is None

    run(scenario())


def test_auto_delete_exchanges_go_with_the_queue(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        await auto_delete_chain(world)
        gateway = world.peers["gateway-1"]
        await gateway.client.request("queue.delete", vhost="/", name="q")
        assert gateway.replica.exchange("/", "y") is None
        assert gateway.replica.exchange("/", "x") is None

    run(scenario())


def test_an_auto_delete_exchange_without_any_binding_yet_stays(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        gateway = world.peers["gateway-0"]
        await gateway.client.request("exchange.declare", **exchange("x", auto_delete=True))
        await gateway.client.request("queue.declare", **declare("q"))
        await gateway.client.request("queue.unbind", **bound("q", "x"))
        await gateway.client.request("queue.delete", vhost="/", name="q")
        assert gateway.replica.exchange("/", "x") is not None

    run(scenario())


def test_a_closed_connection_takes_its_exclusive_queues_along(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        gateway = world.peers["gateway-0"]
        await gateway.client.request("queue.declare", **declare("mine", exclusive=True, owner="g0.1.1", durable=True))
        await gateway.client.request("queue.declare", **declare("other", exclusive=True, owner="g0.1.2"))
        queue = gateway.replica.queue("/", "mine")
        assert queue is not None and not queue.durable
        assert (await gateway.client.request("connection.closed", owner="g0.1.1"))["deleted"] == 1
        assert (await gateway.client.request("connection.closed", owner="g0.1.1"))["deleted"] == 0
        assert gateway.replica.queue("/", "mine") is None
        assert gateway.replica.queue("/", "other") is not None

    run(scenario())


def test_a_deleted_vhost_takes_everything_in_it_along(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        gateway = world.peers["gateway-0"]
        assert (await gateway.client.request("vhost.add", name="v"))["created"]
        assert not (await gateway.client.request("vhost.add", name="v"))["created"]
        assert gateway.replica.exchange("v", "amq.rabbitmq.trace") is not None
        await gateway.client.request(
            "permissions.set", user="guest", vhost="v", configure=".*", write=".*", read=".*"
        )
        await gateway.client.request("queue.declare", **declare("q", vhost="v", durable=True))
        await gateway.client.request("queue.bind", **{**bound("q", "amq.fanout"), "vhost": "v"})
        assert (await gateway.client.request("vhost.delete", name="v"))["deleted"]
        for peer in world.peers.values():
            assert peer.replica.vhost("v") is None
            assert not list(peer.replica.queues())
            assert not peer.replica.permitted("guest", "v", "read", "q")
            deleted = [op for change in peer.seen for op in change["ops"] if op["op"] == "queue.delete"]
            assert len(deleted) == 1
        await world.kill_catalog()
        catalog = world.start_catalog()
        assert list(catalog.topology.vhosts) == ["/"] and not list(catalog.topology.queues())

    run(scenario())


def test_many_declarations_at_once_share_commits(tmp_path: Path) -> None:
    async def scenario() -> None:
        import asyncio

        world = await started(tmp_path)
        gateway = world.peers["gateway-0"]
        before = gateway.replica.catalog_version
        answers = await asyncio.gather(
            *(gateway.client.request("queue.declare", **declare(f"q{n}", durable=True)) for n in range(300))
        )
        assert len({answer["queue_id"] for answer in answers}) == 300
        assert {answer["shard"] for answer in answers} == {0, 1}
        assert gateway.replica.catalog_version - before < 30

    run(scenario())


def test_list_and_export(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        gateway = world.peers["gateway-0"].client
        await gateway.request("queue.declare", **declare("q", durable=True, arguments={"x-max-length": 9}))
        await gateway.request("queue.declare", **declare("mine", exclusive=True))
        await gateway.request("exchange.declare", **exchange("x", durable=True))
        await gateway.request("queue.bind", **bound("q", "x", "k"))
        queues = (await gateway.request("list", what="queues"))["items"]
        assert {queue["name"] for queue in queues} == {"q", "mine"}
        assert len((await gateway.request("list", what="exchanges", vhost="/"))["items"]) == 8
        bindings = (await gateway.request("list", what="bindings"))["items"]
        assert sorted(one["source"] for one in bindings) == ["", "", "x"]
        assert (await gateway.request("list", what="users"))["items"] == [
            {"name": "guest", "tags": ["administrator"]}
        ]
        assert (await gateway.request("list", what="permissions"))["items"][0]["configure"] == ".*"
        assert (await gateway.request("list", what="vhosts"))["items"][0]["name"] == "/"
        with pytest.raises(ControlError, match="cannot list 'secrets'"):
            await gateway.request("list", what="secrets")
        exported = await gateway.request("export")
        assert [queue["name"] for queue in exported["queues"]] == ["q"]
        assert exported["queues"][0]["arguments"] == {"x-max-length": 9}
        assert [one["name"] for one in exported["exchanges"]] == ["x"]
        assert exported["users"][0]["hashing_algorithm"] == "rabbit_password_hashing_sha256"

    run(scenario())
