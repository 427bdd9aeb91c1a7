"""The class exchange: declare, delete, and bindings between exchanges.

Rights and equivalence are checked on the replica, in RabbitMQ's order; the catalog decides.
"""
from amqp091.method_table import (
    ExchangeBind,
    ExchangeBindOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    ExchangeUnbind,
    ExchangeUnbindOk,
)
from gateway.channel import Channel
from gateway.handlers.binding import Bind, change_binding
from topology.equivalence import check_exchange_declare, check_exchange_equivalent
from topology.exchanges import check_exchange_type
from topology.model import ALTERNATE_EXCHANGE, EXCHANGE
from topology.names import check_exchange_deletable, check_not_default_exchange, stripped
from topology.permissions import CONFIGURE, READ, WRITE


async def declare(channel: Channel, method: ExchangeDeclare) -> None:
    name = stripped(method.exchange)
    if method.passive:
        check_not_default_exchange(name)
        channel.exchange(name)
    else:
        await _declare(channel, method, name)
    if not method.nowait:
        channel.send(ExchangeDeclareOk())


async def _declare(channel: Channel, method: ExchangeDeclare, name: str) -> None:
    connection = channel.connection
    check_exchange_type(method.type)
    check_not_default_exchange(name)
    channel.require(CONFIGURE, EXCHANGE, name)
    existing = connection.gateway.replica.exchange(connection.vhost, name)
    if existing is not None:
        check_exchange_equivalent(
            existing,
            method.type,
            durable=method.durable,
            auto_delete=method.auto_delete,
            internal=method.internal,
            arguments=method.arguments,
        )
        return
    check_exchange_declare(connection.vhost, name, method.type, method.arguments)
    alternate = method.arguments.get(ALTERNATE_EXCHANGE)
    if alternate is not None:
        channel.require(READ, EXCHANGE, name)
        channel.require(WRITE, EXCHANGE, alternate)
    await connection.gateway.ask_catalog(
        "exchange.declare",
        vhost=connection.vhost,
        name=name,
        type=method.type,
        durable=method.durable,
        auto_delete=method.auto_delete,
        internal=method.internal,
        arguments=method.arguments,
    )


async def delete(channel: Channel, method: ExchangeDelete) -> None:
    """Deleting what is not there succeeds."""
    connection = channel.connection
    name = stripped(method.exchange)
    check_exchange_deletable(name, connection.vhost)
    channel.require(CONFIGURE, EXCHANGE, name)
    if connection.gateway.replica.exchange(connection.vhost, name) is not None:
        await connection.gateway.ask_catalog(
            "exchange.delete", vhost=connection.vhost, name=name, if_unused=method.if_unused
        )
    if not method.nowait:
        channel.send(ExchangeDeleteOk())


async def bind(channel: Channel, method: ExchangeBind) -> None:
    await change_binding(channel, _binding(method), adds=True)
    if not method.nowait:
        channel.send(ExchangeBindOk())


async def unbind(channel: Channel, method: ExchangeUnbind) -> None:
    await change_binding(channel, _binding(method), adds=False)
    if not method.nowait:
        channel.send(ExchangeUnbindOk())


def _binding(method: ExchangeBind | ExchangeUnbind) -> Bind:
    return Bind(
        EXCHANGE, stripped(method.destination), stripped(method.source), method.routing_key, method.arguments
    )
