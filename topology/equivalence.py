"""Whether a declaration fits what exists, and the checks of a declaration of something new.

Every function either returns or raises the error that RabbitMQ would send. The
gateway asks them of its replica, the catalog asks them again of the truth.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from amqp091.errors import PreconditionFailed
from amqp091.refusals import locked
from topology import arguments as queue_arguments
from topology.erlang import term, text
from topology.exchanges import check_exchange_arguments, check_exchange_type
from topology.model import ALTERNATE_EXCHANGE, EXCHANGE, QUEUE, Exchange, Queue
from topology.names import check_not_default_exchange, check_not_reserved, described
from topology.value_types import type_class, type_name

Arguments = Mapping[str, Any]
ABSENT: Final = object()


def check_exchange_declare(vhost: str, name: str, exchange_type: str, arguments: Arguments) -> None:
    """A new exchange may be declared like this."""
    check_exchange_type(exchange_type)
    check_not_default_exchange(name)
    check_not_reserved(EXCHANGE, name)
    queue_arguments.check_name_argument(arguments, ALTERNATE_EXCHANGE, EXCHANGE, name, vhost)
    check_exchange_arguments(vhost, name, exchange_type, arguments)


def check_queue_declare(
    vhost: str, name: str, *, durable: bool, exclusive: bool, auto_delete: bool, arguments: Arguments
) -> None:
    """A new queue may be declared like this. Generated names are not checked for the reserved prefix here."""
    queue_arguments.check_queue_declare(
        vhost, name, arguments, durable=durable, exclusive=exclusive, auto_delete=auto_delete
    )


def check_exchange_equivalent(
    exchange: Exchange, exchange_type: str, *, durable: bool, auto_delete: bool, internal: bool, arguments: Arguments
) -> None:
    """The declaration means the exchange that exists."""
    check_exchange_type(exchange_type)
    resource = described(EXCHANGE, exchange.name, exchange.vhost)
    _check_field(resource, "type", exchange.type, exchange_type)
    _check_field(resource, "durable", exchange.durable, durable)
    _check_field(resource, "auto_delete", exchange.auto_delete, auto_delete)
    _check_field(resource, "internal", exchange.internal, internal)
    _check_arguments(resource, exchange.arguments, arguments, (ALTERNATE_EXCHANGE,))


def check_queue_equivalent(
    queue: Queue, *, durable: bool, exclusive: bool, auto_delete: bool, arguments: Arguments, owner: str | None
) -> None:
    """The declaration means the queue that exists, and comes from a connection that may use it."""
    if queue.owner != (owner if exclusive else None):
        raise locked(queue.name, queue.vhost)
    resource = described(QUEUE, queue.name, queue.vhost)
    _check_field(resource, "durable", queue.durable, durable and not exclusive)
    _check_field(resource, "auto_delete", queue.auto_delete, auto_delete)
    _check_arguments(resource, queue.arguments, arguments, queue_arguments.known_arguments(queue.arguments))


def check_exclusive_access(queue: Queue, owner: str | None) -> None:
    """An exclusive queue is there for its own connection alone."""
    if queue.owner is not None and queue.owner != owner:
        raise locked(queue.name, queue.vhost)


def _check_field(resource: str, key: str, current: Any, received: Any) -> None:
    if received != current:
        raise _inequivalent(resource, key, f"'{text(received)}'", f"'{text(current)}'")


def _check_arguments(resource: str, current: Arguments, received: Arguments, keys: Iterable[str]) -> None:
    for key in keys:
        now, wanted = current.get(key, ABSENT), received.get(key, ABSENT)
        if now is ABSENT and wanted is ABSENT:
            continue
        if key == queue_arguments.QUEUE_TYPE and _is_default_type(now) and _is_default_type(wanted):
            continue
        if now is ABSENT or wanted is ABSENT:
            raise _inequivalent(resource, key, _with_type(wanted), _with_type(now))
        if type_class(now) != type_class(wanted) or now != wanted:
            raise _inequivalent(resource, key, f"'{text(wanted)}'", f"'{text(now)}'")


def _is_default_type(value: Any) -> bool:
    return value is ABSENT or bool(value == queue_arguments.DEFAULT_QUEUE_TYPE)


def _with_type(value: Any) -> str:
    if value is ABSENT:
        return "none"
    shown = value if isinstance(value, (str, bytes)) else term(value)
    return f"the value '{text(shown)}' of type '{type_name(value)}'"


def _inequivalent(resource: str, key: str, received: str, current: str) -> PreconditionFailed:
    return PreconditionFailed(
        f"inequivalent arg '{key}' for {resource}: received {received} but current is {current}"
    )
