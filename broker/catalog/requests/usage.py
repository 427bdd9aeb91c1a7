"""connection.open, channel.open, channel.closed, usage.report: what gateways ask and tell about what is limited.

connection.closed, the end of it, is in queue.py. Limits and counts are compared without an await between them, so
however many ask at once the limit is exact. Asked again, what was granted stays granted.
"""
from __future__ import annotations

from amqp091 import refusals
from amqp091.errors import InternalError
from broker.catalog.core import Catalog, Message
from broker.catalog.gateways import owner_is_gone
from topology.limits import MAX_CHANNELS, MAX_CONNECTIONS, limit


async def open_connection(catalog: Catalog, message: Message) -> Message:
    """`owner` is the id of the connection of a `user` to a `vhost`. 530 where a limit is reached."""
    await _everything_known(catalog)
    owner, user, vhost = message["owner"], message["user"], message["vhost"]
    _check_alive(catalog, owner)
    if not catalog.usage.has(owner):
        _check_connection_limits(catalog, user, vhost)
        catalog.usage.open(owner, user, vhost)
    return {}


async def open_channel(catalog: Catalog, message: Message) -> Message:
    """The channel `number` of the connection `owner`."""
    await _everything_known(catalog)
    owner, user, number = message["owner"], message["user"], int(message["number"])
    _check_alive(catalog, owner)
    if not catalog.usage.has_channel(owner, number):
        allowed = _limit_of_user(catalog, user, MAX_CHANNELS)
        if allowed is not None and catalog.usage.channels_of_user(user) >= allowed:
            raise refusals.user_channel_limit_reached(user, allowed)
        catalog.usage.open(owner, user, message["vhost"])
        catalog.usage.open_channel(owner, number)
    return {}


async def close_channel(catalog: Catalog, message: Message) -> Message:
    catalog.usage.close_channel(message["owner"], int(message["number"]))
    return {}


async def report(catalog: Catalog, message: Message) -> Message:
    """`connections`: [id, user, vhost, channel numbers] of those of one gateway that count. Nothing is taken away:
    what is over is said to be so, each by itself."""
    for owner, user, vhost, numbers in message["connections"]:
        if not owner_is_gone(catalog, owner):
            catalog.usage.open(owner, user, vhost)
            for number in numbers:
                catalog.usage.open_channel(owner, int(number))
    return {}


async def _everything_known(catalog: Catalog) -> None:
    """Limits that were set hold, so those who were to report have."""
    await catalog.usage.complete()
    await catalog.settled()


def _check_alive(catalog: Catalog, owner: str) -> None:
    if owner_is_gone(catalog, owner):
        raise InternalError(f"the gateway of connection {owner} is gone")


def _check_connection_limits(catalog: Catalog, user: str, vhost: str) -> None:
    """The vhost's first, as in RabbitMQ."""
    topology = catalog.topology.vhosts.get(vhost)
    allowed = limit(topology.limits, MAX_CONNECTIONS) if topology is not None else None
    if allowed is not None and catalog.usage.connections_of_vhost(vhost) >= allowed:
        raise refusals.vhost_connection_limit_reached(vhost, user, allowed)
    allowed = _limit_of_user(catalog, user, MAX_CONNECTIONS)
    if allowed is not None and catalog.usage.connections_of_user(user) >= allowed:
        raise refusals.user_connection_limit_reached(user, allowed)


def _limit_of_user(catalog: Catalog, user: str, name: str) -> int | None:
    found = catalog.topology.users.get(user)
    return limit(found.limits, name) if found is not None else None
