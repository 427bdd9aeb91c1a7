"""The things that have names: what a vhost, exchange, queue, binding, user, permission and policy is.

Values only: immutable, compared by identity of the object where a table holds
them, replaced whole when something changes. No state, no checks, no I/O here.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

import orjson

from amqp091.tables import to_json

DEFAULT_EXCHANGE: Final = ""
ALTERNATE_EXCHANGE: Final = "alternate-exchange"

Kind = Literal["exchange", "queue"]
QUEUE: Final = "queue"
EXCHANGE: Final = "exchange"

NO_ARGUMENTS: Final[Mapping[str, Any]] = {}
"""One for all that have none; as all arguments it is never changed."""

UNKNOWN_ID: Final = 0
"""Of a queue that the catalog has not given its id yet; no queue has it."""
NAMED_QUEUE_ID_MAX: Final = (1 << 31) - 1
"""Of queues that have a name. The ids above are the shards' to give to reply queues, unknown to the catalog."""


class Destination(NamedTuple):
    """Where a binding leads: a queue or an exchange of the same vhost."""

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Vhost:
    """A name space: exchanges, queues, bindings and permissions never cross it."""

    name: str
    description: str = ""
    tags: tuple[str, ...] = ()
    default_queue_type: str | None = None       # of queues that are declared without one; None: classic
    protected_from_deletion: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Exchange:
    """An exchange as it was declared."""

    vhost: str
    name: str
    type: str
    durable: bool = False
    auto_delete: bool = False
    internal: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def alternate(self) -> str | None:
        """The exchange that gets what this one cannot route."""
        name = self.arguments.get(ALTERNATE_EXCHANGE)
        return name if isinstance(name, str) else None


@dataclass(frozen=True, slots=True, eq=False)
class Queue:
    """A queue as it was declared, and the shard that owns it.

    `owner` is the id of the connection whose exclusive queue it is, or None.
    """

    queue_id: int
    name: str
    vhost: str
    durable: bool = False
    auto_delete: bool = False
    exclusive: bool = False
    owner: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    shard: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """A way from an exchange to a queue or another exchange of one vhost."""

    vhost: str
    source: str
    destination: str
    destination_kind: Kind
    routing_key: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def target(self) -> Destination:
        return Destination(self.destination_kind, self.destination)

    def identity(self) -> BindingIdentity:
        """Two bindings with the same identity are the same binding."""
        return BindingIdentity(
            self.source, self.destination_kind, self.destination, self.routing_key, canonical(self.arguments)
        )


class BindingIdentity(NamedTuple):
    """What tells one binding of a vhost from another."""

    source: str
    destination_kind: Kind
    destination: str
    routing_key: str
    arguments: bytes


@dataclass(frozen=True, slots=True, eq=False)
class User:
    """A user who may log in; an empty password hash lets nobody in."""

    name: str
    password_hash: str
    hashing_algorithm: str
    tags: tuple[str, ...] = ()
    limits: Mapping[str, int] = field(default_factory=dict)     # topology/limits.py


@dataclass(frozen=True, slots=True, eq=False)
class Permission:
    """Three patterns on resource names, for one user in one vhost."""

    configure: str
    write: str
    read: str


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """What holds for the queues and exchanges of a vhost whose names fit a pattern.

    An operator's policy bounds what policies and arguments ask for. `definition` is plain JSON.
    """

    vhost: str
    name: str
    pattern: str
    definition: Mapping[str, Any]
    priority: float = 0
    apply_to: str = "all"
    operator: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class TopicPermission:
    """Two patterns on routing keys, for one user at one topic exchange. Variables: topology/permissions.py."""

    write: str
    read: str


def canonical(arguments: Mapping[str, Any]) -> bytes:
    """The same bytes for tables that differ only in the order of their fields."""
    return orjson.dumps(to_json(dict(arguments)), option=orjson.OPT_SORT_KEYS) if arguments else b"{}"
