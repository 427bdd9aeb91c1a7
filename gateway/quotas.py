"""What is limited over all gateways: connections of vhosts and users, channels of users.

Asks the catalog before one opens and tells it when one is over, only where there is a limit; without one this costs
two look-ups. When a limit appears, reports what is open already. Decides nothing and keeps no count.
"""
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from topology.limits import MAX_CHANNELS, MAX_CONNECTIONS, VHOST_LIMITS, limit

if TYPE_CHECKING:
    from gateway.channel import Channel
    from gateway.connection import Connection
    from gateway.gateway import Gateway


class Quotas:
    """The limits of one gateway's connections."""

    __slots__ = ("_gateway",)

    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway

    def limits_connections(self, user: str, vhost: str) -> bool:
        """Whether a connection counts. All of a user count whose channels are limited: they are counted with it."""
        topology = self._gateway.replica.vhosts.get(vhost)
        if topology is not None and limit(topology.limits, MAX_CONNECTIONS) is not None:
            return True
        return self._user_limit(user, MAX_CONNECTIONS) is not None or self.limits_channels(user)

    def limits_channels(self, user: str) -> bool:
        return self._user_limit(user, MAX_CHANNELS) is not None

    def _user_limit(self, user: str, name: str) -> int | None:
        found = self._gateway.replica.users.get(user)
        return limit(found.limits, name) if found is not None else None

    async def open_connection(self, connection: "Connection", vhost: str) -> None:
        """NotAllowed where a limit is reached."""
        connection.counted = True       # also while the answer is on its way: whatever it is, its end is told
        await self._gateway.ask_catalog(
            "connection.open", owner=connection.id, user=connection.user_name, vhost=vhost
        )

    async def open_channel(self, connection: "Connection", number: int) -> None:
        """NotAllowed where the limit is reached."""
        connection.counted = True
        await self._gateway.ask_catalog(
            "channel.open", owner=connection.id, user=connection.user_name, vhost=connection.vhost, number=number
        )

    async def close_channel(self, channel: "Channel") -> None:
        """Returns when another may take its place."""
        if channel.counted:
            channel.counted = False
            await self._gateway.ask_catalog("channel.closed", owner=channel.connection.id, number=channel.number)

    def on_change(self, ops: Iterable[dict[str, Any]], snapshot: bool) -> None:
        """Tells the catalog what counts now: a limit may have appeared, or the catalog itself."""
        if not snapshot and not any(_limits(op) for op in ops):
            return
        counting = []
        for connection in self._gateway.connections.values():
            if not connection.opened or connection.ending.told_catalog:
                continue
            if self.limits_connections(connection.user_name, connection.vhost):
                connection.counted = True
                counting.append(
                    [connection.id, connection.user_name, connection.vhost, self._counted_channels(connection)]
                )
        if counting:
            self._gateway.catalog.push("usage.report", connections=counting)

    def _counted_channels(self, connection: "Connection") -> list[int]:
        numbers = []
        if self.limits_channels(connection.user_name):
            for channel in connection.open_channels():
                if not channel.closed:
                    channel.counted = True
                    numbers.append(channel.number)
        return numbers


def _limits(op: dict[str, Any]) -> bool:
    """Whether the operation may set a limit."""
    if op["op"] == "user.add":
        return bool(op["limits"])
    return op["op"] == "parameter.set" and (op["component"], op["name"]) == VHOST_LIMITS
