"""Where a message goes, for all channels of the process: routes by (vhost, exchange, routing key).

Asks the replica and remembers the answer until the topology moves, so that a thousand
channels that publish alike route once. Checks no permission: those are per user.
"""
from typing import Any, Final

from gateway.core import Route
from topology.replica import Replica

ROUTES_REMEMBERED_MAX: Final = 65_536
"""Routing keys are the clients' to choose: beyond this the memory starts anew."""


class RouteTable:
    """The routes of one gateway."""

    __slots__ = ("_replica", "_routes", "_version")

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._routes: dict[tuple[str, str, str], Route] = {}
        self._version = replica.version

    def find(self, vhost: str, exchange: str, routing_key: str, headers: dict[str, Any] | None) -> Route:
        """NotFound for a missing exchange. With headers nothing is remembered."""
        if headers is not None:
            return self._made(vhost, exchange, routing_key, headers)
        if self._version != self._replica.version:
            self._routes.clear()
            self._version = self._replica.version
        key = (vhost, exchange, routing_key)
        route = self._routes.get(key)
        if route is None:
            route = self._made(vhost, exchange, routing_key, None)
            if len(self._routes) >= ROUTES_REMEMBERED_MAX:
                self._routes.clear()
            self._routes[key] = route
        return route

    def _made(self, vhost: str, exchange: str, routing_key: str, headers: dict[str, Any] | None) -> Route:
        queues = self._replica.route(vhost, exchange, routing_key, headers).queues
        return Route([(queue.shard, queue.queue_id, queue.durable) for queue in queues])
