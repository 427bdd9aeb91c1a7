"""Limits of virtual hosts and users, counted over everything that is connected."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.harness.accounts import FEW, NO_LIMIT, NONE_AT_ALL, OTHER_VHOST, SMALL_VHOST, Account
from tests.harness.client import Client
from tests.harness.methods import Channel, Connection, Queue
from tests.harness.warren import Warren

OpenClient = Callable[..., Client]
RawClient = Callable[[], Client]

FORGOTTEN_S_MAX = 5.0
NO_FURTHER_CHANNEL = "number of channels opened for user '{}' has reached the maximum allowed user limit of ({})"


def at_the_door(raw_client: RawClient, account: Account | None = None) -> Client:
    """A client that has logged in, and asks for a virtual host next."""
    client = raw_client()
    client.start()
    name, password = (account.name, account.password) if account else ("guest", "guest")
    client.start_ok(name, password)
    tune = client.expect(Connection.Tune)
    client.tune_ok(tune.channel_max, tune.frame_max)
    return client


def admitted(open_client: OpenClient, count: int, **options: str) -> list[Client]:
    """So many clients, once the connections of the test before are forgotten."""
    deadline = time.monotonic() + FORGOTTEN_S_MAX
    clients: list[Client] = []
    while len(clients) < count:
        try:
            clients.append(open_client(**options))
        except AssertionError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    return clients


def of(account: Account) -> dict[str, str]:
    return {"user": account.name, "password": account.password}


def refused(raw_client: RawClient, text: str, *, vhost: str = "/", account: Account | None = None) -> None:
    client = at_the_door(raw_client, account)
    client.open(vhost)
    client.expect_connection_error(530, text)


@pytest.mark.oracle
def test_connections_of_a_virtual_host(open_client: OpenClient, raw_client: RawClient) -> None:
    admitted(open_client, 2, vhost=SMALL_VHOST)
    text = f"NOT_ALLOWED - access to vhost '{SMALL_VHOST}' refused for user 'guest': connection limit (2) is reached"
    refused(raw_client, text, vhost=SMALL_VHOST)


@pytest.mark.oracle
def test_connections_of_a_user(open_client: OpenClient, raw_client: RawClient) -> None:
    admitted(open_client, 2, **of(FEW))
    text = f"NOT_ALLOWED - connection refused for user '{FEW.name}': user connection limit (2) is reached"
    refused(raw_client, text, account=FEW)


@pytest.mark.oracle
def test_zero_allows_no_connection(raw_client: RawClient) -> None:
    refused(raw_client, "user connection limit (0) is reached", account=NONE_AT_ALL)


@pytest.mark.oracle
def test_a_negative_limit_is_none(open_client: OpenClient) -> None:
    for _ in range(3):
        client = open_client(**of(NO_LIMIT))
        for number in range(1, 5):
            client.channel(number)


@pytest.mark.oracle
def test_a_virtual_host_that_is_missing_comes_before_the_limits(raw_client: RawClient) -> None:
    refused(raw_client, "NOT_ALLOWED - vhost nowhere not found", vhost="nowhere", account=NONE_AT_ALL)


@pytest.mark.warren_only("RabbitMQ counts channels that have just been closed")
def test_channels_of_a_user_over_all_of_its_connections(open_client: OpenClient) -> None:
    first, second = admitted(open_client, 2, **of(FEW))
    first.channel(1)
    first.channel(2)
    second.channel(1)
    first.call(2, Channel.Close(200, "", 0, 0), Channel.CloseOk)
    second.channel(2)  # the place is free as soon as close-ok is there
    second.send(3, Channel.Open())
    second.expect_connection_error(530, NO_FURTHER_CHANNEL.format(FEW.name, 3))
    for number in (2, 3):  # the places of the connection that was closed
        first.channel(number)


@pytest.mark.oracle
def test_the_refusal_of_a_channel(open_client: OpenClient) -> None:
    [client] = admitted(open_client, 1, **of(FEW))
    for number in (1, 2, 3):
        client.channel(number)
    client.send(4, Channel.Open())
    client.expect_connection_error(530, NO_FURTHER_CHANNEL.format(FEW.name, 3))


@pytest.mark.warren_only("RabbitMQ counts connections that have just been closed")
def test_a_place_is_free_as_soon_as_close_ok_is_there(open_client: OpenClient) -> None:
    kept, other = admitted(open_client, 2, vhost=SMALL_VHOST)
    other.close()
    for _ in range(10):
        open_client(vhost=SMALL_VHOST).close()
    kept.channel(1)


@pytest.mark.oracle
def test_queues_of_a_virtual_host(open_client: OpenClient) -> None:
    [client] = admitted(open_client, 1, vhost=SMALL_VHOST)
    channel = client.channel()
    channel.declare("q1", exclusive=True)
    channel.declare("q2", exclusive=True)
    channel.declare("q1", exclusive=True)  # not a new one
    for name, arguments in (("q3", {}), ("q3", {"x-max-length": "wrong"})):
        channel.send(Queue.Declare(queue=name, exclusive=True, arguments=arguments))
        text = f"cannot declare queue '{name}': queue limit in vhost '{SMALL_VHOST}' (2) is reached"
        channel.expect_error(406, f"PRECONDITION_FAILED - {text}")
        channel = client.channel()
    channel.send(Queue.Declare(queue="", exclusive=True))
    channel.expect_error(406, f"queue limit in vhost '{SMALL_VHOST}' (2) is reached")
    channel = client.channel()
    channel.send(Queue.Declare(queue="amq.mine", exclusive=True))
    channel.expect_error(403)
    channel = client.channel()
    channel.delete("q1")
    channel.declare("q3", exclusive=True)
    channel.delete("q2")
    channel.delete("q3")


@pytest.mark.warren_only("by Warren's commands")
def test_a_limit_holds_from_when_it_is_set_for_what_is_there_already(
    open_client: OpenClient, raw_client: RawClient, warren_session: Warren
) -> None:
    clients = [open_client(vhost=OTHER_VHOST) for _ in range(3)]
    warren_session.command("set-vhost-limits", "--vhost", OTHER_VHOST, '{"max-connections": 3}')
    try:
        refused(raw_client, "connection limit (3) is reached", vhost=OTHER_VHOST)
        clients.pop().close()
        clients.append(open_client(vhost=OTHER_VHOST))
        refused(raw_client, "connection limit (3) is reached", vhost=OTHER_VHOST)
        warren_session.command("set_vhost_limits", "-p", OTHER_VHOST, '{"max-connections": 4}')
        open_client(vhost=OTHER_VHOST)
    finally:
        warren_session.command("clear-vhost-limits", "--vhost", OTHER_VHOST)
    for client in clients:
        client.channel(1)
    open_client(vhost=OTHER_VHOST)


@pytest.mark.warren_only("RabbitMQ has it since 3.11")
def test_the_default_queue_type_of_a_virtual_host(open_client: OpenClient, warren_session: Warren) -> None:
    warren_session.command("add-vhost", "of-quorum", "--default-queue-type", "quorum")
    try:
        warren_session.command("set-permissions", "--vhost", "of-quorum", "guest", ".*", ".*", ".*")
        client = open_client(vhost="of-quorum")
        channel = client.channel()
        for _ in range(2):
            channel.declare("d", durable=True)
        channel.declare("d", durable=True, arguments={"x-queue-type": "quorum"})
        channel.declare("t")
        channel.declare("e", durable=True, exclusive=True)
        channel.declare("a", durable=True, auto_delete=True)
        types = {row["name"]: row["arguments"]["x-queue-type"] for row in
                 warren_session.listing("queues", "--vhost", "of-quorum")}
        assert types == {"d": "quorum", "t": "classic", "e": "classic", "a": "classic"}
        channel.send(Queue.Declare(queue="d", durable=True, arguments={"x-queue-type": "classic"}))
        channel.expect_error(406, "inequivalent arg 'x-queue-type' for queue 'd' in vhost 'of-quorum'")
        client.close()
    finally:
        warren_session.command("delete-vhost", "of-quorum")
