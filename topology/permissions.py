"""Who may do what to which resource, and the text of a refusal."""
from __future__ import annotations

from typing import Final, Literal, Protocol

from amqp091.refusals import no_permission
from topology.model import DEFAULT_EXCHANGE, EXCHANGE, Kind, Permission
from topology.patterns import matches

Right = Literal["configure", "write", "read"]
CONFIGURE: Final = "configure"
WRITE: Final = "write"
READ: Final = "read"
DEFAULT_EXCHANGE_RESOURCE: Final = "amq.default"    # the name that patterns see for the exchange without one


class Rights(Protocol):
    """What knows the permissions: a Replica."""

    def permitted(self, user: str, vhost: str, kind: Right, resource: str) -> bool: ...


def allows(permission: Permission, kind: Right, resource: str) -> bool:
    """Whether a permission covers a resource. An empty pattern covers none."""
    pattern: str = getattr(permission, kind)
    return matches(pattern, resource or DEFAULT_EXCHANGE_RESOURCE)


def require(rights: Rights, user: str, vhost: str, kind: Right, resource_kind: Kind, name: str) -> None:
    """AccessRefused, with RabbitMQ's text, unless the user may."""
    if rights.permitted(user, vhost, kind, name):
        return
    if resource_kind == EXCHANGE and name == DEFAULT_EXCHANGE:
        name = DEFAULT_EXCHANGE_RESOURCE
    raise no_permission(kind, resource_kind, name, vhost, user)
