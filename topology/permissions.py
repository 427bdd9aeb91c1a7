"""Who may do what to which resource, and the text of a refusal.

A permission has patterns for names of resources; a topic permission has, for one
topic exchange, patterns for the routing keys of messages and bindings, in which
{username} and {vhost} stand for themselves. Without one every key is allowed.
"""
from __future__ import annotations

import re
from typing import Final, Literal, Protocol

from amqp091.refusals import no_permission, no_topic_permission
from topology.model import DEFAULT_EXCHANGE, EXCHANGE, Kind, Permission, TopicPermission
from topology.patterns import matches

Right = Literal["configure", "write", "read"]
TopicRight = Literal["write", "read"]
CONFIGURE: Final = "configure"
WRITE: Final = "write"
READ: Final = "read"
DEFAULT_EXCHANGE_RESOURCE: Final = "amq.default"    # the name that patterns see for the exchange without one
VARIABLE: Final = re.compile(r"\{(username|vhost)\}")
"""RabbitMQ knows {client_id} too, for MQTT; for a client of AMQP it is text like any other."""


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


def allows_topic(permission: TopicPermission, kind: TopicRight, user: str, vhost: str, routing_key: str) -> bool:
    """Whether a topic permission covers a routing key. An empty pattern covers the empty key alone, as in RabbitMQ."""
    pattern: str = getattr(permission, kind)
    return matches(_expanded(pattern, {"username": user, "vhost": vhost}), routing_key)


def require_topic(
    permission: TopicPermission | None, kind: TopicRight, user: str, vhost: str, exchange: str, routing_key: str
) -> None:
    """AccessRefused unless the user may use the routing key at the topic exchange. None: every key."""
    if permission is not None and not allows_topic(permission, kind, user, vhost, routing_key):
        raise no_topic_permission(kind, routing_key, exchange, vhost, user)


def _expanded(pattern: str, variables: dict[str, str]) -> str:
    """With the values in place of their names, taken literally whatever is in them."""
    return VARIABLE.sub(lambda found: re.escape(variables[found[1]]), pattern)
