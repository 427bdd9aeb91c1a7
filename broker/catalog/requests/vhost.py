"""vhost.add, vhost.update, vhost.delete."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

from amqp091.errors import PreconditionFailed
from broker.catalog.core import Catalog, Message
from broker.catalog.requests.checks import existing_vhost, new_name
from topology import changes
from topology.arguments import check_default_queue_type
from topology.model import Vhost

METADATA = ("description", "tags", "default_queue_type", "protected_from_deletion")


async def add(catalog: Catalog, message: Message) -> Message:
    """With the metadata that is given. Ok where there is one already, whose metadata stay."""
    vhost = with_metadata(Vhost(new_name(message, "vhost")), message)
    if vhost.name in catalog.topology.vhosts:
        await catalog.settled()
        return {"created": False}
    decision = catalog.decide()
    decision.add(changes.vhost_put(vhost))
    await decision.settle()
    return {"created": True}


async def update(catalog: Catalog, message: Message) -> Message:
    """The metadata that are given replace those of the vhost; the others stay."""
    existing = existing_vhost(catalog, {"vhost": message["name"]}).vhost
    decision = catalog.decide()
    decision.add(changes.vhost_put(with_metadata(existing, message)))
    await decision.settle()
    return {}


async def delete(catalog: Catalog, message: Message) -> Message:
    """With everything in it. Its queues are named one by one: their shards have messages to drop."""
    vhost = catalog.topology.vhosts.get(message["name"])
    if vhost is None:
        await catalog.settled()
        return {"deleted": False}
    if vhost.vhost.protected_from_deletion:
        raise PreconditionFailed(f"vhost '{vhost.vhost.name}' is protected from deletion")
    decision = catalog.decide(frees=True)
    for queue in list(vhost.queues.values()):
        decision.add(changes.queue_delete(queue))
    decision.add(changes.vhost_delete(vhost.vhost.name))
    await decision.settle()
    return {"deleted": True}


def with_metadata(vhost: Vhost, given: Message) -> Vhost:
    """The vhost with the metadata that came from outside. PreconditionFailed where one is not what it should be."""
    changed: dict[str, Any] = {key: given[key] for key in METADATA if given.get(key) is not None}
    if not isinstance(changed.get("description", ""), str):
        raise PreconditionFailed("the description of a vhost is a text")
    if "tags" in changed:
        changed["tags"] = tags_of(changed["tags"], "vhost")
    if changed.get("default_queue_type") in ("", "undefined"):
        changed["default_queue_type"] = None        # as RabbitMQ reads what older versions of it wrote
    if changed.get("default_queue_type") is not None:
        check_default_queue_type(changed["default_queue_type"])
    if not isinstance(changed.get("protected_from_deletion", False), bool):
        raise PreconditionFailed("protected_from_deletion is true or false")
    return replace(vhost, **changed)


def tags_of(given: Any, kind: str) -> tuple[str, ...]:
    """Tags that came from outside: a list of words, or one text with commas."""
    words = given.split(",") if isinstance(given, str) else given
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise PreconditionFailed(f"the tags of a {kind} are a list of words")
    return tuple(dict.fromkeys(filter(None, (word.strip() for word in words))))
