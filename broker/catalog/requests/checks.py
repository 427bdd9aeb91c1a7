"""What many verbs ask of their fields."""
from __future__ import annotations

from typing import Any

from amqp091.errors import NotAllowed, NotFound, PreconditionFailed
from broker.catalog.core import Catalog, Message
from topology.model import User
from topology.patterns import InvalidPattern, compiled
from topology.vhost import VhostTopology

NAME_BYTES_MAX = 255        # a short string of the protocol


def existing_vhost(catalog: Catalog, message: Message) -> VhostTopology:
    return vhost_named(catalog, message["vhost"])


def vhost_named(catalog: Catalog, name: str) -> VhostTopology:
    """530, as for a connection that opens a vhost which is not there."""
    vhost = catalog.topology.vhosts.get(name)
    if vhost is None:
        raise NotAllowed(f"vhost {name} not found")
    return vhost


def new_name(message: Message, kind: str) -> str:
    """The name of a vhost or user that is to be created."""
    name = message["name"]
    if not name:
        raise too_long_or_empty(kind)
    return name_of(message, "name", kind)


def name_of(message: Message, field: str, kind: str) -> str:
    """A name that came from outside, possibly empty."""
    name = message[field]
    if not isinstance(name, str) or len(name.encode()) > NAME_BYTES_MAX:
        raise too_long_or_empty(kind)
    return name


def too_long_or_empty(kind: str) -> PreconditionFailed:
    return PreconditionFailed(f"the name of a {kind} has 1 to {NAME_BYTES_MAX} bytes")


def existing_user(catalog: Catalog, name: str) -> User:
    user = catalog.topology.users.get(name)
    if user is None:
        raise NotFound(f"no user '{name}'")
    return user


def check_pattern(pattern: Any) -> None:
    """PreconditionFailed unless it is a regular expression."""
    if not isinstance(pattern, str):
        raise PreconditionFailed("a pattern is a text")
    try:
        compiled(pattern)
    except InvalidPattern as problem:
        raise PreconditionFailed(str(problem)) from None
