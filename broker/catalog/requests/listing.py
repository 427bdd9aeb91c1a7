"""list: what exists, for people and tools."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from amqp091.errors import CommandInvalid
from amqp091.tables import to_json
from broker.catalog.core import Catalog, Message
from broker.catalog.requests.checks import existing_vhost
from broker.catalog.requests.policy import applied_fields
from topology import changes
from topology.definitions import described_policy
from topology.model import DEFAULT_EXCHANGE, QUEUE, Binding
from topology.vhost import VhostTopology


async def list_objects(catalog: Catalog, message: Message) -> Message:
    """`what` exists, in all vhosts or in `vhost`."""
    what = message["what"]
    if what not in LISTS:
        raise CommandInvalid(f"cannot list '{what}'; known are {', '.join(LISTS)}")
    vhosts = [existing_vhost(catalog, message)] if message.get("vhost") else list(catalog.topology.vhosts.values())
    return {"items": list(LISTS[what](catalog, vhosts))}


def _vhosts(catalog: Catalog, vhosts: list[VhostTopology]) -> Iterator[Message]:
    for vhost in vhosts:
        yield {
            "name": vhost.vhost.name, **changes.metadata_of(vhost.vhost), "queues": len(vhost.queues),
            "exchanges": len(vhost.exchanges),
        }


def _users(catalog: Catalog, vhosts: list[VhostTopology]) -> Iterator[Message]:
    for user in catalog.topology.users.values():
        yield {"name": user.name, "tags": list(user.tags)}


def _permissions(catalog: Catalog, vhosts: list[VhostTopology]) -> Iterator[Message]:
    for vhost in vhosts:
        for user, permission in vhost.permissions.items():
            yield {
                "user": user, "vhost": vhost.vhost.name, "configure": permission.configure,
                "write": permission.write, "read": permission.read,
            }


def _topic_permissions(catalog: Catalog, vhosts: list[VhostTopology]) -> Iterator[Message]:
    for vhost in vhosts:
        for (user, exchange), permission in vhost.topic_permissions.items():
            yield {
                "user": user, "vhost": vhost.vhost.name, "exchange": exchange, "write": permission.write,
                "read": permission.read,
            }


def _vhost_limits(catalog: Catalog, vhosts: list[VhostTopology]) -> Iterator[Message]:
    for vhost in vhosts:
        if vhost.limits:
            yield {"vhost": vhost.vhost.name, **vhost.limits}


def _user_limits(catalog: Catalog, vhosts: list[VhostTopology]) -> Iterator[Message]:
    for user in catalog.topology.users.values():
        if user.limits:
            yield {"user": user.name, **user.limits}


def _exchanges(catalog: Catalog, vhosts: list[VhostTopology]) -> Iterator[Message]:
    for vhost in vhosts:
        for exchange in vhost.exchanges.values():
            policies = vhost.policies.of_exchange(exchange.name)
            yield {
                **_without_op(changes.exchange_add(exchange)), "policy": policies[0].name if policies else None,
            }


def _queues(catalog: Catalog, vhosts: list[VhostTopology]) -> Iterator[Message]:
    for vhost in vhosts:
        for queue in vhost.queues.values():
            yield {**_without_op(changes.queue_add(queue)), **applied_fields(vhost.policies.of_queue(queue))}


def _bindings(catalog: Catalog, vhosts: list[VhostTopology]) -> Iterator[Message]:
    """With the bindings that every queue has to the default exchange."""
    for vhost in vhosts:
        for queue in vhost.queues.values():
            yield _binding(Binding(vhost.vhost.name, DEFAULT_EXCHANGE, queue.name, QUEUE, queue.name))
        for binding in vhost.bindings:
            yield _binding(binding)


def _binding(binding: Binding) -> Message:
    return {
        "vhost": binding.vhost,
        "source": binding.source,
        "destination": binding.destination,
        "destination_type": binding.destination_kind,
        "routing_key": binding.routing_key,
        "arguments": to_json(dict(binding.arguments)),
    }


def _policies(catalog: Catalog, vhosts: list[VhostTopology]) -> Iterator[Message]:
    for vhost in vhosts:
        yield from map(described_policy, vhost.policies.policies(operator=False))


def _operator_policies(catalog: Catalog, vhosts: list[VhostTopology]) -> Iterator[Message]:
    for vhost in vhosts:
        yield from map(described_policy, vhost.policies.policies(operator=True))


def _without_op(op: Message) -> Message:
    del op["op"]
    return op


LISTS: Final[dict[str, Callable[[Catalog, list[VhostTopology]], Iterator[Message]]]] = {
    "vhosts": _vhosts,
    "users": _users,
    "permissions": _permissions,
    "topic-permissions": _topic_permissions,
    "vhost-limits": _vhost_limits,
    "user-limits": _user_limits,
    "exchanges": _exchanges,
    "queues": _queues,
    "bindings": _bindings,
    "policies": _policies,
    "operator-policies": _operator_policies,
}
