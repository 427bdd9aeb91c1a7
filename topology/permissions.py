"""Who may do what to which resource, and the text of a refusal."""
from __future__ import annotations

from typing import Final, Protocol

from amqp091.errors import AccessRefused

from topology.model import DEFAULT_EXCHANGE, EXCHANGE, Permission
from topology.names import described
from topology.patterns import matches

CONFIGURE: Final = "configure"
WRITE: Final = "write"
READ: Final = "read"
DEFAULT_EXCHANGE_RESOURCE: Final = "amq.default"    # the name that patterns see for the exchange without one


class Rights(Protocol):
    """What knows the permissions: a Replica."""

    def permitted(self, user: str, vhost: str, kind: str, resource: str) -> bool: ...


def allows(permission: Permission, kind: str, resource: str) -> bool:
    """Whether a permission covers a resource. An empty pattern covers none."""
    pattern: str = getattr(permission, kind)
    return matches(pattern, resource or DEFAULT_EXCHANGE_RESOURCE)


def require(rights: Rights, user: str, vhost: str, kind: str, resource_kind: str, name: str) -> None:
    """AccessRefused, with RabbitMQ's text, unless the user may."""
    if rights.permitted(user, vhost, kind, name):
        return
    if resource_kind == EXCHANGE and name == DEFAULT_EXCHANGE:
        name = DEFAULT_EXCHANGE_RESOURCE
    raise AccessRefused(f"{kind} access to {described(resource_kind, name, vhost)} refused for user '{user}'")
