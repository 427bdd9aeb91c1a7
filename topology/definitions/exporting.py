"""A Replica as a definitions document.

Left out is what is not declared by anybody or cannot outlive its connection: predeclared exchanges, exclusive queues
and their bindings, internal parameters. Operator policies and limits of vhosts are parameters, as in RabbitMQ.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from topology import changes
from topology.arguments import queue_type_of
from topology.model import QUEUE, Binding, Exchange, Policy, Queue, User
from topology.names import is_reserved
from topology.replica import Replica
from topology.vhost import VhostTopology

COMPATIBLE_VERSION: Final = "4.2.0"
"""The release of RabbitMQ whose format this is: importers ask for it to tell how old a file is."""
OPERATOR_POLICY: Final = "operator_policy"
INTERNAL_PREFIX: Final = "internal"
IMPORTED_HASH: Final = "imported_definition_hash_value"
"""Global parameter: what was loaded at the start last. Names with INTERNAL_PREFIX, and this, are RabbitMQ's own too."""

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Origin:
    """Who exports."""

    product_version: str
    cluster_name: str


def export_all(topology: Replica, origin: Origin) -> Document:
    """Everything."""
    vhosts = list(topology.vhosts.values())
    return {
        **_head(origin, "cluster"),
        "original_cluster_name": origin.cluster_name,
        "explanation": f"Definitions of cluster '{origin.cluster_name}'",
        "users": [_user(user) for user in topology.users.values()],
        "vhosts": [_vhost(vhost) for vhost in vhosts],
        "permissions": [item for vhost in vhosts for item in permissions_of(vhost)],
        "topic_permissions": [item for vhost in vhosts for item in topic_permissions_of(vhost)],
        "parameters": [item for vhost in vhosts for item in _parameters(vhost)],
        "global_parameters": [
            {"name": name, "value": value}
            for name, value in topology.global_parameters.items()
            if not is_internal(name)
        ],
        "policies": [described_policy(policy) for vhost in vhosts for policy in vhost.policies.policies(False)],
        "queues": [item for vhost in vhosts for item in _queues(vhost)],
        "exchanges": [item for vhost in vhosts for item in _exchanges(vhost)],
        "bindings": [item for vhost in vhosts for item in _bindings(vhost)],
    }


def export_vhost(vhost: VhostTopology, origin: Origin) -> Document:
    """What is in one vhost, for import into any other: no object names its vhost."""
    name = vhost.vhost.name
    metadata = changes.metadata_of(vhost.vhost)
    return {
        **_head(origin, "single_virtual_host"),
        "original_vhost_name": name,
        "explanation": f"Definitions of virtual host '{name}'",
        "metadata": metadata,
        "description": metadata["description"],
        "limits": dict(vhost.limits),
        "parameters": _without_vhost(_parameters(vhost)),
        "policies": _without_vhost(described_policy(policy) for policy in vhost.policies.policies(False)),
        "queues": _without_vhost(_queues(vhost)),
        "exchanges": _without_vhost(_exchanges(vhost)),
        "bindings": _without_vhost(_bindings(vhost)),
    }


def _head(origin: Origin, kind: str) -> Document:
    return {
        "rabbit_version": COMPATIBLE_VERSION,
        "rabbitmq_version": COMPATIBLE_VERSION,
        "product_name": "Warren",
        "product_version": origin.product_version,
        "rabbitmq_definition_format": kind,
    }


def _without_vhost(described: Iterator[Document]) -> list[Document]:
    return [{key: value for key, value in item.items() if key != "vhost"} for item in described]


def is_internal(global_parameter: str) -> bool:
    """Whether a global parameter is a broker's own, and nobody's definition."""
    return global_parameter == IMPORTED_HASH or global_parameter.startswith(INTERNAL_PREFIX)


def _user(user: User) -> Document:
    return {
        "name": user.name, "password_hash": user.password_hash, "hashing_algorithm": user.hashing_algorithm,
        "tags": list(user.tags), "limits": dict(user.limits),
    }


def _vhost(vhost: VhostTopology) -> Document:
    """RabbitMQ reads the metadata from either place."""
    metadata = changes.metadata_of(vhost.vhost)
    return {"name": vhost.vhost.name, **metadata, "metadata": metadata, "limits": dict(vhost.limits)}


def permissions_of(vhost: VhostTopology) -> Iterator[Document]:
    for user, permission in vhost.permissions.items():
        yield {
            "user": user, "vhost": vhost.vhost.name, "configure": permission.configure, "write": permission.write,
            "read": permission.read,
        }


def topic_permissions_of(vhost: VhostTopology) -> Iterator[Document]:
    for (user, exchange), permission in vhost.topic_permissions.items():
        yield {
            "user": user, "vhost": vhost.vhost.name, "exchange": exchange, "write": permission.write,
            "read": permission.read,
        }


def _parameters(vhost: VhostTopology) -> Iterator[Document]:
    name = vhost.vhost.name
    for (component, key), value in vhost.parameters.items():
        yield {"vhost": name, "component": component, "name": key, "value": value}
    for policy in vhost.policies.policies(operator=True):
        described = described_policy(policy)
        del described["vhost"], described["name"]
        yield {"vhost": name, "component": OPERATOR_POLICY, "name": policy.name, "value": described}


def described_policy(policy: Policy) -> Document:
    """A policy in RabbitMQ's words."""
    return {
        "vhost": policy.vhost, "name": policy.name, "pattern": policy.pattern, "apply-to": policy.apply_to,
        "definition": dict(policy.definition), "priority": policy.priority,
    }


def _queues(vhost: VhostTopology) -> Iterator[Document]:
    for queue in vhost.queues.values():
        if not queue.exclusive:
            yield _queue(queue)


def _queue(queue: Queue) -> Document:
    return {
        "name": queue.name, "vhost": queue.vhost, "type": queue_type_of(queue.arguments), "durable": queue.durable,
        "auto_delete": queue.auto_delete, "arguments": plain(queue.arguments),
    }


def _exchanges(vhost: VhostTopology) -> Iterator[Document]:
    for exchange in vhost.exchanges.values():
        if exchange.name and not is_reserved(exchange.name):
            yield _exchange(exchange)


def _exchange(exchange: Exchange) -> Document:
    return {
        "name": exchange.name, "vhost": exchange.vhost, "type": exchange.type, "durable": exchange.durable,
        "auto_delete": exchange.auto_delete, "internal": exchange.internal, "arguments": plain(exchange.arguments),
    }


def _bindings(vhost: VhostTopology) -> Iterator[Document]:
    for binding in vhost.bindings:
        if binding.destination_kind != QUEUE or not vhost.queues[binding.destination].exclusive:
            yield _binding(binding)


def _binding(binding: Binding) -> Document:
    return {
        "source": binding.source, "vhost": binding.vhost, "destination": binding.destination,
        "destination_type": binding.destination_kind, "routing_key": binding.routing_key,
        "arguments": plain(binding.arguments),
    }


def plain(value: Any) -> Any:
    """Arguments as RabbitMQ exports them: plain JSON, types that it has no word for as text or number."""
    if isinstance(value, Mapping):
        return {_as_text(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Decimal):
        return float(value)
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _as_text(name: str) -> str:
    """A name in a table need not be UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
