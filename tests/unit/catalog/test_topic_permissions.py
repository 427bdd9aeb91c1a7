"""Topic permissions through the catalog: set, replaced, cleared, kept, known to every replica."""
from pathlib import Path

import pytest

from amqp091.errors import AccessRefused
from bus.control import ControlError
from tests.unit.catalog.world import exchange, run, started

FIELDS = {"user": "guest", "vhost": "/", "exchange": "t"}


def test_from_setting_to_clearing(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        client, replica = world.peers["gateway-0"].client, world.peers["gateway-1"].replica
        await client.request("topic_permissions.set", **FIELDS, write="^w", read="^r")      # before the exchange
        await client.request("exchange.declare", **exchange("t", "topic", durable=True))
        replica.check_topic_write("guest", "/", "t", "w1")
        replica.check_topic_read("guest", "/", "t", "r1")
        with pytest.raises(AccessRefused, match=r"^403 ACCESS_REFUSED - write access to topic 'r1' in exchange 't'"):
            replica.check_topic_write("guest", "/", "t", "r1")
        with pytest.raises(AccessRefused, match=r"read access to topic 'w1' in exchange 't' in vhost '/' refused for"):
            replica.check_topic_read("guest", "/", "t", "w1")
        await client.request("topic_permissions.set", **FIELDS, write=".*", read="^r")
        replica.check_topic_write("guest", "/", "t", "r1")
        await client.request("topic_permissions.set", **{**FIELDS, "exchange": "u"}, write="", read="")
        listed = await client.request("list", what="topic-permissions", vhost="/")
        assert [(item["exchange"], item["write"]) for item in listed["items"]] == [("t", ".*"), ("u", "")]
        await world.kill_catalog()
        kept = world.start_catalog().topology.vhosts["/"].topic_permissions
        assert {key: value.read for key, value in kept.items()} == {("guest", "t"): "^r", ("guest", "u"): ""}
        world.restart_clients()
        client = world.peers["gateway-0"].client
        assert await client.request("topic_permissions.clear", **FIELDS) == {"deleted": 1}
        assert await client.request("topic_permissions.clear", **FIELDS) == {"deleted": 0}
        await client.request("topic_permissions.set", **FIELDS, write="^w", read="^r")
        assert await client.request("topic_permissions.clear", user="guest", vhost="/") == {"deleted": 2}
        assert world.peers["gateway-1"].replica.vhosts["/"].topic_permissions == {}

    run(scenario())


@pytest.mark.parametrize("end", ["user.delete", "vhost.delete"])
def test_they_go_with_their_user_and_with_their_vhost(tmp_path: Path, end: str) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        client = world.peers["gateway-0"].client
        name = {"user.delete": "u", "vhost.delete": "v"}[end]
        await client.request("user.add", name="u", password="p")
        await client.request("vhost.add", name="v")
        await client.request("topic_permissions.set", user="u", vhost="v", exchange="t", write="", read="")
        await client.request(end, name=name)
        await client.request("user.add", name="u", password="p")
        await client.request("vhost.add", name="v")
        assert world.peers["gateway-1"].replica.vhosts["v"].topic_permissions == {}
        await world.kill_catalog()
        assert world.start_catalog().topology.vhosts["v"].topic_permissions == {}

    run(scenario())


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"user": "nobody"}, 404),
        ({"vhost": "nowhere"}, 530),
        ({"write": "("}, 406),
        ({"read": None}, 406),
        ({"exchange": "e" * 256}, 406),
        ({"exchange": 7}, 406),
    ],
)
def test_refusals(tmp_path: Path, fields: dict[str, object], code: int) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        with pytest.raises(ControlError) as refusal:
            await world.peers["gateway-0"].client.request(
                "topic_permissions.set", **{**FIELDS, "write": "", "read": "", **fields}
            )
        assert refusal.value.code == code

    run(scenario())
