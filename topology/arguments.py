"""The arguments of queue.declare: which queue type knows which, what values they take, what a refusal says.

Checks only. An argument that no queue type knows is kept and ignored; one that
some other type knows is refused, since the client counts on an effect.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from amqp091.errors import PreconditionFailed
from topology.backoff import (
    BACKOFF_FACTOR,
    BACKOFF_MAX,
    BACKOFF_MIN,
    FACTOR_MAX,
    RETRY_MAX,
    RETRY_MIN,
    RETRY_TYPE,
    RETRY_TYPES,
)
from topology.deduplication import (
    CACHE_SIZE,
    CACHE_SIZE_MAX,
    CACHE_TTL,
    DEDUPLICATION,
    DEDUPLICATION_HEADER,
    HEADER_BYTES_MAX,
)
from topology.durations import age_ms
from topology.erlang import term, text
from topology.model import QUEUE, Kind, Queue
from topology.names import described
from topology.value_types import FLOAT_TYPES, INTEGER_TYPES, type_name

Arguments = Mapping[str, Any]

QUEUE_TYPE: Final = "x-queue-type"
CLASSIC: Final = "classic"
QUORUM: Final = "quorum"
STREAM: Final = "stream"
DEFAULT_QUEUE_TYPE: Final = CLASSIC
SUPPORTED_QUEUE_TYPES: Final = (CLASSIC, QUORUM, STREAM)

DEAD_LETTER_EXCHANGE: Final = "x-dead-letter-exchange"
DEAD_LETTER_ROUTING_KEY: Final = "x-dead-letter-routing-key"
MAX_AGE: Final = "x-max-age"
STREAM_SEGMENT_BYTES: Final = "x-stream-max-segment-size-bytes"
EXPIRY_MS_MAX: Final = 10 * 365 * 24 * 3600 * 1000
PRIORITY_MAX: Final = 255
STREAM_FILTER_BYTES_MIN: Final = 16
STREAM_FILTER_BYTES_MAX: Final = 255
STREAM_SEGMENT_BYTES_MAX: Final = 3_000_000_000
QUEUE_VERSIONS: Final = (1, 2)
DELIVERY_LIMIT: Final = "x-delivery-limit"
UNLIMITED_DELIVERIES: Final = -1
DELIVERY_LIMIT_DEFAULT: Final = 20
"""Of a quorum queue, as in RabbitMQ since 4.0."""
SINGLE_ACTIVE_CONSUMER: Final = "x-single-active-consumer"
CONSUMER_TIMEOUT: Final = "x-consumer-timeout"

OVERFLOW_MODES: Final = ("drop-head", "reject-publish", "reject-publish-dlx")
QUEUE_MODES: Final = ("default", "lazy")
LEADER_LOCATORS: Final = ("client-local", "balanced", "random", "least-leaders")
DEAD_LETTER_STRATEGIES: Final = ("at-most-once", "at-least-once")

KNOWN_ARGUMENTS: Final[dict[str, tuple[str, ...]]] = {
    CLASSIC: (
        "x-expires", "x-message-ttl", DEAD_LETTER_EXCHANGE, DEAD_LETTER_ROUTING_KEY, "x-max-length",
        "x-max-length-bytes", "x-max-in-memory-length", "x-max-in-memory-bytes", "x-max-priority", "x-overflow",
        "x-queue-mode", "x-queue-version", SINGLE_ACTIVE_CONSUMER, QUEUE_TYPE, "x-queue-master-locator",
        "x-queue-leader-locator", CONSUMER_TIMEOUT, BACKOFF_MIN, BACKOFF_FACTOR, BACKOFF_MAX,
        DEDUPLICATION, DEDUPLICATION_HEADER, CACHE_SIZE, CACHE_TTL,
    ),
    QUORUM: (
        DEAD_LETTER_EXCHANGE, DEAD_LETTER_ROUTING_KEY, "x-dead-letter-strategy", "x-expires", "x-max-length",
        "x-max-length-bytes", "x-max-in-memory-length", "x-max-in-memory-bytes", "x-overflow",
        SINGLE_ACTIVE_CONSUMER, QUEUE_TYPE, "x-quorum-initial-group-size", DELIVERY_LIMIT, "x-message-ttl",
        "x-queue-leader-locator", CONSUMER_TIMEOUT, RETRY_TYPE, RETRY_MIN, RETRY_MAX, BACKOFF_MIN, BACKOFF_FACTOR,
        BACKOFF_MAX, DEDUPLICATION, DEDUPLICATION_HEADER, CACHE_SIZE, CACHE_TTL,
    ),
    STREAM: (
        "x-max-length-bytes", QUEUE_TYPE, MAX_AGE, STREAM_SEGMENT_BYTES,
        "x-stream-filter-size-bytes", "x-initial-cluster-size", "x-queue-leader-locator",
    ),
}
ALL_KNOWN: Final = frozenset(key for keys in KNOWN_ARGUMENTS.values() for key in keys)


class _Unacceptable(Exception):
    """A value that its argument does not take; the text is the term that RabbitMQ prints."""


def queue_type_of(arguments: Arguments) -> str:
    """The type that a queue has or would get. Meaningful once the arguments are checked."""
    queue_type = arguments.get(QUEUE_TYPE, DEFAULT_QUEUE_TYPE)
    return queue_type if isinstance(queue_type, str) else DEFAULT_QUEUE_TYPE


def check_default_queue_type(queue_type: Any) -> None:
    """PreconditionFailed unless queues of a vhost can have the type by default."""
    if queue_type not in SUPPORTED_QUEUE_TYPES:
        raise PreconditionFailed(f"{text(queue_type)} is not a valid queue type")


def with_default_type(
    arguments: Arguments, default_queue_type: str | None, *, durable: bool, exclusive: bool, auto_delete: bool
) -> dict[str, Any]:
    """The arguments with the type that a vhost gives to queues which ask for none: classic, where that does not fit."""
    completed = dict(arguments)
    if default_queue_type is not None and QUEUE_TYPE not in arguments:
        fits = durable and not exclusive and not auto_delete
        completed[QUEUE_TYPE] = default_queue_type if fits else CLASSIC
    return completed


def is_stream(queue: Queue) -> bool:
    return queue_type_of(queue.arguments) == STREAM


def keeps_all(queue: Queue) -> bool:
    """Every message goes to the disk, whatever its delivery mode: quorum queues and streams."""
    return queue_type_of(queue.arguments) in (QUORUM, STREAM)


def known_arguments(arguments: Arguments) -> tuple[str, ...]:
    """The arguments that matter for a queue of this type."""
    return KNOWN_ARGUMENTS.get(queue_type_of(arguments), KNOWN_ARGUMENTS[DEFAULT_QUEUE_TYPE])


def module_name(queue_type: str) -> str:
    """How texts name a queue type."""
    return f"rabbit_{queue_type}_queue"


def check_name_argument(arguments: Arguments, key: str, kind: Kind, name: str, vhost: str) -> None:
    """An argument that names an exchange has to be a string; refused before all others."""
    value = arguments.get(key, "")
    if not isinstance(value, str):
        raise PreconditionFailed(f"invalid type '{type_name(value)}' for arg '{key}' in {described(kind, name, vhost)}")


def check_server_named(arguments: Arguments) -> None:
    """A queue without a name gets one only where its type allows it."""
    queue_type = queue_type_of(arguments)
    if queue_type != CLASSIC and queue_type in KNOWN_ARGUMENTS:
        raise PreconditionFailed(f"Cannot declare a server-named queue for type {module_name(queue_type)}")


def check_queue_declare(
    vhost: str, name: str, arguments: Arguments, *, durable: bool, exclusive: bool, auto_delete: bool
) -> None:
    """PreconditionFailed unless a new queue may be declared like this."""
    check_name_argument(arguments, DEAD_LETTER_EXCHANGE, QUEUE, name, vhost)
    _check_value(vhost, name, arguments, QUEUE_TYPE)
    queue_type = queue_type_of(arguments)
    known = KNOWN_ARGUMENTS[queue_type]
    for key in CHECKS:
        if key in known and key in arguments:
            _check_value(vhost, name, arguments, key)
    for key in arguments:
        if key in ALL_KNOWN and key not in known:
            raise PreconditionFailed(
                f"invalid arg '{key}' for {described(QUEUE, name, vhost)} of queue type {module_name(queue_type)}"
            )
    if queue_type != CLASSIC:
        for wrong, prop in ((auto_delete, "auto-delete"), (exclusive, "exclusive-owner"), (not durable, "non-durable")):
            if wrong:
                raise PreconditionFailed(f"invalid property '{prop}' for {described(QUEUE, name, vhost)}")
    if arguments.get(STREAM_SEGMENT_BYTES, 0) > STREAM_SEGMENT_BYTES_MAX:
        raise PreconditionFailed(f"Exceeded max value for {STREAM_SEGMENT_BYTES}")


def _check_value(vhost: str, name: str, arguments: Arguments, key: str) -> None:
    if key not in arguments:
        return
    try:
        CHECKS[key](arguments[key], arguments)
    except _Unacceptable as unacceptable:
        raise PreconditionFailed(
            f"invalid arg '{key}' for {described(QUEUE, name, vhost)}: {unacceptable}"
        ) from None


Check = Callable[[Any, Arguments], None]


def _integer(value: Any, arguments: Arguments) -> None:
    if type_name(value) not in INTEGER_TYPES:
        raise _Unacceptable(f'"expected integer, got {type_name(value)}"')


def _not_negative(value: Any, arguments: Arguments) -> None:
    _integer(value, arguments)
    if value < 0:
        raise _Unacceptable(f"{{value_negative,{value}}}")


def _positive(value: Any, arguments: Arguments) -> None:
    _not_negative(value, arguments)
    if value == 0:
        raise _Unacceptable("{value_zero,0}")


def _milliseconds(value: Any, arguments: Arguments) -> None:
    _integer(value, arguments)
    if value > EXPIRY_MS_MAX:
        raise _Unacceptable(f"{{value_too_large,{value}}}")
    if value < 0:
        raise _Unacceptable(f"{{value_negative,{value}}}")


def _expires(value: Any, arguments: Arguments) -> None:
    _integer(value, arguments)
    if value == 0:
        raise _Unacceptable("{value_zero,0}")
    _milliseconds(value, arguments)


def _priority(value: Any, arguments: Arguments) -> None:
    _not_negative(value, arguments)
    if value > PRIORITY_MAX:
        raise _Unacceptable(f"{{max_value_exceeded,{value}}}")


def _boolean(value: Any, arguments: Arguments) -> None:
    if not isinstance(value, bool):
        raise _Unacceptable(f"{{unacceptable_type,{type_name(value)}}}")


def _string(value: Any, arguments: Arguments) -> None:
    if type_name(value) != "longstr":
        raise _Unacceptable(f"{{unacceptable_type,{type_name(value)}}}")


def _dead_letter_routing_key(value: Any, arguments: Arguments) -> None:
    _string(value, arguments)
    if DEAD_LETTER_EXCHANGE not in arguments:
        raise _Unacceptable("routing_key_but_no_dlx_defined")


def _one_of(values: tuple[str, ...], refusal: str) -> Check:
    """A string out of a few; `{}` in the refusal stands for what came instead."""

    def check(value: Any, arguments: Arguments) -> None:
        _string(value, arguments)
        if value not in values:
            raise _Unacceptable(refusal.replace("{}", value if isinstance(value, str) else term(value)))

    return check


def _queue_version(value: Any, arguments: Arguments) -> None:
    _not_negative(value, arguments)
    if value not in QUEUE_VERSIONS:
        raise _Unacceptable(f"\"unsupported queue version '{value}'\"")


def _delivery_limit(value: Any, arguments: Arguments) -> None:
    _integer(value, arguments)
    if value != UNLIMITED_DELIVERIES:
        _not_negative(value, arguments)


def _of_backoff(arguments: Arguments) -> None:
    if BACKOFF_MIN not in arguments:
        raise _Unacceptable("redelivery_backoff_without_min")


def _backoff_factor(value: Any, arguments: Arguments) -> None:
    if type_name(value) not in INTEGER_TYPES + FLOAT_TYPES:
        raise _Unacceptable(f'"expected number, got {type_name(value)}"')
    if math.isnan(value) or value < 1:
        raise _Unacceptable(f"{{value_below_one,{value}}}")
    if value > FACTOR_MAX:
        raise _Unacceptable(f"{{value_too_large,{value}}}")
    _of_backoff(arguments)


def _backoff_max(value: Any, arguments: Arguments) -> None:
    _milliseconds(value, arguments)
    _of_backoff(arguments)
    if value < arguments[BACKOFF_MIN]:
        raise _Unacceptable(f"{{value_below_min,{value}}}")


def _deduplication_header(value: Any, arguments: Arguments) -> None:
    _string(value, arguments)
    if not 0 < len(value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value) <= HEADER_BYTES_MAX:
        raise _Unacceptable("invalid_deduplication_header")


def _cache_size(value: Any, arguments: Arguments) -> None:
    _positive(value, arguments)
    if value > CACHE_SIZE_MAX:
        raise _Unacceptable(f"{{max_value_exceeded,{value}}}")


def _max_age(value: Any, arguments: Arguments) -> None:
    _string(value, arguments)
    if not isinstance(value, str) or age_ms(value) is None:
        raise _Unacceptable("invalid_max_age")


def _stream_filter_bytes(value: Any, arguments: Arguments) -> None:
    _not_negative(value, arguments)
    if not STREAM_FILTER_BYTES_MIN <= value <= STREAM_FILTER_BYTES_MAX:
        raise _Unacceptable(f"{{invalid_stream_filter_size_bytes,{value}}}")


# In the order in which RabbitMQ checks them: with several wrong, the first is named.
CHECKS: Final[dict[str, Check]] = {
    QUEUE_TYPE: _one_of(SUPPORTED_QUEUE_TYPES, "\"unsupported queue type '{}'\""),
    "x-expires": _expires,
    "x-message-ttl": _milliseconds,
    DEAD_LETTER_EXCHANGE: _string,
    DEAD_LETTER_ROUTING_KEY: _dead_letter_routing_key,
    "x-dead-letter-strategy": _one_of(DEAD_LETTER_STRATEGIES, "invalid_dlx_strategy"),
    "x-max-length": _not_negative,
    "x-max-length-bytes": _not_negative,
    "x-max-in-memory-length": _not_negative,
    "x-max-in-memory-bytes": _not_negative,
    "x-max-priority": _priority,
    "x-overflow": _one_of(OVERFLOW_MODES, "invalid_overflow"),
    "x-queue-mode": _one_of(QUEUE_MODES, "\"unsupported queue mode '{}'\""),
    "x-queue-version": _queue_version,
    SINGLE_ACTIVE_CONSUMER: _boolean,
    CONSUMER_TIMEOUT: _not_negative,
    DELIVERY_LIMIT: _delivery_limit,
    RETRY_TYPE: _one_of(RETRY_TYPES, "invalid_delayed_retry_type"),
    RETRY_MIN: _milliseconds,
    RETRY_MAX: _milliseconds,
    BACKOFF_MIN: _expires,
    BACKOFF_FACTOR: _backoff_factor,
    BACKOFF_MAX: _backoff_max,
    DEDUPLICATION: _boolean,
    DEDUPLICATION_HEADER: _deduplication_header,
    CACHE_SIZE: _cache_size,
    CACHE_TTL: _expires,
    "x-quorum-initial-group-size": _positive,
    MAX_AGE: _max_age,
    STREAM_SEGMENT_BYTES: _not_negative,
    "x-stream-filter-size-bytes": _stream_filter_bytes,
    "x-initial-cluster-size": _positive,
    "x-queue-leader-locator": _one_of(LEADER_LOCATORS, "invalid_queue_locator_arg"),
    "x-queue-master-locator": _string,
}
