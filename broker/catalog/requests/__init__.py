"""The verbs that the catalog answers, one file per kind of object.

Each decides in full before its first await, raises the AMQP error that the
client is to see, and does nothing more when it is asked again.
"""
from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from broker.catalog.core import Catalog, Message
from broker.catalog.requests import (
    definitions,
    exchange,
    limits,
    listing,
    policy,
    policy_explanation,
    queue,
    topic_permission,
    usage,
    user,
    vhost,
)

VERBS: Final[dict[str, Callable[[Catalog, Message], Awaitable[Message]]]] = {
    "exchange.declare": exchange.declare,
    "exchange.delete": exchange.delete,
    "exchange.bind": exchange.bind_exchange,
    "exchange.unbind": exchange.unbind_exchange,
    "queue.declare": queue.declare,
    "queue.delete": queue.delete,
    "queue.bind": queue.bind_queue,
    "queue.unbind": queue.unbind_queue,
    "queue.unused": queue.unused,
    "connection.closed": queue.connection_closed,
    "connection.open": usage.open_connection,
    "channel.open": usage.open_channel,
    "channel.closed": usage.close_channel,
    "usage.report": usage.report,
    "vhost.add": vhost.add,
    "vhost.delete": vhost.delete,
    "vhost.update": vhost.update,
    "user.add": user.add,
    "user.delete": user.delete,
    "user.change_password": user.change_password,
    "user.set_tags": user.set_tags,
    "permissions.set": user.set_permissions,
    "permissions.clear": user.clear_permissions,
    "policy.set": policy.set_policy,
    "policy.clear": policy.clear_policy,
    "policy.explain": policy_explanation.explain,
    "operator_policy.set": policy.set_operator_policy,
    "operator_policy.clear": policy.clear_operator_policy,
    "topic_permissions.set": topic_permission.set_permissions,
    "topic_permissions.clear": topic_permission.clear_permissions,
    "vhost_limits.set": limits.set_of_vhost,
    "vhost_limits.clear": limits.clear_of_vhost,
    "user_limits.set": limits.set_of_user,
    "user_limits.clear": limits.clear_of_user,
    "list": listing.list_objects,
    "export": definitions.export,
    "import": definitions.import_,
}
