"""Users, passwords, tags and permissions through the catalog."""
from pathlib import Path

import pytest

from bus.control import ControlError
from tests.unit.catalog.world import run, started
from topology.passwords import hash_password


def test_a_user_from_beginning_to_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        client, replica = world.peers["gateway-0"].client, world.peers["gateway-1"].replica
        for created in (True, False):
            answer = await client.request("user.add", name="u", password="p", tags=["monitoring"])
            assert answer == {"created": created}
        user = replica.authenticate("u", "p")
        assert user is not None and user.tags == ("monitoring",)
        assert not replica.has_access("u", "/")
        await client.request("permissions.set", user="u", vhost="/", configure="", write="^w", read=".*")
        assert replica.has_access("u", "/")
        assert replica.permitted("u", "/", "write", "w1")
        assert not replica.permitted("u", "/", "configure", "w1")
        await client.request("user.change_password", name="u", password="q")
        assert replica.authenticate("u", "p") is None and replica.authenticate("u", "q") is not None
        await client.request("user.set_tags", name="u", tags=[])
        assert replica.users["u"].tags == () and replica.authenticate("u", "q") is not None
        await client.request("permissions.clear", user="u", vhost="/")
        assert not replica.has_access("u", "/") and not replica.permitted("u", "/", "write", "w1")
        await client.request("permissions.set", user="u", vhost="/", configure="", write="", read="")
        assert (await client.request("user.delete", name="u"))["deleted"]
        assert not (await client.request("user.delete", name="u"))["deleted"]
        assert replica.authenticate("u", "q") is None and not replica.has_access("u", "/")
        await world.kill_catalog()
        topology = world.start_catalog().topology
        assert list(topology.users) == ["guest"] and list(topology.vhosts["/"].permissions) == ["guest"]

    run(scenario())


def test_a_user_with_a_hash_of_rabbitmq(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        client, replica = world.peers["gateway-0"].client, world.peers["gateway-0"].replica
        algorithm = "rabbit_password_hashing_sha512"
        await client.request(
            "user.add", name="u", password_hash=hash_password("p", algorithm), hashing_algorithm=algorithm
        )
        assert replica.authenticate("u", "p") is not None
        with pytest.raises(ControlError, match="not a password hash"):
            await client.request("user.add", name="v", password_hash="short", hashing_algorithm=algorithm)

    run(scenario())


@pytest.mark.parametrize(
    ("verb", "fields", "code"),
    [
        ("user.add", {"name": "guest", "password": "other"}, 406),
        ("user.add", {"name": "", "password": "p"}, 406),
        ("user.add", {"name": "n" * 256, "password": "p"}, 406),
        ("user.add", {"name": "u", "password": ""}, 406),
        ("user.add", {"name": "u", "password": "p", "tags": "admin"}, 406),
        ("user.change_password", {"name": "nobody", "password": "p"}, 404),
        ("user.set_tags", {"name": "nobody", "tags": []}, 404),
        ("permissions.set", {"user": "nobody", "vhost": "/", "configure": "", "write": "", "read": ""}, 404),
        ("permissions.set", {"user": "guest", "vhost": "x", "configure": "", "write": "", "read": ""}, 530),
        ("permissions.set", {"user": "guest", "vhost": "/", "configure": "(", "write": "", "read": ""}, 406),
        ("vhost.add", {"name": ""}, 406),
        ("no.such.verb", {}, 503),
    ],
)
def test_refusals(tmp_path: Path, verb: str, fields: dict[str, object], code: int) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        with pytest.raises(ControlError) as refusal:
            await world.peers["gateway-0"].client.request(verb, **fields)
        assert refusal.value.code == code

    run(scenario())
