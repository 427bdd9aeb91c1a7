"""What is limited over all gateways: exact for requests at the same time, and through the death of either side."""
import asyncio
from pathlib import Path

import pytest

from bus.control import ControlError
from tests.unit.catalog.world import World, run, started, turns

VHOST_FULL = r"access to vhost '/' refused for user 'guest': connection limit \(2\) is reached"
USER_FULL = r"connection refused for user 'guest': user connection limit \(2\) is reached"
CHANNELS_FULL = r"number of channels opened for user 'guest' has reached the maximum allowed user limit of \(2\)"


def opened(gateway: int, number: int, incarnation: int = 1) -> dict[str, object]:
    return {"owner": f"g{gateway}.{incarnation}.{number}", "user": "guest", "vhost": "/"}


async def limited(tmp_path: Path, *, of_user: bool = False) -> World:
    world = await started(tmp_path)
    client = world.peers["gateway-0"].client
    if of_user:
        await client.request("user_limits.set", user="guest", limits={"max-connections": 2, "max-channels": 2})
    else:
        await client.request("vhost_limits.set", vhost="/", limits={"max-connections": 2})
    return world


@pytest.mark.parametrize("of_user", [False, True])
def test_exact_however_many_ask_at_once(tmp_path: Path, of_user: bool) -> None:
    async def scenario() -> None:
        world = await limited(tmp_path, of_user=of_user)
        clients = [world.peers[f"gateway-{index}"].client for index in (0, 1)]
        answers = await asyncio.gather(
            *(clients[n % 2].request("connection.open", **opened(n % 2, n)) for n in range(6)), return_exceptions=True
        )
        assert [isinstance(answer, ControlError) for answer in answers].count(True) == 4
        with pytest.raises(ControlError, match=USER_FULL if of_user else VHOST_FULL) as refusal:
            await clients[0].request("connection.open", **opened(0, 9))
        assert refusal.value.code == 530
        for n, answer in enumerate(answers):
            if not isinstance(answer, ControlError):
                await clients[n % 2].request("connection.open", **opened(n % 2, n))    # asked again: it is in already
        first = next(n for n, answer in enumerate(answers) if not isinstance(answer, ControlError))
        await clients[first % 2].request("connection.closed", owner=opened(first % 2, first)["owner"])
        await clients[first % 2].request("connection.closed", owner=opened(first % 2, first)["owner"])
        await clients[0].request("connection.open", **opened(0, 9))
        with pytest.raises(ControlError):
            await clients[0].request("connection.open", **opened(0, 10))

    run(scenario())


def test_channels(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await limited(tmp_path, of_user=True)
        first, second = (world.peers[f"gateway-{index}"].client for index in (0, 1))
        for _ in range(2):
            await first.request("channel.open", **opened(0, 1), number=1)
        await second.request("channel.open", **opened(1, 1), number=1)
        for client, gateway in ((first, 0), (second, 1)):
            with pytest.raises(ControlError, match=CHANNELS_FULL) as refusal:
                await client.request("channel.open", **opened(gateway, 1), number=2)
            assert refusal.value.code == 530
        for _ in range(2):
            await second.request("channel.closed", owner="g1.1.1", number=1)
        await first.request("channel.open", **opened(0, 1), number=2)
        await first.request("connection.closed", owner="g0.1.1")                # with both of its channels
        await second.request("channel.open", **opened(1, 1), number=5)
        await second.request("channel.open", **opened(1, 1), number=6)

    run(scenario())


def test_zero_allows_nothing_and_less_is_no_limit(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        client = world.peers["gateway-0"].client
        await client.request("vhost_limits.set", vhost="/", limits={"max-connections": 0})
        with pytest.raises(ControlError, match=r"connection limit \(0\) is reached"):
            await client.request("connection.open", **opened(0, 1))
        await client.request("vhost_limits.set", vhost="/", limits={"max-connections": -1})
        await client.request("user_limits.set", user="guest", limits={"max-connections": 0, "max-channels": 0})
        with pytest.raises(ControlError, match=r"user connection limit \(0\) is reached"):
            await client.request("connection.open", **opened(0, 1))
        with pytest.raises(ControlError, match=r"user limit of \(0\)"):
            await client.request("channel.open", **opened(0, 1), number=1)
        await client.request("user_limits.clear", user="guest")
        for number in range(5):
            await client.request("connection.open", **opened(0, number))

    run(scenario())


def test_the_connections_of_a_dead_gateway_count_no_more(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await limited(tmp_path)
        client = world.peers["gateway-1"].client
        await client.request("connection.open", **opened(1, 1))
        await world.peers["gateway-0"].client.request("connection.open", **opened(0, 1))
        await world.kill("gateway-0")
        await client.request("connection.open", **opened(1, 2))
        with pytest.raises(ControlError, match="is gone"):
            await client.request("connection.open", **opened(0, 2))             # late word of the dead one
        client.push("usage.report", connections=[["g0.1.1", "guest", "/", []]])
        await turns()
        with pytest.raises(ControlError, match=VHOST_FULL):
            await client.request("connection.open", **opened(1, 3))
        await world.start("gateway-0")
        await client.request("connection.closed", owner="g1.1.2")
        await world.peers["gateway-0"].client.request("connection.open", **opened(0, 1, incarnation=2))

    run(scenario())


def test_what_was_open_before_the_limit_counts_once_it_is_set(tmp_path: Path) -> None:
    """A gateway reports ahead of its word that it has applied the change, so the answer to the setting waits for it."""

    async def scenario() -> None:
        world = await started(tmp_path)
        peer, client = world.peers["gateway-1"], world.peers["gateway-0"].client
        peer.client._on_change = lambda change: peer.client.push(
            "usage.report", connections=[["g1.1.1", "guest", "/", [1]], ["g1.1.2", "guest", "/", []]]
        )
        peer.hold()
        setting = asyncio.ensure_future(client.request("vhost_limits.set", vhost="/", limits={"max-connections": 2}))
        asking = asyncio.ensure_future(client.request("connection.open", **opened(0, 1)))
        await turns()
        assert not setting.done() and not asking.done()
        peer.let_go()
        await setting
        with pytest.raises(ControlError, match=VHOST_FULL):
            await asking

    run(scenario())


def test_a_restarted_catalog_decides_once_every_gateway_has_reported(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await limited(tmp_path)
        for index in (0, 1):
            await world.peers[f"gateway-{index}"].client.request("connection.open", **opened(index, 1))
        await world.kill_catalog()
        catalog = world.start_catalog()
        catalog.usage.expect(["gateway-0", "gateway-1"])
        for index in (0, 1):
            peer = world.peers[f"gateway-{index}"]
            peer.client._on_change = lambda change, peer=peer, index=index: peer.client.push(
                "usage.report", connections=[[f"g{index}.1.1", "guest", "/", []]]
            )
            world.peers[f"shard-{index}"].client.catalog_restarted()
        world.peers["gateway-0"].client.catalog_restarted()
        asking = asyncio.ensure_future(world.peers["gateway-0"].client.request("connection.open", **opened(0, 2)))
        await turns()
        assert not asking.done()
        world.peers["gateway-1"].client.catalog_restarted()
        with pytest.raises(ControlError, match=VHOST_FULL):
            await asking

    run(scenario())


def test_a_restarted_catalog_does_not_wait_for_a_gateway_that_is_gone(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await limited(tmp_path)
        await world.kill_catalog()
        catalog = world.start_catalog()
        catalog.usage.expect(["gateway-0", "gateway-1", "gateway-2"])
        world.restart_clients()
        asking = asyncio.ensure_future(world.peers["gateway-0"].client.request("connection.open", **opened(0, 2)))
        await turns()
        assert not asking.done()
        await world.kill("gateway-1")
        catalog.usage.expect_no_longer()
        await asking

    run(scenario())
