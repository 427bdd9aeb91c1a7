"""Limits over all gateways: when the catalog is asked, and what it is told."""
import asyncio
from dataclasses import replace
from typing import Any

from amqp091.method_table import (
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ChannelOpenOk,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionTuneOk,
    QueueDeclare,
)
from bus.control import ControlError
from tests.unit.gateway.bench import Bench, Client, scenario, turn
from topology import changes

ABOUT_USAGE = ("connection.open", "connection.closed", "channel.open", "channel.closed")


def limit_vhost(bench: Bench, **limits: int) -> None:
    bench.catalog.apply(changes.parameter_set("/", "vhost-limits", "limits", named(limits)))


def limit_user(bench: Bench, name: str = "guest", **limits: int) -> None:
    bench.catalog.apply(changes.user_add(replace(bench.replica.users[name], limits=named(limits))))


def named(limits: dict[str, int]) -> dict[str, int]:
    return {key.replace("_", "-"): value for key, value in limits.items()}


def asked(bench: Bench) -> list[tuple[str, dict[str, Any]]]:
    return [(verb, fields) for verb, fields in bench.catalog.asked if verb in ABOUT_USAGE]


def at_the_door(bench: Bench, user: str = "guest") -> Client:
    """A client that has logged in, and asks for the vhost next."""
    client = bench.client()
    client.log_in(user)
    client.send(0, ConnectionTuneOk(2047, 131072, 0))
    client.methods()
    return client


@scenario
async def test_without_a_limit_nobody_is_asked_or_told(bench: Bench) -> None:
    limit_vhost(bench, max_connections=-1, max_queues=5)
    limit_user(bench, max_connections=-1, max_channels=-1)
    client = await bench.opened()
    await client.call(1, ChannelClose(200, "bye"))
    await client.call(0, ConnectionClose(200, "bye"))
    assert asked(bench) == [] and bench.catalog.pushed == []


@scenario
async def test_a_connection_that_counts_is_asked_for_and_told_of_before_close_ok(bench: Bench) -> None:
    limit_vhost(bench, max_connections=1)
    client = at_the_door(bench)
    bench.catalog.gate = asyncio.Event()
    assert await client.call(0, ConnectionOpen("/")) == []
    client.send(1, ChannelOpen())
    await turn()
    assert client.methods() == []                   # input waits
    bench.catalog.gate.set()
    await turn()
    assert client.methods() == [(0, ConnectionOpenOk()), (1, ChannelOpenOk())]
    owner = client.connection.id
    assert asked(bench) == [("connection.open", {"owner": owner, "user": "guest", "vhost": "/"})]
    bench.catalog.gate = asyncio.Event()
    assert await client.call(0, ConnectionClose(200, "bye")) == []
    bench.catalog.gate.set()
    await turn()
    assert client.methods() == [(0, ConnectionCloseOk())]
    assert asked(bench)[1:] == [("connection.closed", {"owner": owner})]


@scenario
async def test_a_refusal_closes_the_connection(bench: Bench) -> None:
    limit_user(bench, max_connections=1)
    bench.catalog.refusals["connection.open"] = ControlError(530, "connection refused for user 'guest': full")
    client = at_the_door(bench)
    assert await client.call(0, ConnectionOpen("/")) == [
        (0, ConnectionClose(530, "NOT_ALLOWED - connection refused for user 'guest': full", 10, 40))
    ]
    assert [verb for verb, _ in asked(bench)] == ["connection.open", "connection.closed"]


@scenario
async def test_who_has_no_access_takes_no_place(bench: Bench) -> None:
    limit_vhost(bench, max_connections=1)
    [(_, close)] = await at_the_door(bench, "stranger").call(0, ConnectionOpen("/"))
    assert close.reply_text == "NOT_ALLOWED - access to vhost '/' refused for user 'stranger'"
    assert asked(bench) == []


@scenario
async def test_a_client_that_goes_while_the_catalog_is_asked_gives_its_place_back(bench: Bench) -> None:
    limit_vhost(bench, max_connections=1)
    client = at_the_door(bench)
    bench.catalog.gate = asyncio.Event()
    client.send(0, ConnectionOpen("/"))
    await turn()
    client.connection.on_wire_lost()
    bench.catalog.gate.set()
    await turn()
    assert [verb for verb, _ in asked(bench)] == ["connection.open", "connection.closed"]
    assert client.methods() == [] and not bench.gateway.connections


@scenario
async def test_rights_that_go_while_the_catalog_is_asked_count(bench: Bench) -> None:
    limit_vhost(bench, max_connections=1)
    client = at_the_door(bench)
    bench.catalog.gate = asyncio.Event()
    client.send(0, ConnectionOpen("/"))
    await turn()
    bench.catalog.apply(changes.permission_clear("guest", "/"))
    bench.catalog.gate.set()
    await turn()
    [(_, close)] = client.methods()
    assert close.reply_text == "NOT_ALLOWED - access to vhost '/' refused for user 'guest'"
    assert asked(bench)[-1][0] == "connection.closed"


@scenario
async def test_channels_of_a_limited_user(bench: Bench) -> None:
    limit_user(bench, max_channels=2)
    client = await bench.opened()
    owner = client.connection.id
    assert asked(bench) == [
        ("connection.open", {"owner": owner, "user": "guest", "vhost": "/"}),
        ("channel.open", {"owner": owner, "user": "guest", "vhost": "/", "number": 1}),
    ]
    bench.catalog.gate = asyncio.Event()
    assert await client.call(1, ChannelClose(200, "bye")) == []
    bench.catalog.gate.set()
    await turn()
    assert client.methods() == [(1, ChannelCloseOk())]
    assert asked(bench)[2:] == [("channel.closed", {"owner": owner, "number": 1})]
    assert await client.call(1, ChannelOpen()) == [(1, ChannelOpenOk())]
    [(_, close)] = await client.call(1, QueueDeclare(queue="missing", passive=True))
    assert isinstance(close, ChannelClose)
    assert asked(bench)[3:] == [
        ("channel.open", {"owner": owner, "user": "guest", "vhost": "/", "number": 1}),
        ("channel.closed", {"owner": owner, "number": 1}),
    ]
    assert await client.call(1, ChannelCloseOk()) == []
    bench.catalog.refusals["channel.open"] = ControlError(530, "number of channels ...")
    [(_, close)] = await client.call(1, ChannelOpen())
    assert isinstance(close, ConnectionClose) and close.reply_code == 530
    assert asked(bench)[-1] == ("connection.closed", {"owner": owner})


@scenario
async def test_a_limit_that_appears_makes_what_is_open_count(bench: Bench) -> None:
    first, second, reader = await bench.opened(), await bench.opened(), await bench.opened(user="reader")
    await second.call(7, ChannelOpen())
    gone = await bench.opened()
    await gone.call(0, ConnectionClose(200, "bye"))
    limit_user(bench, max_channels=9)
    assert bench.catalog.pushed == [("usage.report", {"connections": [
        [first.connection.id, "guest", "/", [1]], [second.connection.id, "guest", "/", [1, 7]],
    ]})]
    limit_vhost(bench, max_connections=9)
    [report] = [fields["connections"] for _, fields in bench.catalog.pushed[1:]]
    assert [row[0] for row in report] == [client.connection.id for client in (first, second, reader)]
    assert [row[3] for row in report] == [[1], [1, 7], []]
    await second.call(7, ChannelClose(200, "bye"))
    await reader.call(1, ChannelClose(200, "bye"))
    await reader.call(0, ConnectionClose(200, "bye"))
    assert asked(bench) == [
        ("channel.closed", {"owner": second.connection.id, "number": 7}),
        ("connection.closed", {"owner": reader.connection.id}),
    ]


@scenario
async def test_a_new_catalog_is_told_everything_that_counts(bench: Bench) -> None:
    limit_vhost(bench, max_connections=9)
    client, leaving = await bench.opened(), await bench.opened()
    bench.catalog.gate = asyncio.Event()
    leaving.send(0, ConnectionClose(200, "bye"))
    await turn()                                    # its end is being told
    bench.gateway.on_topology_change({"version": 1, "ops": [], "snapshot": True})
    assert bench.catalog.pushed == [
        ("usage.report", {"connections": [[client.connection.id, "guest", "/", []]]})
    ]
    bench.catalog.gate.set()
    await turn()
