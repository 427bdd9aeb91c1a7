"""Limits and metadata through the catalog: what is accepted, what is kept, and the limit of queues."""
import asyncio
from pathlib import Path

import pytest

from bus.control import ControlError
from tests.unit.catalog.world import declare, run, started


def test_limits_of_a_vhost_are_replaced_and_cleared(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        client, replica = world.peers["gateway-0"].client, world.peers["gateway-1"].replica
        await client.request("vhost_limits.set", vhost="/", limits={"max-queues": 3, "max-connections": -1})
        assert replica.vhosts["/"].limits == {"max-queues": 3, "max-connections": -1}
        await client.request("vhost_limits.set", vhost="/", limits={"max-connections": 2})
        assert replica.vhosts["/"].limits == {"max-connections": 2}
        await world.kill_catalog()
        assert world.start_catalog().topology.vhosts["/"].limits == {"max-connections": 2}
        world.restart_clients()
        client = world.peers["gateway-0"].client
        assert (await client.request("list", what="vhost-limits"))["items"] == [{"vhost": "/", "max-connections": 2}]
        assert await client.request("vhost_limits.clear", vhost="/") == {"deleted": True}
        assert await client.request("vhost_limits.clear", vhost="/") == {"deleted": False}
        assert (await client.request("list", what="vhost-limits"))["items"] == []

    run(scenario())


def test_limits_of_a_user_are_added_up_and_outlive_other_changes(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        client, replica = world.peers["gateway-0"].client, world.peers["gateway-1"].replica
        await client.request("user_limits.set", user="guest", limits={"max-channels": 3})
        await client.request("user_limits.set", user="guest", limits={"max-connections": 2})
        await client.request("user.set_tags", name="guest", tags=["x"])
        await client.request("user.change_password", name="guest", password="other")
        assert replica.users["guest"].limits == {"max-channels": 3, "max-connections": 2}
        await world.kill_catalog()
        assert world.start_catalog().topology.users["guest"].limits == {"max-channels": 3, "max-connections": 2}
        world.restart_clients()
        client = world.peers["gateway-0"].client
        assert await client.request("user_limits.clear", user="guest", limit="max-channels") == {"deleted": True}
        listed = await client.request("list", what="user-limits")
        assert listed["items"] == [{"user": "guest", "max-connections": 2}]
        assert await client.request("user_limits.clear", user="guest") == {"deleted": True}
        assert await client.request("user_limits.clear", user="guest") == {"deleted": False}

    run(scenario())


@pytest.mark.parametrize(
    ("verb", "fields", "text"),
    [
        ("vhost_limits.set", {"vhost": "/", "limits": {"max-x": 3}}, 'Unrecognised terms [{<<"max-x">>,3}] in limits'),
        (
            "vhost_limits.set", {"vhost": "/", "limits": {"max-connections": "foo"}},
            'max-connections should be a number, actually was <<"foo">>',
        ),
        ("vhost_limits.set", {"vhost": "/", "limits": {"max-queues": True}}, "should be a number, actually was true"),
        ("vhost_limits.set", {"vhost": "/", "limits": {"max-queues": 1.5}}, "should be a number, actually was 1.5"),
        ("vhost_limits.set", {"vhost": "/", "limits": {"max-queues": None}}, "should be a number, actually was null"),
        ("vhost_limits.set", {"vhost": "/", "limits": {"max-queues": 1 << 63}}, "out of range"),
        ("vhost_limits.set", {"vhost": "/", "limits": "many"}, 'limits not a list <<"many">>'),
        ("vhost_limits.set", {"vhost": "nowhere", "limits": {}}, "vhost nowhere not found"),
        (
            "user_limits.set", {"user": "guest", "limits": {"max-queues": 5}},
            'Unrecognised terms [{<<"max-queues">>,5}] in user-limits',
        ),
        ("user_limits.set", {"user": "nobody", "limits": {}}, "no user 'nobody'"),
        ("user_limits.clear", {"user": "nobody"}, "no user 'nobody'"),
        ("vhost.update", {"name": "/", "default_queue_type": "fast"}, "fast is not a valid queue type"),
        ("vhost.add", {"name": "v", "tags": 5}, "the tags of a vhost"),
        ("vhost.add", {"name": "v", "description": 5}, "the description of a vhost"),
    ],
)
def test_refusals(tmp_path: Path, verb: str, fields: dict[str, object], text: str) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        with pytest.raises(ControlError) as refusal:
            await world.peers["gateway-0"].client.request(verb, **fields)
        assert text in refusal.value.text

    run(scenario())


def test_the_limit_of_queues_is_exact_for_requests_at_the_same_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        client, other = world.peers["gateway-0"].client, world.peers["gateway-1"].client
        await client.request("vhost_limits.set", vhost="/", limits={"max-queues": 3})
        answers = await asyncio.gather(
            *((client, other)[n % 2].request("queue.declare", **declare(f"q{n}", durable=n < 2)) for n in range(8)),
            return_exceptions=True,
        )
        refused = [answer for answer in answers if isinstance(answer, ControlError)]
        assert len(refused) == 5 and world.catalog is not None
        assert all("queue limit in vhost '/' (3) is reached" in error.text for error in refused)
        name = next(iter(world.catalog.topology.vhosts["/"].queues))
        await client.request("queue.declare", **declare(name, durable=name in ("q0", "q1")))     # there already
        await client.request("queue.delete", vhost="/", name=name)
        await client.request("queue.declare", **declare("next"))
        await client.request("vhost_limits.set", vhost="/", limits={"max-queues": 0})
        with pytest.raises(ControlError, match=r"queue limit in vhost '/' \(0\) is reached"):
            await client.request("queue.declare", **declare("one more"))
        await client.request("vhost_limits.set", vhost="/", limits={"max-queues": -1})
        await client.request("queue.declare", **declare("one more"))

    run(scenario())


def test_metadata_of_a_vhost(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        client, replica = world.peers["gateway-0"].client, world.peers["gateway-1"].replica
        await client.request("vhost.add", name="v", description="shop", tags="a, b,a", default_queue_type="quorum")
        await client.request("queue.declare", **{**declare("kept"), "vhost": "v"})
        vhost = replica.vhosts["v"].vhost
        assert (vhost.description, vhost.tags, vhost.default_queue_type) == ("shop", ("a", "b"), "quorum")
        await client.request("vhost.update", name="v", description="", protected_from_deletion=True)
        with pytest.raises(ControlError, match="protected from deletion"):
            await client.request("vhost.delete", name="v")
        await world.kill_catalog()
        world.start_catalog()
        world.restart_clients()
        client, replica = world.peers["gateway-0"].client, world.peers["gateway-1"].replica
        await client.request("vhost.update", name="v", default_queue_type="", protected_from_deletion=False)
        vhost = replica.vhosts["v"].vhost
        assert (vhost.description, vhost.tags, vhost.default_queue_type) == ("", ("a", "b"), None)
        assert list(replica.vhosts["v"].queues) == ["kept"]
        assert (await client.request("vhost.delete", name="v"))["deleted"]

    run(scenario())


def test_the_default_type_is_given_to_durable_queues_that_name_none(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        client, queues = world.peers["gateway-0"].client, world.peers["gateway-0"].replica.vhosts["/"].queues
        await client.request("queue.declare", **declare("before", durable=True))
        await client.request("vhost.update", name="/", default_queue_type="quorum")
        await client.request("queue.declare", **declare("durable", durable=True))
        await client.request("queue.declare", **declare("transient"))
        await client.request("queue.declare", **declare("named", durable=True, arguments={"x-queue-type": "classic"}))
        types = {name: queue.arguments.get("x-queue-type") for name, queue in queues.items()}
        assert types == {"before": None, "durable": "quorum", "transient": "classic", "named": "classic"}
        for name in ("durable", "named"):
            arguments = {} if name == "durable" else {"x-queue-type": "classic"}
            again = await client.request("queue.declare", **declare(name, durable=True, arguments=arguments))
            assert not again["created"]
        with pytest.raises(ControlError, match="inequivalent arg 'x-queue-type' for queue 'before'"):
            await client.request("queue.declare", **declare("before", durable=True))

    run(scenario())
