"""Refusals whose words RabbitMQ's users know by heart, each in one place.

Gateways and the catalog both give them. A refusal is an error of amqp091/errors.py, to be raised.
"""
from typing import Literal

from amqp091.constants import NO_METHOD, MethodId
from amqp091.errors import (
    AccessRefused,
    NotAllowed,
    NotFound,
    NotImplemented_,
    PreconditionFailed,
    ResourceLocked,
)

Kind = Literal["exchange", "queue"]


def resource(kind: Kind, name: str, vhost: str) -> str:
    """`queue 'q' in vhost '/'`, as texts have it."""
    return f"{kind} '{name}' in vhost '{vhost}'"


def missing(kind: Kind, name: str, vhost: str, *, method: MethodId = NO_METHOD) -> NotFound:
    return NotFound(f"no {resource(kind, name, vhost)}", method=method)


def no_previously_declared_queue(*, method: MethodId = NO_METHOD) -> NotFound:
    return NotFound("no previously declared queue", method=method)


def locked(queue: str, vhost: str, *, method: MethodId = NO_METHOD) -> ResourceLocked:
    """The queue is exclusive to another connection, or a redeclaration differs in `exclusive`."""
    return ResourceLocked(
        f"cannot obtain exclusive access to locked {resource('queue', queue, vhost)}. It could be originally "
        "declared on another connection or the exclusive property value does not match that of the original "
        "declaration.",
        method=method,
    )


def in_use(kind: Kind, name: str, vhost: str, *, method: MethodId = NO_METHOD) -> PreconditionFailed:
    return PreconditionFailed(f"{resource(kind, name, vhost)} in use", method=method)


def not_empty(queue: str, vhost: str, *, method: MethodId = NO_METHOD) -> PreconditionFailed:
    return PreconditionFailed(f"{resource('queue', queue, vhost)} not empty", method=method)


def in_exclusive_use(queue: str, vhost: str, *, method: MethodId = NO_METHOD) -> AccessRefused:
    return AccessRefused(f"{resource('queue', queue, vhost)} in exclusive use", method=method)


def not_supported_by_streams(what: str, queue: str, vhost: str, *, method: MethodId = NO_METHOD) -> NotImplemented_:
    """A stream keeps its messages: nothing takes one out."""
    return NotImplemented_(f"{what} not supported by stream queues {resource('queue', queue, vhost)}", method=method)


def reserved_name(kind: Kind, name: str, *, method: MethodId = NO_METHOD) -> AccessRefused:
    return AccessRefused(f"{kind} name '{name}' contains reserved prefix 'amq.*'", method=method)


def default_exchange(*, method: MethodId = NO_METHOD) -> AccessRefused:
    return AccessRefused("operation not permitted on the default exchange", method=method)


def internal_exchange(exchange: str, vhost: str, *, method: MethodId = NO_METHOD) -> AccessRefused:
    return AccessRefused(f"cannot publish to internal {resource('exchange', exchange, vhost)}", method=method)


def unknown_exchange_type(exchange_type: str, *, method: MethodId = NO_METHOD) -> PreconditionFailed:
    return PreconditionFailed(f"unknown exchange type '{exchange_type}'", method=method)


def unknown_delivery_tag(delivery_tag: int, *, method: MethodId = NO_METHOD) -> PreconditionFailed:
    return PreconditionFailed(f"unknown delivery tag {delivery_tag}", method=method)


def no_permission(
    permission: Literal["configure", "write", "read"], kind: Kind, name: str, vhost: str, user: str,
    *, method: MethodId = NO_METHOD,
) -> AccessRefused:  # fmt: skip
    return AccessRefused(
        f"{permission} access to {resource(kind, name, vhost)} refused for user '{user}'", method=method
    )


def no_topic_permission(
    permission: Literal["write", "read"], routing_key: str, exchange: str, vhost: str, user: str,
    *, method: MethodId = NO_METHOD,
) -> AccessRefused:  # fmt: skip
    return AccessRefused(
        f"{permission} access to topic '{routing_key}' in {resource('exchange', exchange, vhost)} refused for "
        f"user '{user}'",
        method=method,
    )


def queue_limit_reached(queue: str, vhost: str, limit: int, *, method: MethodId = NO_METHOD) -> PreconditionFailed:
    return PreconditionFailed(
        f"cannot declare queue '{queue}': queue limit in vhost '{vhost}' ({limit}) is reached", method=method
    )


def vhost_connection_limit_reached(vhost: str, user: str, limit: int, *, method: MethodId = NO_METHOD) -> NotAllowed:
    return NotAllowed(
        f"access to vhost '{vhost}' refused for user '{user}': connection limit ({limit}) is reached", method=method
    )


def user_connection_limit_reached(user: str, limit: int, *, method: MethodId = NO_METHOD) -> NotAllowed:
    return NotAllowed(
        f"connection refused for user '{user}': user connection limit ({limit}) is reached", method=method
    )


def user_channel_limit_reached(user: str, limit: int, *, method: MethodId = NO_METHOD) -> NotAllowed:
    return NotAllowed(
        f"number of channels opened for user '{user}' has reached the maximum allowed user limit of ({limit})",
        method=method,
    )
