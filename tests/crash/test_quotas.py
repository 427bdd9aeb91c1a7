"""Limits over all gateways stay exact when a gateway or the catalog is killed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.client import Client, connect
from tests.harness.methods import Channel
from tests.harness.warren import Warren, wait_until

CONNECTIONS = 8
CHANNELS = 12
VHOST_FULL = f"connection limit ({CONNECTIONS}) is reached"
CHANNELS_FULL = f"has reached the maximum allowed user limit of ({CHANNELS})"


@pytest.fixture(scope="module")
def warren(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warren]:
    """One broker for all tests of this file: each leaves it whole."""
    server = Warren(tmp_path_factory.mktemp("quotas"), gateways=2, shards=1)
    server.start()
    server.command("set-vhost-limits", f'{{"max-connections": {CONNECTIONS}}}')
    server.command("set-user-limits", "guest", f'{{"max-channels": {CHANNELS}}}')
    yield server
    server.kill_all()


@pytest.fixture
def clients(warren: Warren) -> Iterator[list[Client]]:
    """As many as there may be, over both gateways; the channels that are allowed are shared out among them."""
    opened = fill(warren, [])
    for number in range(CHANNELS):
        opened[number % CONNECTIONS].channel(1 + number // CONNECTIONS)
    yield opened
    for client in opened:
        client.drop()


def fill(warren: Warren, clients: list[Client]) -> list[Client]:
    """Opens what may still be opened."""
    while len(clients) < CONNECTIONS:
        clients.append(wait_until(lambda: attempt(warren), "a place"))
    return clients


def attempt(warren: Warren) -> Client | None:
    """A client, or None where it was refused because of the limit."""
    client = Client(warren.endpoint)
    try:
        return client.handshake()
    except AssertionError as refusal:
        assert VHOST_FULL in str(refusal)
        client.drop()
        return None


def check_full(warren: Warren, clients: list[Client]) -> None:
    """Neither a connection nor a channel more."""
    for _ in range(4):
        assert attempt(warren) is None
    victim = clients.pop()
    victim.send(99, Channel.Open())
    victim.expect_connection_error(530, CHANNELS_FULL)
    clients.append(connect(warren.endpoint))


def channels_of(clients: list[Client], client: Client) -> int:
    """How many the fixture has opened."""
    position = clients.index(client)
    return sum(number % CONNECTIONS == position for number in range(CHANNELS))


def gateways_of(warren: Warren, clients: list[Client]) -> dict[int, list[Client]]:
    by_name = {row["name"].split(" ")[0]: int(row["gateway"]) for row in warren.listing("connections")}
    found: dict[int, list[Client]] = {0: [], 1: []}
    for client in clients:
        host, port = client.socket.getsockname()
        found[by_name[f"{host}:{port}"]].append(client)
    return found


def test_the_places_of_a_dead_gateway_are_free_and_no_others(warren: Warren, clients: list[Client]) -> None:
    by_gateway = gateways_of(warren, clients)
    victim = max(by_gateway, key=lambda gateway: len(by_gateway[gateway]))
    dead, alive = by_gateway[victim], by_gateway[1 - victim]
    pid = warren.kill("gateway", victim)
    for client in dead:
        client.expect_end()
    warren.wait_back("gateway", victim, pid)
    held = sum(channels_of(clients, client) for client in alive)
    newcomers = fill(warren, list(alive))[len(alive):]
    assert attempt(warren) is None
    for number in range(CHANNELS - held):
        newcomers[number % len(newcomers)].channel(1 + number // len(newcomers))
    clients[:] = alive + newcomers
    check_full(warren, clients)
    for client in dead:
        client.drop()


def test_a_catalog_that_comes_back_knows_what_counts(warren: Warren, clients: list[Client]) -> None:
    pid = warren.kill("catalog")
    waiting = Client(warren.endpoint)
    with pytest.raises(AssertionError, match="connection limit"):
        waiting.handshake()                 # decided by the next catalog, once it has heard of all the others
    waiting.drop()
    warren.wait_back("catalog", 0, pid)
    check_full(warren, clients)
    clients.pop().close()
    clients.append(connect(warren.endpoint))
    assert attempt(warren) is None


def test_both_at_once(warren: Warren, clients: list[Client]) -> None:
    by_gateway = gateways_of(warren, clients)
    pids = {("catalog", 0): warren.pid("catalog"), ("gateway", 1): warren.pid("gateway", 1)}
    for role, index in pids:
        warren.kill(role, index)
    for client in by_gateway[1]:
        client.expect_end()
        client.drop()
    for (role, index), pid in pids.items():
        warren.wait_back(role, index, pid)
    clients[:] = fill(warren, by_gateway[0])
    assert attempt(warren) is None
