"""export: the definitions of everything that outlives the broker, in RabbitMQ's format."""
from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from broker.catalog.core import Catalog, Message
from broker.catalog.requests.policy import described_policy
from topology.model import Binding, Exchange, Policy, Queue, User
from topology.names import is_reserved
from topology.vhost import VhostTopology

FORMAT: Final = "cluster"


async def export(catalog: Catalog, message: Message) -> Message:
    """Exclusive queues and predeclared exchanges are left out."""
    topology = catalog.topology
    vhosts = topology.vhosts.values()
    return {
        "rabbitmq_definition_format": FORMAT,
        "product_name": "Warren",
        "users": [_user(user) for user in topology.users.values()],
        "vhosts": [{"name": vhost.vhost.name} for vhost in vhosts],
        "permissions": [permission for vhost in vhosts for permission in _permissions(vhost)],
        "policies": [
            described_policy(policy) for vhost in vhosts for policy in vhost.policies.policies(operator=False)
        ],
        "parameters": [
            _operator_policy(policy) for vhost in vhosts for policy in vhost.policies.policies(operator=True)
        ],
        "queues": [_queue(queue) for queue in topology.queues() if not queue.exclusive],
        "exchanges": [
            _exchange(exchange) for vhost in vhosts for exchange in vhost.exchanges.values() if _is_own(exchange)
        ],
        "bindings": [
            _binding(binding) for vhost in vhosts for binding in vhost.bindings if not _is_exclusive(vhost, binding)
        ],
    }


def _is_own(exchange: Exchange) -> bool:
    return bool(exchange.name) and not is_reserved(exchange.name)


def _is_exclusive(vhost: VhostTopology, binding: Binding) -> bool:
    return binding.destination_kind == "queue" and vhost.queues[binding.destination].exclusive


def _user(user: User) -> Message:
    return {
        "name": user.name, "password_hash": user.password_hash, "hashing_algorithm": user.hashing_algorithm,
        "tags": list(user.tags), "limits": {},
    }


def _permissions(vhost: VhostTopology) -> list[Message]:
    return [
        {
            "user": user, "vhost": vhost.vhost.name, "configure": permission.configure, "write": permission.write,
            "read": permission.read,
        }
        for user, permission in vhost.permissions.items()
    ]


def _operator_policy(policy: Policy) -> Message:
    value = described_policy(policy)
    return {"component": "operator_policy", "vhost": value.pop("vhost"), "name": value.pop("name"), "value": value}


def _queue(queue: Queue) -> Message:
    return {
        "name": queue.name, "vhost": queue.vhost, "durable": queue.durable, "auto_delete": queue.auto_delete,
        "arguments": _plain(queue.arguments),
    }


def _exchange(exchange: Exchange) -> Message:
    return {
        "name": exchange.name, "vhost": exchange.vhost, "type": exchange.type, "durable": exchange.durable,
        "auto_delete": exchange.auto_delete, "internal": exchange.internal, "arguments": _plain(exchange.arguments),
    }


def _binding(binding: Binding) -> Message:
    return {
        "source": binding.source, "vhost": binding.vhost, "destination": binding.destination,
        "destination_type": binding.destination_kind, "routing_key": binding.routing_key,
        "arguments": _plain(binding.arguments),
    }


def _plain(value: Any) -> Any:
    """Arguments as RabbitMQ exports them: plain JSON, types that it has no word for as text or number."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return float(value) if isinstance(value, Decimal) else value
