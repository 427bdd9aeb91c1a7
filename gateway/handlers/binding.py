"""Bindings, which exchange.bind, exchange.unbind, queue.bind and queue.unbind share."""
from typing import Any, NamedTuple

from gateway.channel import Channel
from topology.model import EXCHANGE, QUEUE, Kind
from topology.names import check_not_default_exchange
from topology.permissions import READ, WRITE


class Bind(NamedTuple):
    """What a client wants bound, or no longer."""

    destination_kind: Kind
    destination: str
    source: str
    routing_key: str
    arguments: dict[str, Any]


async def change_binding(channel: Channel, binding: Bind, *, adds: bool) -> None:
    """Rights first, then existence; taking away what is not there succeeds."""
    channel.require(WRITE, binding.destination_kind, binding.destination)
    if binding.destination_kind == EXCHANGE:
        check_not_default_exchange(binding.destination)
    check_not_default_exchange(binding.source)
    channel.require(READ, EXCHANGE, binding.source)
    connection = channel.connection
    connection.gateway.replica.check_topic_read(
        connection.user_name, connection.vhost, binding.source, binding.routing_key
    )
    if adds or _ends_exist(channel, binding):
        _check_ends(channel, binding)
        await _ask(channel, binding, "bind" if adds else "unbind")


def _ends_exist(channel: Channel, binding: Bind) -> bool:
    replica, vhost = channel.connection.gateway.replica, channel.connection.vhost
    lookup = replica.queue if binding.destination_kind == QUEUE else replica.exchange
    return replica.exchange(vhost, binding.source) is not None and lookup(vhost, binding.destination) is not None


def _check_ends(channel: Channel, binding: Bind) -> None:
    channel.exchange(binding.source)
    if binding.destination_kind == QUEUE:
        channel.queue(binding.destination)
    else:
        channel.exchange(binding.destination)


async def _ask(channel: Channel, binding: Bind, verb: str) -> None:
    gateway, vhost = channel.connection.gateway, channel.connection.vhost
    if binding.destination_kind == QUEUE:
        await gateway.ask_catalog(
            f"queue.{verb}",
            vhost=vhost,
            queue=binding.destination,
            exchange=binding.source,
            routing_key=binding.routing_key,
            arguments=binding.arguments,
        )
    else:
        await gateway.ask_catalog(
            f"exchange.{verb}",
            vhost=vhost,
            destination=binding.destination,
            source=binding.source,
            routing_key=binding.routing_key,
            arguments=binding.arguments,
        )
