"""Names of resources: how they are written in texts, which are reserved, which the server makes up."""
from __future__ import annotations

import base64
import secrets
from typing import Final

from amqp091.errors import AccessRefused

from topology.model import DEFAULT_EXCHANGE, EXCHANGE

RESERVED_PREFIX: Final = "amq."
GENERATED_QUEUE_PREFIX: Final = "amq.gen-"
GENERATED_CONSUMER_PREFIX: Final = "amq.ctag-"
GENERATED_RANDOM_BYTES: Final = 16      # 22 characters of URL-safe base64


def described(kind: str, name: str, vhost: str) -> str:
    """`queue 'q' in vhost '/'`, as every text of RabbitMQ names a resource."""
    return f"{kind} '{name}' in vhost '{vhost}'"


def generated(prefix: str) -> str:
    """A name that nobody can guess, `amq.gen-` or `amq.ctag-` and 22 characters."""
    random = base64.urlsafe_b64encode(secrets.token_bytes(GENERATED_RANDOM_BYTES))
    return prefix + random.rstrip(b"=").decode("ascii")


def stripped(name: str) -> str:
    """A declared name without line breaks."""
    return name.replace("\r", "").replace("\n", "")


def is_reserved(name: str) -> bool:
    return name.startswith(RESERVED_PREFIX)


def check_not_reserved(kind: str, name: str) -> None:
    """Names with the prefix `amq.` are the server's to create."""
    if is_reserved(name):
        raise AccessRefused(f"{kind} name '{name}' contains reserved prefix 'amq.*'")


def check_not_default_exchange(name: str) -> None:
    """The default exchange cannot be declared, deleted, bound or unbound."""
    if name == DEFAULT_EXCHANGE:
        raise AccessRefused("operation not permitted on the default exchange")


def check_exchange_deletable(name: str, vhost: str) -> None:
    """The predeclared exchanges stay."""
    check_not_default_exchange(name)
    if is_reserved(name):
        raise AccessRefused(f"deletion of system {described(EXCHANGE, name, vhost)} not allowed")
