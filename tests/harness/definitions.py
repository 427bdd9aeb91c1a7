"""A definitions document with something of everything, as RabbitMQ 3.10 takes it, and what of an export is compared."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

Document = dict[str, Any]

PASSWORDS = {"sha256": "päss 1", "sha512": "pass-2", "md5": "pass-3"}
"""By the digest of the hash; the users are named so too."""
CATEGORIES = {
    "users": ("name",),
    "vhosts": ("name",),
    "permissions": ("user", "vhost"),
    "topic_permissions": ("user", "vhost", "exchange"),
    "parameters": ("vhost", "component", "name"),
    "global_parameters": ("name",),
    "policies": ("vhost", "name"),
    "queues": ("vhost", "name"),
    "exchanges": ("vhost", "name"),
    "bindings": ("vhost", "source", "destination_type", "destination", "routing_key"),
}
"""And what tells their objects apart."""
NOT_COMPARED = {
    "vhosts": ("description", "tags", "default_queue_type", "limits", "metadata"),
    "exchanges": ("internal",),
    "queues": ("type",),
}
"""3.10 keeps these elsewhere or does not export them; metadata are compared by themselves."""


def hashed(password: str, digest: str, salt: bytes = b"salt") -> str:
    return base64.b64encode(salt + hashlib.new(digest, salt + password.encode()).digest()).decode()


def everything() -> Document:
    """Users with three kinds of hashes, two vhosts, and in them objects of every kind with arguments of every type."""
    return {
        "rabbitmq_version": "3.10.8",
        "users": [
            {
                "name": digest, "password_hash": hashed(password, digest),
                "hashing_algorithm": f"rabbit_password_hashing_{digest}", "tags": tags, "limits": limits,
            }
            for (digest, password), tags, limits in zip(
                PASSWORDS.items(), (["administrator"], "monitoring, policymaker", []),
                ({}, {"max-connections": 7, "max-channels": -1}, {}), strict=True,
            )
        ],
        "vhosts": [
            {"name": "/"},
            {"name": "shöp", "metadata": {"description": "orders", "tags": ["production", "eu"]}},
        ],
        "permissions": [
            {"user": user, "vhost": vhost, "configure": ".*", "write": "^(?!secret).*", "read": "[[:alpha:]]"}
            for user, vhost in (("sha256", "/"), ("sha256", "shöp"), ("sha512", "shöp"), ("md5", "shöp"))
        ],
        "topic_permissions": [
            {"user": "sha512", "vhost": "shöp", "exchange": "topics", "write": "^{username}\\.", "read": ""},
        ],
        "parameters": [
            {"vhost": "shöp", "component": "vhost-limits", "name": "limits",
             "value": {"max-connections": 100, "max-queues": 50}},
            {"vhost": "shöp", "component": "operator_policy", "name": "bound",
             "value": {"pattern": "^q", "definition": {"max-length": 1000, "message-ttl": 60000}, "priority": 2,
                       "apply-to": "queues"}},
        ],
        "global_parameters": [{"name": "cluster_name", "value": "rabbit@somewhere"}],
        "policies": [
            {"vhost": "shöp", "name": "ttl", "pattern": "^q", "apply-to": "queues", "priority": 5,
             "definition": {"message-ttl": 3600000, "max-length": 500, "overflow": "reject-publish"}},
            {"vhost": "/", "name": "ae", "pattern": "^x", "apply-to": "exchanges", "priority": 0,
             "definition": {"alternate-exchange": "amq.fanout"}},
        ],
        "exchanges": [
            _exchange("directs", "direct"), _exchange("fans", "fanout", durable=False),
            _exchange("topics", "topic", arguments={"alternate-exchange": "fans"}),
            _exchange("hashes", "x-consistent-hash", arguments={"hash-header": "h"}),
            _exchange("heads", "headers"), _exchange("auto", "direct", auto_delete=True),
            {**_exchange("directs", "fanout"), "vhost": "/"},
        ],
        "queues": [
            _queue("q-plain"), _queue("q-transient", durable=False), _queue("q-auto", auto_delete=True),
            _queue("q-full", arguments={
                "x-message-ttl": 1000, "x-expires": 100000, "x-max-length": 10, "x-max-length-bytes": 1 << 33,
                "x-overflow": "reject-publish", "x-dead-letter-exchange": "fans", "x-dead-letter-routing-key": "dead",
                "x-max-priority": 4, "x-single-active-consumer": True, "x-queue-type": "classic",
                "x-queue-mode": "lazy", "mine": {"list": [1, "two", 3.5, False, {"deep": [[]]}], "text": "ünïcode"},
            }),
            _queue("q-stream", arguments={"x-queue-type": "stream", "x-max-age": "7D", "x-max-length-bytes": 1 << 30}),
            _queue("q-quorum", arguments={"x-queue-type": "quorum", "x-delivery-limit": 3}),
            {**_queue("q-plain"), "vhost": "/"},
        ],
        "bindings": [
            _binding("directs", "q-plain", "k"), _binding("directs", "q-plain", ""), _binding("fans", "q-transient"),
            _binding("topics", "q-full", "a.*.#"), _binding("topics", "q-full", "a.*.#", arguments={"note": 1}),
            _binding("heads", "q-quorum", arguments={"x-match": "any", "n": 5, "f": 1.5, "s": "x", "b": True}),
            _binding("topics", "directs", "on.#", destination_type="exchange"),
            _binding("amq.topic", "topics", "#", destination_type="exchange"),
            _binding("auto", "q-auto", "a"), _binding("hashes", "q-full", "3"),
            {**_binding("directs", "q-plain", "other vhost"), "vhost": "/"},
        ],
    }  # fmt: skip


def _exchange(name: str, kind: str, **fields: Any) -> Document:
    return {"name": name, "vhost": "shöp", "type": kind, "durable": True, "auto_delete": False, "internal": False,
            "arguments": {}, **fields}  # fmt: skip


def _queue(name: str, **fields: Any) -> Document:
    return {"name": name, "vhost": "shöp", "durable": True, "auto_delete": False, "arguments": {}, **fields}


def _binding(source: str, destination: str, routing_key: str = "", **fields: Any) -> Document:
    return {"source": source, "vhost": "shöp", "destination": destination, "destination_type": "queue",
            "routing_key": routing_key, "arguments": {}, **fields}  # fmt: skip


def comparable(document: Document) -> Document:
    """The categories in one order and one form: 3.10 writes some objects as lists of pairs."""
    found: Document = {}
    for category, keys in CATEGORIES.items():
        rows = [_normal(category, row) for row in document[category]]
        found[category] = sorted(rows, key=lambda row: [str(row.get(key, "")) for key in (*keys, "arguments")])
    return found


def _normal(category: str, row: Document) -> Document:
    normal = {key: value for key, value in row.items() if key not in NOT_COMPARED.get(category, ())}
    if category == "vhosts":
        metadata = row.get("metadata", {})
        normal["description"], normal["tags"] = metadata.get("description", ""), metadata.get("tags", [])
    if category == "users":
        normal["tags"], normal["limits"] = sorted(row["tags"]), dict(row.get("limits") or {})
    if row.get("component") == "operator_policy":
        normal["value"] = {**row["value"], "definition": dict(row["value"]["definition"])}
    return normal
