"""The keys of a policy's definition: what values each takes, and whose value holds where several set it.

One table, KEYS. A key is the argument of the same name without its `x-`. Values only; which policies there are for a
queue, and what comes of them, is in topology/policies.py and topology/effective.py.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from topology.arguments import (
    CLASSIC,
    DEAD_LETTER_STRATEGIES,
    LEADER_LOCATORS,
    OVERFLOW_MODES,
    QUEUE_MODES,
    QUEUE_VERSIONS,
    QUORUM,
    STREAM,
    STREAM_FILTER_BYTES_MAX,
    STREAM_FILTER_BYTES_MIN,
)
from topology.backoff import FACTOR_MAX, RETRY_TYPES
from topology.durations import age_ms
from topology.model import ALTERNATE_EXCHANGE
from topology.patterns import InvalidPattern, compiled

INTEGER_MAX: Final = (1 << 63) - 1
"""What an argument of the protocol can hold, and the shards compute with."""
NAME_BYTES_MAX: Final = 255
"""Of exchanges and routing keys: short strings of the protocol."""
SEGMENT_BYTES_MAX: Final = 3_000_000_000
MASTER_LOCATORS: Final = ("min-masters", "client-local", "random", *LEADER_LOCATORS)

Rule = Callable[[Any, Any], bool]
"""Whether the second value holds against the first."""
Check = Callable[[Any], bool]


def lower(first: Any, second: Any) -> bool:
    return bool(second < first)


def higher(first: Any, second: Any) -> bool:
    return bool(second > first)


def stricter(first: Any, second: Any) -> bool:
    """The lower limit, where a negative one is none at all (RabbitMQ takes the higher then)."""
    return higher(first, second) if first < 0 or second < 0 else lower(first, second)


def replaces(first: Any, second: Any) -> bool:
    return True


def yields(first: Any, second: Any) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a definition. `{}` in the refusal stands for the value.

    `operator`: whose value holds where a policy (first) and an operator policy (second) have the key; None where an
    operator policy does not take it. `argument`: the same between the policies and the argument of the queue (second),
    with what a queue type does otherwise. `unknown_to`: queue types to which a policy with this key does not apply.
    """

    check: Check
    refusal: str
    operator: Rule | None = None
    argument: Rule = replaces
    argument_of_type: dict[str, Rule] = field(default_factory=dict)
    unknown_to: tuple[str, ...] = ()

    def against_argument(self, queue_type: str) -> Rule:
        return self.argument_of_type.get(queue_type, self.argument)


def _integer(lowest: int, highest: int = INTEGER_MAX) -> Check:
    return lambda value: type(value) is int and lowest <= value <= highest


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _name(value: Any) -> bool:
    return isinstance(value, str) and len(value.encode()) <= NAME_BYTES_MAX


def _one_of(values: tuple[Any, ...]) -> Check:
    return lambda value: type(value) is type(values[0]) and value in values


def _max_age(value: Any) -> bool:
    return isinstance(value, str) and age_ms(value) is not None


def _factor(value: Any) -> bool:
    return type(value) in (int, float) and 1 <= value <= FACTOR_MAX


def _pattern(value: Any) -> bool:
    try:
        return isinstance(value, str) and compiled(value) is not None
    except InvalidPattern:
        return False


def _anything(value: Any) -> bool:
    return True


_MIRRORING: Final = Key(_anything, "{}", operator=replaces, unknown_to=(QUORUM, STREAM))
"""Mirrored classic queues, gone in RabbitMQ 4: kept as they come from definitions, without any effect."""

KEYS: Final[dict[str, Key]] = {
    ALTERNATE_EXCHANGE: Key(_name, "{} is not a valid alternate exchange name"),
    "consumer-disconnected-timeout": Key(_integer(0), "{} is not a valid consumer disconnected timeout"),
    "consumer-timeout": Key(
        _integer(0), "{} is not a valid consumer timeout", argument=lower, unknown_to=(STREAM,)
    ),
    "dead-letter-exchange": Key(_name, "{} is not a valid dead letter exchange name", unknown_to=(STREAM,)),
    "dead-letter-routing-key": Key(_name, "{} is not a valid dead letter routing key", unknown_to=(STREAM,)),
    "dead-letter-strategy": Key(
        _one_of(DEAD_LETTER_STRATEGIES), "{} is not a valid dead letter strategy", unknown_to=(CLASSIC, STREAM)
    ),
    "delayed-retry-max": Key(
        _integer(1), "{} is not a valid delayed retry maximum delay. Must be a positive integer",
        operator=lower, argument=lower,
    ),
    "delayed-retry-min": Key(
        _integer(1), "{} is not a valid delayed retry minimum delay. Must be a positive integer",
        operator=higher, argument=lower,
    ),
    "delayed-retry-type": Key(
        _one_of(RETRY_TYPES),
        "{} is not a valid delayed retry type. Must be one of: all, failed, returned, disabled",
        operator=replaces, argument_of_type={QUORUM: yields},
    ),
    "delivery-limit": Key(
        _integer(-INTEGER_MAX), "{} is not a valid delivery limit", operator=stricter, argument=stricter,
        unknown_to=(CLASSIC, STREAM),
    ),
    "expires": Key(_integer(1), "{} is not a valid queue expiry", operator=lower, argument=lower, unknown_to=(STREAM,)),
    "federation-upstream": Key(_text, "{} is not a valid federation upstream name"),
    "federation-upstream-pattern": Key(_pattern, "{} is not a valid federation upstream pattern name"),
    "federation-upstream-set": Key(_text, "{} is not a valid federation upstream set name"),
    "ha-mode": _MIRRORING,
    "ha-params": _MIRRORING,
    "ha-promote-on-failure": _MIRRORING,
    "ha-promote-on-shutdown": _MIRRORING,
    "ha-sync-batch-size": _MIRRORING,
    "ha-sync-mode": _MIRRORING,
    "initial-cluster-size": Key(_integer(0), "{} is not a valid cluster size", unknown_to=(CLASSIC, QUORUM)),
    "max-age": Key(
        _max_age, "{} is not a valid max age", argument_of_type={STREAM: yields}, unknown_to=(CLASSIC, QUORUM)
    ),
    "max-in-memory-bytes": Key(
        _integer(0), "{} is not a valid maximum memory in bytes", operator=lower, argument=lower,
        unknown_to=(CLASSIC, STREAM),
    ),
    "max-in-memory-length": Key(
        _integer(0), "{} is not a valid maximum memory in bytes", operator=lower, argument=lower,
        unknown_to=(CLASSIC, STREAM),
    ),
    "max-length": Key(
        _integer(0), "{} is not a valid maximum length", operator=lower, argument=lower, unknown_to=(STREAM,)
    ),
    "max-length-bytes": Key(
        _integer(0), "{} is not a valid maximum length in bytes", operator=lower, argument=lower,
        argument_of_type={STREAM: yields},
    ),
    "member-placement-tag": Key(
        lambda value: _text(value) and value != "",
        "{} is not a valid member-placement-tag value. Must be a non-empty string", operator=replaces,
    ),
    "message-ttl": Key(
        _integer(0), "{} is not a valid message TTL", operator=lower, argument=lower, unknown_to=(STREAM,)
    ),
    "overflow": Key(
        _one_of(OVERFLOW_MODES), "{} is not a valid overflow value", operator=replaces,
        argument_of_type={QUORUM: yields}, unknown_to=(STREAM,),
    ),
    "queue-leader-locator": Key(_one_of(LEADER_LOCATORS), "{} is not a valid queue leader locator value"),
    "queue-master-locator": Key(
        _one_of(MASTER_LOCATORS), "{} is not a valid master locator", operator=replaces, unknown_to=(QUORUM, STREAM)
    ),
    "queue-mode": Key(_one_of(QUEUE_MODES), "{} is not a valid queue-mode value", unknown_to=(QUORUM, STREAM)),
    "queue-version": Key(_one_of(QUEUE_VERSIONS), "{} is not a valid queue-version value", operator=replaces),
    "redelivery-backoff-factor": Key(
        _factor, f"{{}} is not a valid redelivery backoff factor. Valid range is 1-{FACTOR_MAX:g}"
    ),
    "redelivery-backoff-max": Key(_integer(1), "{} is not a valid maximum redelivery backoff"),
    "redelivery-backoff-min": Key(_integer(1), "{} is not a valid minimum redelivery backoff"),
    "stream-filter-size-bytes": Key(
        _integer(STREAM_FILTER_BYTES_MIN, STREAM_FILTER_BYTES_MAX),
        "{} is not a valid filter size. Valid range is 16-255", argument_of_type={STREAM: yields},
    ),
    "stream-max-segment-size-bytes": Key(
        _integer(0, SEGMENT_BYTES_MAX), "{} is not a valid segment size", argument_of_type={STREAM: yields},
        unknown_to=(CLASSIC, QUORUM),
    ),
    "target-group-size": Key(
        _integer(1), "{} is not a valid qq target count value", operator=higher, unknown_to=(CLASSIC, STREAM)
    ),
}
