"""What operators see and do: lists, closing a connection, and what deleted vhosts and users mean for connections."""
import pytest

from amqp091.method_table import (
    BasicConsume,
    BasicQos,
    ConfirmSelect,
    ConnectionClose,
    ConnectionUpdateSecret,
    ConnectionUpdateSecretOk,
    QueueDeclare,
)
from bus.control import ControlError
from gateway.control import Control
from tests.unit.gateway.bench import LOCAL, Bench, scenario, turn
from topology import changes


@scenario
async def test_connections_are_listed_as_rabbitmqctl_names_them(bench: Bench) -> None:
    client = await bench.opened(properties={"product": "test", "capabilities": {}})
    [row] = (await Control(bench.gateway).handle({"verb": "list_connections"}))["connections"]
    assert row["id"] == "g0.1.1" and row["name"] == str(LOCAL) == "127.0.0.1:40000 -> 127.0.0.1:5672"
    assert (row["user"], row["vhost"], row["state"], row["channels"]) == ("guest", "/", "running", 1)
    assert row["recv_oct"] == client.wire.received_bytes > 0
    assert row["client_properties"]["product"] == "test"


@scenario
async def test_channels_and_consumers_are_listed(bench: Bench) -> None:
    client = await bench.opened()
    await client.call(1, QueueDeclare(queue="q"))
    await client.call(1, BasicQos(prefetch_count=5))
    await client.call(1, BasicConsume(queue="q", consumer_tag="t", exclusive=True))
    await client.call(1, ConfirmSelect())
    control = Control(bench.gateway)
    [channel] = (await control.handle({"verb": "list_channels"}))["channels"]
    assert (channel["number"], channel["confirm"]) == (1, True)
    assert (channel["prefetch_count"], channel["consumer_count"]) == (5, 1)
    [consumer] = (await control.handle({"verb": "list_consumers"}))["consumers"]
    assert (consumer["queue"], consumer["consumer_tag"], consumer["exclusive"], consumer["active"]) == (
        "q", "t", True, True)


@scenario
async def test_an_operator_closes_a_connection_with_a_reason(bench: Bench) -> None:
    client = await bench.opened()
    await Control(bench.gateway).handle({"verb": "close_connection", "id": "g0.1.1", "reason": "too much"})
    await turn()
    assert client.methods() == [(0, ConnectionClose(320, "CONNECTION_FORCED - too much"))]


@scenario
async def test_what_is_not_known_is_refused(bench: Bench) -> None:
    control = Control(bench.gateway)
    with pytest.raises(ControlError, match="no connection"):
        await control.handle({"verb": "close_connection", "id": "g9.9.9"})
    with pytest.raises(ControlError, match="does not know the verb"):
        await control.handle({"verb": "dance"})


@scenario
async def test_a_deleted_vhost_ends_its_connections(bench: Bench) -> None:
    client = await bench.opened()
    bench.catalog.apply(changes.vhost_delete("/"))
    await turn()
    assert client.methods() == [(0, ConnectionClose(320, "CONNECTION_FORCED - vhost '/' is deleted"))]


@scenario
async def test_a_deleted_user_ends_its_connections_alone(bench: Bench) -> None:
    client, other = await bench.opened(user="reader"), await bench.opened()
    bench.catalog.apply(changes.user_delete("reader"))
    await turn()
    assert client.methods() == [(0, ConnectionClose(320, "CONNECTION_FORCED - user 'reader' is deleted"))]
    assert other.methods() == []


@scenario
async def test_a_right_taken_away_counts_at_once(bench: Bench) -> None:
    client = await bench.opened()
    bench.catalog.apply(changes.permission_clear("guest", "/"))
    [(_, close)] = await client.call(1, QueueDeclare(queue="q"))
    assert close.reply_code == 403


@scenario
async def test_a_secret_is_updated_or_refused(bench: Bench) -> None:
    client = await bench.opened()
    assert await client.call(0, ConnectionUpdateSecret(b"guest", "renewal")) == [(0, ConnectionUpdateSecretOk())]
    [(_, close)] = await client.call(0, ConnectionUpdateSecret(b"wrong", "renewal"))
    assert (close.reply_code, close.reply_text) == (
        530, "NOT_ALLOWED - New secret was refused by one of the backends")


@scenario
async def test_the_stop_of_the_broker_is_told_to_all(bench: Bench) -> None:
    clients = [await bench.opened(), await bench.opened()]
    stop = bench.gateway.spawn(bench.gateway.close_all(0.2))
    await turn()
    for client in clients:
        [(_, close)] = client.methods()
        assert close.reply_code == 320
        client.connection.on_wire_lost()
    await stop
    assert not bench.gateway.connections
