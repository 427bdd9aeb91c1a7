"""The operations that a change of topology consists of, as they travel and as they are stored.

    op                  fields
    vhost.add           name, metadata              also replaces the metadata
    vhost.delete        name                        everything in it goes with it
    exchange.add        vhost, name, type, durable, auto_delete, internal, arguments
    exchange.delete     vhost, name, durable        its bindings, either way, go with it
    queue.add           queue_id, vhost, name, durable, auto_delete, exclusive, owner, arguments, shard
    queue.delete        queue_id, vhost, name, durable, shard   its bindings go with it
    binding.add         vhost, source, destination, destination_kind, routing_key, arguments, durable
    binding.delete      the same
    user.add            name, password_hash, hashing_algorithm, tags, limits    also replaces the user
    user.delete         name                        the user's permissions go with it
    permission.set      user, vhost, configure, write, read
    permission.clear    user, vhost
    policy.set          vhost, operator, name, pattern, apply_to, priority, definition    also replaces the policy
    policy.clear        vhost, operator, name
    topic_permission.set    user, vhost, exchange, write, read
    topic_permission.clear  user, vhost, exchange
    parameter.set           vhost, component, name, value       value: any JSON
    parameter.clear         vhost, component, name
    global_parameter.set    name, value
    global_parameter.clear  name

`metadata` is {"description", "tags", "default_queue_type", "protected_from_deletion"} without what is not set.
`arguments` are AMQP tables in JSON form (amqp091.tables.to_json), `definition` is JSON as it is. A change is
{"verb": "change", "version": n, "ops": [...]}; versions grow by one. `durable`
says in which of the catalog's databases an object is kept.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amqp091.tables import from_json, to_json
from topology.model import (
    NO_ARGUMENTS,
    Binding,
    Exchange,
    Permission,
    Policy,
    Queue,
    TopicPermission,
    User,
    Vhost,
)

Op = dict[str, Any]


def vhost_add(name: str) -> Op:
    return vhost_put(Vhost(name))


def vhost_put(vhost: Vhost) -> Op:
    """A new vhost, or other metadata for one that exists."""
    return {"op": "vhost.add", "name": vhost.name, "metadata": metadata_of(vhost)}


def vhost_delete(name: str) -> Op:
    return {"op": "vhost.delete", "name": name}


def exchange_add(exchange: Exchange) -> Op:
    return {
        "op": "exchange.add",
        "vhost": exchange.vhost,
        "name": exchange.name,
        "type": exchange.type,
        "durable": exchange.durable,
        "auto_delete": exchange.auto_delete,
        "internal": exchange.internal,
        "arguments": to_json(dict(exchange.arguments)),
    }


def exchange_delete(exchange: Exchange) -> Op:
    return {"op": "exchange.delete", "vhost": exchange.vhost, "name": exchange.name, "durable": exchange.durable}


def queue_add(queue: Queue) -> Op:
    return {
        "op": "queue.add",
        "queue_id": queue.queue_id,
        "vhost": queue.vhost,
        "name": queue.name,
        "durable": queue.durable,
        "auto_delete": queue.auto_delete,
        "exclusive": queue.exclusive,
        "owner": queue.owner,
        "arguments": to_json(dict(queue.arguments)),
        "shard": queue.shard,
    }


def queue_delete(queue: Queue) -> Op:
    return {
        "op": "queue.delete",
        "queue_id": queue.queue_id,
        "vhost": queue.vhost,
        "name": queue.name,
        "durable": queue.durable,
        "shard": queue.shard,
    }


def binding_add(binding: Binding, durable: bool) -> Op:
    return _binding("binding.add", binding, durable)


def binding_delete(binding: Binding, durable: bool) -> Op:
    return _binding("binding.delete", binding, durable)


def _binding(op: str, binding: Binding, durable: bool) -> Op:
    return {
        "op": op,
        "vhost": binding.vhost,
        "source": binding.source,
        "destination": binding.destination,
        "destination_kind": binding.destination_kind,
        "routing_key": binding.routing_key,
        "arguments": to_json(dict(binding.arguments)),
        "durable": durable,
    }


def user_add(user: User) -> Op:
    return {
        "op": "user.add",
        "name": user.name,
        "password_hash": user.password_hash,
        "hashing_algorithm": user.hashing_algorithm,
        "tags": list(user.tags),
        "limits": dict(user.limits),
    }


def user_delete(name: str) -> Op:
    return {"op": "user.delete", "name": name}


def permission_set(user: str, vhost: str, permission: Permission) -> Op:
    return {
        "op": "permission.set",
        "user": user,
        "vhost": vhost,
        "configure": permission.configure,
        "write": permission.write,
        "read": permission.read,
    }


def permission_clear(user: str, vhost: str) -> Op:
    return {"op": "permission.clear", "user": user, "vhost": vhost}


def policy_set(policy: Policy) -> Op:
    return {
        "op": "policy.set",
        "vhost": policy.vhost,
        "operator": policy.operator,
        "name": policy.name,
        "pattern": policy.pattern,
        "apply_to": policy.apply_to,
        "priority": policy.priority,
        "definition": dict(policy.definition),
    }


def policy_clear(policy: Policy) -> Op:
    return {"op": "policy.clear", "vhost": policy.vhost, "operator": policy.operator, "name": policy.name}


def topic_permission_set(user: str, vhost: str, exchange: str, permission: TopicPermission) -> Op:
    return {
        "op": "topic_permission.set",
        "user": user,
        "vhost": vhost,
        "exchange": exchange,
        "write": permission.write,
        "read": permission.read,
    }


def topic_permission_clear(user: str, vhost: str, exchange: str) -> Op:
    return {"op": "topic_permission.clear", "user": user, "vhost": vhost, "exchange": exchange}


def parameter_set(vhost: str, component: str, name: str, value: Any) -> Op:
    return {"op": "parameter.set", "vhost": vhost, "component": component, "name": name, "value": value}


def parameter_clear(vhost: str, component: str, name: str) -> Op:
    return {"op": "parameter.clear", "vhost": vhost, "component": component, "name": name}


def global_parameter_set(name: str, value: Any) -> Op:
    return {"op": "global_parameter.set", "name": name, "value": value}


def global_parameter_clear(name: str) -> Op:
    return {"op": "global_parameter.clear", "name": name}


def metadata_of(vhost: Vhost) -> dict[str, Any]:
    """What is set of a vhost's metadata, as RabbitMQ names it."""
    metadata: dict[str, Any] = {"description": vhost.description, "tags": list(vhost.tags)}
    if vhost.default_queue_type is not None:
        metadata["default_queue_type"] = vhost.default_queue_type
    if vhost.protected_from_deletion:
        metadata["protected_from_deletion"] = True
    return metadata


def vhost_of(op: Op) -> Vhost:
    metadata = op["metadata"]
    return Vhost(
        op["name"], metadata.get("description", ""), tuple(metadata.get("tags", ())),
        metadata.get("default_queue_type"), metadata.get("protected_from_deletion", False),
    )


def _arguments(op: Op) -> Mapping[str, Any]:
    return from_json(op["arguments"]) if op["arguments"] else NO_ARGUMENTS


def exchange_of(op: Op) -> Exchange:
    return Exchange(
        op["vhost"], op["name"], op["type"], op["durable"], op["auto_delete"], op["internal"], _arguments(op)
    )


def queue_of(op: Op, vhost: str) -> Queue:
    """`vhost`: its name as it is in memory already, which all of its queues share."""
    return Queue(
        op["queue_id"], op["name"], vhost, op["durable"], op["auto_delete"], op["exclusive"], op["owner"],
        _arguments(op), op["shard"],
    )


def binding_of(op: Op) -> Binding:
    return Binding(
        op["vhost"], op["source"], op["destination"], op["destination_kind"], op["routing_key"], _arguments(op)
    )


def user_of(op: Op) -> User:
    return User(op["name"], op["password_hash"], op["hashing_algorithm"], tuple(op["tags"]), op["limits"])


def permission_of(op: Op) -> Permission:
    return Permission(op["configure"], op["write"], op["read"])


def policy_of(op: Op) -> Policy:
    return Policy(
        op["vhost"], op["name"], op["pattern"], op["definition"], op["priority"], op["apply_to"], op["operator"]
    )


def topic_permission_of(op: Op) -> TopicPermission:
    return TopicPermission(op["write"], op["read"])
