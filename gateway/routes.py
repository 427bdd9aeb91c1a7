"""Where a message goes, for all channels of the process: routes by (vhost, exchange, routing keys).

Asks the replica (for replies: the name itself, see gateway/replies.py) and remembers the answer until a change of the
topology may have touched it, so that a thousand channels that publish alike route once. Checks no permission: those are
per user.
"""
from typing import Final

from amqp091.tables import decode_table
from gateway.core import KEEPS_ALL, KEEPS_NONE, KEEPS_PERSISTENT, Fork, Route, RouteStamps, Way
from gateway.replies import ReplyNames, is_reply_name
from topology.arguments import keeps_all
from topology.choice import Choice
from topology.model import DEFAULT_EXCHANGE, Queue
from topology.replica import Replica
from topology.routing import Scope

ROUTES_REMEMBERED_MAX: Final = 65_536
"""Routing keys are the clients' to choose: beyond this the memory starts anew."""
ROUTES_LOOKED_OVER: Final = 1024
"""At the first so many, and whenever they have doubled, what does not hold any more is let go: queues come and go."""

Key = tuple[str, str, tuple[str, ...], bool]
Target = tuple[int, int, int]


class _Undecided(Exception):
    """The way on depends on a choice that each message makes for itself."""

    def __init__(self, choice: Choice) -> None:
        self.choice = choice


class RouteTable:
    """The routes of one gateway."""

    __slots__ = ("_look_over_at", "_replica", "_reply_names", "_routes", "_stamps")

    def __init__(self, replica: Replica, reply_names: ReplyNames, stamps: RouteStamps) -> None:
        """From now on `stamps` are told of the replica's changes."""
        self._replica = replica
        self._reply_names = reply_names
        self._stamps = stamps
        self._routes: dict[Key, tuple[int, Way]] = {}       # with what `stamps.now` was
        self._look_over_at = ROUTES_LOOKED_OVER
        replica.tell(stamps)

    def find(
        self, vhost: str, exchange: str, routing_keys: tuple[str, ...], headers: bytes | None = None,
        has_delay: bool = False, path: tuple[int, ...] = (),
    ) -> Way:
        """NotFound for a missing exchange. Where headers count, and beyond a fork, nothing is remembered here.

        `path`: what was chosen at the forks on the way so far. `headers`: the encoded table, empty where there is none;
        None where it is known not to count.
        """
        scope = self._replica.scope(vhost, exchange)
        if not scope & Scope.HEADERS:
            headers = None
        if path or headers is not None:
            return self._made(vhost, exchange, routing_keys, headers, has_delay, path)
        key = vhost, exchange, routing_keys if scope & Scope.KEY else (), has_delay
        known = self._routes.get(key)
        if known is not None and self._stamps.holds(known[0], *key[:3]):
            return known[1]
        way = self._made(vhost, exchange, routing_keys, None, has_delay, ())
        if known is None and len(self._routes) >= self._look_over_at:
            self._look_over()
        self._routes[key] = self._stamps.now, way
        return way

    def _look_over(self) -> None:
        holds = self._stamps.holds
        self._routes = {key: known for key, known in self._routes.items() if holds(known[0], *key[:3])}
        if len(self._routes) >= ROUTES_REMEMBERED_MAX:
            self._routes.clear()
        self._look_over_at = min(max(ROUTES_LOOKED_OVER, 2 * len(self._routes)), ROUTES_REMEMBERED_MAX)

    def _made(
        self, vhost: str, exchange: str, routing_keys: tuple[str, ...], headers: bytes | None, has_delay: bool,
        path: tuple[int, ...],
    ) -> Way:
        replies: list[Target] = []
        if exchange == DEFAULT_EXCHANGE:
            replies = self._reply_targets(routing_keys)
        chosen = iter(path)

        def pick(choice: Choice) -> int:
            for index in chosen:
                return index % len(choice.destinations)     # an index from before the last change is none to rely on
            raise _Undecided(choice)

        table = None if headers is None else decode_table(headers) if headers else {}
        try:
            found = self._replica.route(
                vhost, exchange, routing_keys[0], table, copies=routing_keys[1:], has_delay=has_delay, pick=pick
            )
        except _Undecided as undecided:
            return Fork(undecided.choice, path)
        # Neither a reply nor what waits for its time in the plugin counts as routed there: a mandatory one is returned.
        return Route(
            [*map(self._target, found.queues), *replies],
            not found.queues,
            delayed=map(self._target, found.delayed),
        )

    @staticmethod
    def _target(queue: Queue) -> Target:
        if not queue.durable:
            return queue.shard, queue.queue_id, KEEPS_NONE
        return queue.shard, queue.queue_id, KEEPS_ALL if keeps_all(queue) else KEEPS_PERSISTENT

    def _reply_targets(self, routing_keys: tuple[str, ...]) -> list[Target]:
        """The reply queues that are named, where they can be reached."""
        places = [self._reply_names.place(key) for key in routing_keys if is_reply_name(key)]
        return [(place.shard, place.queue_id, KEEPS_NONE) for place in places if place is not None]
