"""The whole topology as one process sees it: what exists, where messages go, who may do what.

Owns a copy of the catalog's state. Every gateway and shard holds one and asks
it without waiting; the catalog itself decides on one. It changes by `apply`
and `load` alone, applying a change twice is the same as once, and `version`
grows with each, so a cache of anything learned here compares it and nothing
else. Never talks to anybody.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from topology import changes, permissions
from topology.changes import Op
from topology.choice import Choice
from topology.exchanges import TOPIC
from topology.features import QueueFeatures
from topology.model import Binding, Exchange, Kind, Permission, Policy, Queue, TopicPermission, User, Vhost
from topology.passwords import verify_password
from topology.routing import Pick, RouteResult, Scope
from topology.touched import RouteWatch
from topology.vhost import VhostTopology

NO_PROPERTIES: Final = b"\0\0"
ABSENT_USER: Final = User("", "", "")


class Replica:
    """Vhosts with all that is in them, and users."""

    def __init__(self) -> None:
        self.version = 0                # counts the changes seen by this object
        self.catalog_version = 0        # the catalog's number of the last one
        self.vhosts: dict[str, VhostTopology] = {}
        self.users: dict[str, User] = {}
        self.global_parameters: dict[str, Any] = {}
        self._queues: dict[int, Queue] = {}
        self._exclusive: dict[str, dict[int, Queue]] = {}       # by owner
        self._permitted: dict[tuple[str, str, permissions.Right, str], bool] = {}
        self._watch: RouteWatch | None = None

    # changes

    def tell(self, watch: RouteWatch) -> None:
        """Who is told, from now on, which routes each change may have altered: topology/touched.py."""
        self._watch = watch
        for vhost in self.vhosts.values():
            vhost.touched.tell(watch)
        watch.touch_everything()

    def apply(self, change: Mapping[str, Any]) -> None:
        """A change from the catalog, or a list of operations as one."""
        self.apply_ops(change["ops"])
        self.catalog_version = change["version"]

    def load(self, snapshot: Mapping[str, Any]) -> None:
        """Replace everything. The old state serves until the new one is complete."""
        fresh = Replica()
        fresh.apply_ops(snapshot["ops"])
        self.become(fresh, snapshot["version"])

    def become(self, other: Replica, catalog_version: int) -> None:
        """Take over the state of another replica, which is not used afterwards."""
        self.vhosts, self.users, self.global_parameters = other.vhosts, other.users, other.global_parameters
        self._queues, self._exclusive = other._queues, other._exclusive
        self._permitted = {}
        self.catalog_version = catalog_version
        self.version += 1
        if self._watch is not None:
            self.tell(self._watch)

    def apply_ops(self, ops: Iterable[Op]) -> None:
        for op in ops:
            _APPLY[op["op"]](self, op)
            if self._watch is not None and op["op"] not in TOLD_BY_VHOST:
                self._watch.touch_everything()
        self.version += 1

    def _vhost_add(self, op: Op) -> None:
        vhost = changes.vhost_of(op)
        existing = self.vhosts.get(vhost.name)
        if existing is None:
            self.vhosts[vhost.name] = VhostTopology(vhost)
            self.vhosts[vhost.name].touched.tell(self._watch)
        else:
            existing.vhost = vhost

    def _vhost_delete(self, op: Op) -> None:
        vhost = self.vhosts.pop(op["name"], None)
        if vhost is not None:
            for queue in vhost.queues.values():
                self._forget(queue)
            self._permitted = {}

    def _exchange_add(self, op: Op) -> None:
        vhost = self.vhosts.get(op["vhost"])
        if vhost is not None:
            vhost.add_exchange(changes.exchange_of(op))

    def _exchange_delete(self, op: Op) -> None:
        vhost = self.vhosts.get(op["vhost"])
        if vhost is not None:
            vhost.remove_exchange(op["name"])

    def _queue_add(self, op: Op) -> None:
        vhost = self.vhosts.get(op["vhost"])
        if vhost is None or op["queue_id"] in self._queues:
            return
        queue = changes.queue_of(op, vhost.vhost.name)
        # A snapshot may be ahead of the changes that follow it: those bring it back to where they end.
        other = vhost.queues.get(queue.name)
        if other is not None:
            vhost.remove_queue(other)
            self._forget(other)
        vhost.add_queue(queue)
        self._queues[queue.queue_id] = queue
        if queue.owner is not None:
            self._exclusive.setdefault(queue.owner, {})[queue.queue_id] = queue

    def _queue_delete(self, op: Op) -> None:
        queue = self._queues.get(op["queue_id"])
        if queue is not None:
            self.vhosts[queue.vhost].remove_queue(queue)
            self._forget(queue)

    def _forget(self, queue: Queue) -> None:
        del self._queues[queue.queue_id]
        if queue.owner is not None:
            owned = self._exclusive[queue.owner]
            del owned[queue.queue_id]
            if not owned:
                del self._exclusive[queue.owner]

    def _binding_add(self, op: Op) -> None:
        vhost = self.vhosts.get(op["vhost"])
        if vhost is not None:
            vhost.add_binding(changes.binding_of(op))

    def _binding_delete(self, op: Op) -> None:
        vhost = self.vhosts.get(op["vhost"])
        if vhost is not None:
            vhost.remove_binding(changes.binding_of(op).identity())

    def _user_add(self, op: Op) -> None:
        self.users[op["name"]] = changes.user_of(op)

    def _user_delete(self, op: Op) -> None:
        self.users.pop(op["name"], None)
        for vhost in self.vhosts.values():
            vhost.permissions.pop(op["name"], None)
            for key in [key for key in vhost.topic_permissions if key[0] == op["name"]]:
                del vhost.topic_permissions[key]
        self._permitted = {}

    def _permission_set(self, op: Op) -> None:
        vhost = self.vhosts.get(op["vhost"])
        if vhost is not None:
            vhost.permissions[op["user"]] = changes.permission_of(op)
            self._permitted = {}

    def _permission_clear(self, op: Op) -> None:
        vhost = self.vhosts.get(op["vhost"])
        if vhost is not None:
            vhost.permissions.pop(op["user"], None)
            self._permitted = {}

    def _policy_set(self, op: Op) -> None:
        vhost = self.vhosts.get(op["vhost"])
        if vhost is not None:
            vhost.set_policy(changes.policy_of(op))

    def _policy_clear(self, op: Op) -> None:
        vhost = self.vhosts.get(op["vhost"])
        if vhost is not None:
            vhost.clear_policy(op["operator"], op["name"])

    def _topic_permission_set(self, op: Op) -> None:
        vhost = self.vhosts.get(op["vhost"])
        if vhost is not None:
            vhost.topic_permissions[op["user"], op["exchange"]] = changes.topic_permission_of(op)

    def _topic_permission_clear(self, op: Op) -> None:
        vhost = self.vhosts.get(op["vhost"])
        if vhost is not None:
            vhost.topic_permissions.pop((op["user"], op["exchange"]), None)

    def _parameter_set(self, op: Op) -> None:
        vhost = self.vhosts.get(op["vhost"])
        if vhost is not None:
            vhost.parameters[op["component"], op["name"]] = op["value"]

    def _parameter_clear(self, op: Op) -> None:
        vhost = self.vhosts.get(op["vhost"])
        if vhost is not None:
            vhost.parameters.pop((op["component"], op["name"]), None)

    def _global_parameter_set(self, op: Op) -> None:
        self.global_parameters[op["name"]] = op["value"]

    def _global_parameter_clear(self, op: Op) -> None:
        self.global_parameters.pop(op["name"], None)

    # what exists

    def vhost(self, name: str) -> Vhost | None:
        topology = self.vhosts.get(name)
        return topology.vhost if topology else None

    def exchange(self, vhost: str, name: str) -> Exchange | None:
        topology = self.vhosts.get(vhost)
        return topology.exchanges.get(name) if topology else None

    def queue(self, vhost: str, name: str) -> Queue | None:
        topology = self.vhosts.get(vhost)
        return topology.queues.get(name) if topology else None

    def queue_by_id(self, queue_id: int) -> Queue | None:
        return self._queues.get(queue_id)

    def queues(self) -> Iterator[Queue]:
        """All queues of all vhosts."""
        return iter(self._queues.values())

    def queue_ids(self) -> set[int]:
        return set(self._queues)

    def exclusive_queues(self, owner: str) -> list[Queue]:
        """The queues that die with this connection."""
        return list(self._exclusive.get(owner, {}).values())

    def owners(self) -> list[str]:
        """The connections that own exclusive queues."""
        return list(self._exclusive)

    def features(self, queue: Queue) -> QueueFeatures:
        """What a queue of this replica does, by its arguments and the policies. KeyError for a missing vhost."""
        return self.vhosts[queue.vhost].policies.features(queue)

    # where messages go

    def route(
        self, vhost: str, exchange: str, routing_key: str, headers: Mapping[str, Any] | None = None, *,
        copies: Sequence[str] = (), has_delay: bool = False, properties: bytes = NO_PROPERTIES,
        pick: Pick | None = None,
    ) -> RouteResult:
        """The queues for a message. NotFound for a missing exchange; KeyError for a missing vhost.

        `copies`: further routing keys, from CC and BCC. `has_delay`: x-delayed-message exchanges delay it. Where an
        exchange chooses one of several destinations it looks into `properties` (flags and list), or `pick` decides.
        """
        if pick is None:
            raw_key = routing_key.encode("utf-8", "surrogateescape")

            def pick(choice: Choice) -> int:
                return choice.index(raw_key, properties)

        return self.vhosts[vhost].route(exchange, (routing_key, *copies), headers, has_delay=has_delay, pick=pick)

    def scope(self, vhost: str, exchange: str) -> Scope:
        """What of a message can change where this exchange sends it."""
        topology = self.vhosts.get(vhost)
        return Scope.KEY if topology is None else topology.scope(exchange)

    # who may do what

    def authenticate(self, user: str, password: str) -> User | None:
        """The user, where name and password fit."""
        found = self.users.get(user, ABSENT_USER)
        return found if verify_password(found.password_hash, found.hashing_algorithm, password) else None

    def has_access(self, user: str, vhost: str) -> bool:
        """Whether a user may open the vhost: any permission in it will do."""
        topology = self.vhosts.get(vhost)
        return topology is not None and user in topology.permissions

    def permission(self, user: str, vhost: str) -> Permission | None:
        topology = self.vhosts.get(vhost)
        return topology.permissions.get(user) if topology else None

    def permitted(self, user: str, vhost: str, kind: permissions.Right, resource: str) -> bool:
        """Whether a user may configure, write or read a resource. The answer is kept until permissions change, unless
        it is plain."""
        topology = self.vhosts.get(vhost)
        granted = topology.permissions.get(user) if topology is not None else None
        if granted is not None and getattr(granted, kind) == EVERYTHING:
            return True
        question = (user, vhost, kind, resource)
        known = self._permitted.get(question)
        if known is None:
            known = granted is not None and permissions.allows(granted, kind, resource)
            if len(self._permitted) >= PERMITTED_CACHE_SIZE:
                self._permitted.clear()
            self._permitted[question] = known
        return known

    def topic_permission(self, user: str, vhost: str, exchange: str) -> TopicPermission | None:
        """None: the user's keys are not restricted at this exchange."""
        topology = self.vhosts.get(vhost)
        return topology.topic_permissions.get((user, exchange)) if topology else None

    def check_topic_write(self, user: str, vhost: str, exchange: str, routing_key: str) -> None:
        """AccessRefused unless the user may publish with the routing key; only topic exchanges restrict keys."""
        self._check_topic("write", user, vhost, exchange, routing_key)

    def check_topic_read(self, user: str, vhost: str, exchange: str, routing_key: str) -> None:
        """AccessRefused unless the user may bind to the exchange with the routing key."""
        self._check_topic("read", user, vhost, exchange, routing_key)

    def _check_topic(
        self, kind: permissions.TopicRight, user: str, vhost: str, exchange: str, routing_key: str
    ) -> None:
        permission = self.topic_permission(user, vhost, exchange)
        if permission is None:
            return
        found = self.exchange(vhost, exchange)
        if found is not None and found.type == TOPIC:
            permissions.require_topic(permission, kind, user, vhost, exchange, routing_key)

    # the state as operations

    def snapshot_ops(self) -> Iterator[Op]:
        """Operations that make an empty replica the same as this one was when the iterator was made.

        Takes references now and builds the operations as they are asked for, so a
        large topology can be sent in pages.
        """
        return _snapshot(
            list(self.users.values()),
            list(self.global_parameters.items()),
            [
                (
                    topology.vhost,
                    list(topology.exchanges.values()),
                    list(topology.queues.values()),
                    list(topology.bindings),
                    list(topology.permissions.items()),
                    list(topology.policies),
                    list(topology.topic_permissions.items()),
                    list(topology.parameters.items()),
                )
                for topology in self.vhosts.values()
            ],
        )

    def is_durable(self, vhost: str, kind: Kind, name: str) -> bool:
        """Whether an exchange or a queue outlives the broker. False where it does not exist."""
        found = self.queue(vhost, name) if kind == "queue" else self.exchange(vhost, name)
        return found is not None and found.durable


EVERYTHING: Final = ".*"
TOLD_BY_VHOST: Final = frozenset({
    "exchange.add", "exchange.delete", "queue.add", "queue.delete", "binding.add", "binding.delete"})
"""Of these, what they touch is told one by one."""
PERMITTED_CACHE_SIZE: Final = 65536     # names are the clients' to choose

_VhostParts = tuple[
    Vhost, list[Exchange], list[Queue], list[Binding], list[tuple[str, Permission]], list[Policy],
    list[tuple[tuple[str, str], TopicPermission]], list[tuple[tuple[str, str], Any]],
]


def _snapshot(
    users: list[User], global_parameters: list[tuple[str, Any]], vhosts: list[_VhostParts]
) -> Iterator[Op]:
    for user in users:
        yield changes.user_add(user)
    for parameter, value in global_parameters:
        yield changes.global_parameter_set(parameter, value)
    for vhost, exchanges, queues, bindings, granted, policies, topics, parameters in vhosts:
        yield changes.vhost_put(vhost)
        for (component, parameter), value in parameters:
            yield changes.parameter_set(vhost.name, component, parameter, value)
        durable = {("exchange", exchange.name): exchange.durable for exchange in exchanges}
        durable.update({("queue", queue.name): queue.durable for queue in queues})
        for exchange in exchanges:
            yield changes.exchange_add(exchange)
        for queue in queues:
            yield changes.queue_add(queue)
        for binding in bindings:
            kept = durable["exchange", binding.source] and durable[binding.destination_kind, binding.destination]
            yield changes.binding_add(binding, kept)
        for user_name, permission in granted:
            yield changes.permission_set(user_name, vhost.name, permission)
        for policy in policies:
            yield changes.policy_set(policy)
        for (user_name, exchange_name), topic_permission in topics:
            yield changes.topic_permission_set(user_name, vhost.name, exchange_name, topic_permission)


_APPLY: Final[dict[str, Callable[[Replica, Op], None]]] = {
    "vhost.add": Replica._vhost_add,
    "vhost.delete": Replica._vhost_delete,
    "exchange.add": Replica._exchange_add,
    "exchange.delete": Replica._exchange_delete,
    "queue.add": Replica._queue_add,
    "queue.delete": Replica._queue_delete,
    "binding.add": Replica._binding_add,
    "binding.delete": Replica._binding_delete,
    "user.add": Replica._user_add,
    "user.delete": Replica._user_delete,
    "permission.set": Replica._permission_set,
    "permission.clear": Replica._permission_clear,
    "policy.set": Replica._policy_set,
    "policy.clear": Replica._policy_clear,
    "topic_permission.set": Replica._topic_permission_set,
    "topic_permission.clear": Replica._topic_permission_clear,
    "parameter.set": Replica._parameter_set,
    "parameter.clear": Replica._parameter_clear,
    "global_parameter.set": Replica._global_parameter_set,
    "global_parameter.clear": Replica._global_parameter_clear,
}
