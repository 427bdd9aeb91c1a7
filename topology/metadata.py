"""What describes a vhost or a user and came from outside: descriptions, tags, the default type of queues.

Checks and puts into form; PreconditionFailed where something is not what it should be.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from amqp091.errors import PreconditionFailed
from topology.arguments import check_default_queue_type
from topology.model import Vhost

VHOST_METADATA: Final = ("description", "tags", "default_queue_type", "protected_from_deletion")
NO_QUEUE_TYPE: Final = ("", "undefined")        # what some releases of RabbitMQ write for none
TAGS_MAX: Final = 32                            # RabbitMQ's


def with_metadata(vhost: Vhost, given: Mapping[str, Any]) -> Vhost:
    """The vhost with the metadata that are given; what is missing, or None, stays as it is."""
    changed: dict[str, Any] = {key: given[key] for key in VHOST_METADATA if given.get(key) is not None}
    if not isinstance(changed.get("description", ""), str):
        raise PreconditionFailed("the description of a vhost is a text")
    if "tags" in changed:
        changed["tags"] = tags_of(changed["tags"], "vhost")
    if changed.get("default_queue_type") in NO_QUEUE_TYPE:
        changed["default_queue_type"] = None
    if changed.get("default_queue_type") is not None:
        check_default_queue_type(changed["default_queue_type"])
    if not isinstance(changed.get("protected_from_deletion", False), bool):
        raise PreconditionFailed("protected_from_deletion is true or false")
    return replace(vhost, **changed)


def tags_of(given: Any, kind: str) -> tuple[str, ...]:
    """Tags: a list of words, or one text with commas."""
    words = given.split(",") if isinstance(given, str) else given
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise PreconditionFailed(f"the tags of a {kind} are a list of words")
    tags = tuple(dict.fromkeys(filter(None, (word.strip() for word in words))))
    if len(tags) > TAGS_MAX:
        raise PreconditionFailed(f"too_many_tags: a {kind} may have {TAGS_MAX}")
    return tags
