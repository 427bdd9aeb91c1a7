"""What holds for one queue: its arguments and the policies that apply to it, merged key by key, and where each value
is from.

Pure: no state, no matching of names. For each key
    1. of the policies that have it, the first one's value (they come in order: highest priority first);
    2. of the operator policies that have it, likewise; where both have it, KEYS says whose value holds;
    3. the argument of the queue against that: again as KEYS says.
So every value is one that somebody wrote, and has one source.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from topology.arguments import (
    ALL_KNOWN,
    EXPIRY_MS_MAX,
    QUEUE_TYPE,
    UNLIMITED_DELIVERIES,
    known_arguments,
    queue_type_of,
)
from topology.features import PLAIN, QueueFeatures, features_of
from topology.model import ALTERNATE_EXCHANGE, Policy
from topology.policy_keys import KEYS, Rule

ARGUMENT: Final = "argument"
POLICY: Final = "policy"
OPERATOR_POLICY: Final = "operator policy"
DEFAULT: Final = "default"
ARGUMENT_PREFIX: Final = "x-"

MILLISECONDS: Final = frozenset({
    "consumer-timeout", "delayed-retry-max", "delayed-retry-min", "expires", "message-ttl", "redelivery-backoff-max",
    "redelivery-backoff-min",
})
"""Policies may name any number here, arguments at most EXPIRY_MS_MAX: beyond it nothing expires anyway."""

DEFAULT_FIELDS: Final = {
    "consumer-timeout": "consumer_timeout_ms",
    "dead-letter-exchange": "dead_letter_exchange",
    "dead-letter-routing-key": "dead_letter_routing_key",
    "delivery-limit": "delivery_limit",
    "expires": "expires_ms",
    "max-age": "max_age_ms",
    "max-length": "max_length",
    "max-length-bytes": "max_length_bytes",
    "message-ttl": "message_ttl_ms",
    "overflow": "overflow",
}
"""The feature that tells what a key is where nobody sets it."""


class Source(NamedTuple):
    """A value and who asked for it; `name` is the policy's, None for an argument or a default."""

    kind: str
    name: str | None
    value: Any


class Resolved(NamedTuple):
    """The value that holds for a key, and those that do not, strongest first."""

    source: Source
    lost: tuple[Source, ...]

    @property
    def value(self) -> Any:
        return self.source.value


Definition = Mapping[str, Resolved]


def merged(policies: Sequence[Policy], operator_policies: Sequence[Policy]) -> dict[str, Resolved]:
    """The definition that policies come to, for a queue or an exchange, without its arguments. Keys in order."""
    asked = _firsts(policies, POLICY)
    for key, bound in _firsts(operator_policies, OPERATOR_POLICY).items():
        rule = KEYS[key].operator
        own = asked.get(key)
        asked[key] = bound if own is None or rule is None else _contest(own, bound, rule)
    return {key: asked[key] for key in sorted(asked)}


def _firsts(policies: Sequence[Policy], kind: str) -> dict[str, Resolved]:
    found: dict[str, list[Source]] = {}
    for policy in policies:
        for key, value in policy.definition.items():
            if key in KEYS:             # a catalog may have been written by a program that knew more
                found.setdefault(key, []).append(Source(kind, policy.name, value))
    return {key: Resolved(sources[0], tuple(sources[1:])) for key, sources in found.items()}


def _contest(first: Resolved, second: Resolved, rule: Rule) -> Resolved:
    if rule(first.value, second.value):
        first, second = second, first
    return Resolved(first.source, (second.source, *second.lost, *first.lost))


def resolved(
    arguments: Mapping[str, Any], policies: Sequence[Policy], operator_policies: Sequence[Policy]
) -> dict[str, Resolved]:
    """For each key of a policy that the queue's arguments or policies set, what holds. Keys in order.

    Without keys that do something for exchanges or for queues of another type only.
    """
    queue_type = queue_type_of(arguments)
    known = known_arguments(arguments)
    result = {
        key: value for key, value in merged(policies, operator_policies).items()
        if key != ALTERNATE_EXCHANGE and (ARGUMENT_PREFIX + key in known or ARGUMENT_PREFIX + key not in ALL_KNOWN)
    }
    for argument in known:
        key = argument.removeprefix(ARGUMENT_PREFIX)
        if argument not in arguments or key not in KEYS:
            continue
        own = Resolved(Source(ARGUMENT, None, arguments[argument]), ())
        asked = result.get(key)
        result[key] = own if asked is None else _contest(asked, own, KEYS[key].against_argument(queue_type))
    return {key: result[key] for key in sorted(result)}


def effective_arguments(arguments: Mapping[str, Any], values: Mapping[str, Resolved]) -> dict[str, Any]:
    """The arguments that a queue would have been declared with, had it been declared as `values` say."""
    result = dict(arguments)
    for key, value in values.items():
        if value.source.kind != ARGUMENT:
            result[ARGUMENT_PREFIX + key] = _bounded(key, value.value)
    return result


def _bounded(key: str, value: Any) -> Any:
    if key in MILLISECONDS:
        return min(value, EXPIRY_MS_MAX)
    return max(value, UNLIMITED_DELIVERIES) if key == "delivery-limit" else value


def effective_features(
    arguments: Mapping[str, Any], policies: Sequence[Policy], operator_policies: Sequence[Policy]
) -> QueueFeatures:
    """What the shard's engine is to do with the queue."""
    if policies or operator_policies:
        arguments = effective_arguments(arguments, resolved(arguments, policies, operator_policies))
    return features_of(arguments) if arguments else PLAIN


def defaults(queue_type: str) -> dict[str, Any]:
    """What holds for a queue of this type where nobody sets a key; None: without it."""
    features = features_of({QUEUE_TYPE: queue_type})
    return {
        key: getattr(features, field)
        for key, field in DEFAULT_FIELDS.items()
        if queue_type not in KEYS[key].unknown_to
    }
