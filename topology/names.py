"""Names of resources: how they are written in texts, which are reserved, which the server makes up."""
from __future__ import annotations

import base64
import secrets
from typing import Final

from amqp091.errors import AccessRefused, PreconditionFailed
from amqp091.refusals import Kind, default_exchange, reserved_name
from amqp091.refusals import resource as described
from topology.model import DEFAULT_EXCHANGE, EXCHANGE

RESERVED_PREFIX: Final = "amq."
GENERATED_QUEUE_PREFIX: Final = "amq.gen-"
GENERATED_CONSUMER_PREFIX: Final = "amq.ctag-"
REPLY_QUEUE: Final = "amq.rabbitmq.reply-to"
"""The queue that a channel consumes its replies from; with a suffix, what others know that queue by."""
GENERATED_RANDOM_BYTES: Final = 16      # 22 characters of URL-safe base64


def generated(prefix: str) -> str:
    """A name that nobody can guess, `amq.gen-` or `amq.ctag-` and 22 characters."""
    random = base64.urlsafe_b64encode(secrets.token_bytes(GENERATED_RANDOM_BYTES))
    return prefix + random.rstrip(b"=").decode("ascii")


def stripped(name: str) -> str:
    """A declared name without line breaks."""
    return name.replace("\r", "").replace("\n", "")


def is_reserved(name: str) -> bool:
    return name.startswith(RESERVED_PREFIX)


def check_not_reserved(kind: Kind, name: str) -> None:
    """Names with the prefix `amq.` are the server's to create."""
    if is_reserved(name):
        raise reserved_name(kind, name)


def check_text(text: str) -> None:
    """Names and binding keys are stored and shown, so they have to be text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PreconditionFailed("names and binding keys have to be valid UTF-8") from None


def check_not_default_exchange(name: str) -> None:
    """The default exchange cannot be declared, deleted, bound or unbound."""
    if name == DEFAULT_EXCHANGE:
        raise default_exchange()


def check_exchange_deletable(name: str, vhost: str) -> None:
    """The predeclared exchanges stay."""
    check_not_default_exchange(name)
    if is_reserved(name):
        raise AccessRefused(f"deletion of system {described(EXCHANGE, name, vhost)} not allowed")


__all__ = [
    "GENERATED_CONSUMER_PREFIX", "GENERATED_QUEUE_PREFIX", "REPLY_QUEUE", "RESERVED_PREFIX", "Kind",
    "check_exchange_deletable", "check_not_default_exchange", "check_not_reserved", "check_text",
    "described", "generated", "is_reserved", "stripped",
]
