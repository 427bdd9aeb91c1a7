"""Where a message goes, for all channels of the process: routes by (vhost, exchange, routing key).

Asks the replica (for replies: the name itself, see gateway/replies.py) and remembers the answer until the
topology moves, so that a thousand channels that publish alike route once. Checks no permission: those are per user.
"""
from typing import Any, Final

from gateway.core import KEEPS_ALL, Route
from gateway.replies import ReplyNames, is_reply_name
from topology.arguments import keeps_all
from topology.model import DEFAULT_EXCHANGE
from topology.replica import Replica

ROUTES_REMEMBERED_MAX: Final = 65_536
"""Routing keys are the clients' to choose: beyond this the memory starts anew."""


class RouteTable:
    """The routes of one gateway."""

    __slots__ = ("_replica", "_reply_names", "_routes", "_version")

    def __init__(self, replica: Replica, reply_names: ReplyNames) -> None:
        self._replica = replica
        self._reply_names = reply_names
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
        if exchange == DEFAULT_EXCHANGE and is_reply_name(routing_key):
            return self._reply_route(routing_key)
        queues = self._replica.route(vhost, exchange, routing_key, headers).queues
        return Route([
            (queue.shard, queue.queue_id, KEEPS_ALL if keeps_all(queue) else queue.durable) for queue in queues
        ])

    def _reply_route(self, name: str) -> Route:
        """RabbitMQ does not count a reply as routed, so a mandatory one comes back although it was delivered."""
        place = self._reply_names.place(name)
        return Route([] if place is None else [(place.shard, place.queue_id, False)], returns_mandatory=True)
