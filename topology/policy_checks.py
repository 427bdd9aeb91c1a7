"""Whether a policy may be set: pattern, definition, priority and apply-to, refused in RabbitMQ's words.

Checks only, all of them before anything is changed.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from amqp091.errors import PreconditionFailed
from topology.arguments import CLASSIC, QUORUM, STREAM
from topology.erlang import json_term, text
from topology.model import Policy
from topology.patterns import InvalidPattern, compiled
from topology.policy_keys import KEYS

QUEUES: Final = "queues"
EXCHANGES: Final = "exchanges"
ALL: Final = "all"
APPLY_TO_TYPE: Final = {"classic_queues": CLASSIC, "quorum_queues": QUORUM, "streams": STREAM}
APPLY_TO: Final = (QUEUES, EXCHANGES, ALL, *APPLY_TO_TYPE)
DELAYED_RETRY_OFF: Final = "disabled"


def checked_policy(vhost: str, name: str, fields: Mapping[str, Any], *, operator: bool) -> Policy:
    """The policy that `pattern`, `definition`, `priority` and `apply-to` describe; PreconditionFailed with all faults.

    As in RabbitMQ `priority` is 0 and `apply-to` "all" where they are missing (or None).
    """
    priority = 0 if fields.get("priority") is None else fields["priority"]
    apply_to = ALL if fields.get("apply-to") is None else fields["apply-to"]
    definition, definition_fault = _definition(name, fields, operator)
    faults = (definition_fault, _apply_to_fault(apply_to), _pattern_fault(name, fields), _priority_fault(priority))
    found = [fault for fault in faults if fault]
    if found:
        raise PreconditionFailed("Validation failed\n\n" + "\n".join(found) + "\n")
    return Policy(vhost, name, fields["pattern"], definition, priority, apply_to, operator)


def _missing(key: str, name: str) -> str:
    return f'Key "{key}" not found in {name}'


def _priority_fault(priority: Any) -> str | None:
    if type(priority) in (int, float):
        return None
    return f"priority should be a number, actually was {json_term(priority)}"


def _pattern_fault(name: str, fields: Mapping[str, Any]) -> str | None:
    pattern = fields.get("pattern")
    if pattern is None:
        return _missing("pattern", name)
    if not isinstance(pattern, str):
        return f"pattern should be a binary but was {json_term(pattern)}"
    try:
        compiled(pattern)
    except InvalidPattern as problem:
        return f"pattern should be regular expression but is invalid: {problem.reason}"
    return None


def _apply_to_fault(apply_to: Any) -> str | None:
    if isinstance(apply_to, str) and apply_to in APPLY_TO:
        return None
    shown = text(apply_to) if isinstance(apply_to, str) else json_term(apply_to)
    return (
        f"apply-to '{shown}' unrecognised; should be one of: 'queues', 'classic_queues',  'quorum_queues', 'streams', "
        "'exchanges', or 'all'"
    )


def _definition(name: str, fields: Mapping[str, Any], operator: bool) -> tuple[dict[str, Any], str | None]:
    """The definition, and the first thing that is wrong with it."""
    given = fields.get("definition")
    if given is None:
        return {}, _missing("definition", name)
    if isinstance(given, (dict, list)) and not given:
        return {}, "no policy provided"
    pairs = _pairs(given)
    if pairs is None:
        return {}, f"definition must be a dictionary: {json_term(given)}"
    keys = [key for key, _ in pairs]
    repeated = sorted({key for key in keys if keys.count(key) > 1})
    if repeated:
        return {}, f"{json_term(repeated)} duplicate keys not allowed"
    definition = dict(pairs)
    return definition, _definition_fault(definition, operator)


def _pairs(given: Any) -> list[tuple[str, Any]] | None:
    """The keys and values of a definition: an object, or (from `rabbitmqctl export_definitions`) a list of pairs."""
    if isinstance(given, dict):
        return list(given.items())
    if not isinstance(given, list):
        return None
    pairs = [(pair[0], pair[1]) for pair in given if isinstance(pair, list) and len(pair) == 2]
    return pairs if len(pairs) == len(given) and all(isinstance(key, str) for key, _ in pairs) else None


def _definition_fault(definition: dict[str, Any], operator: bool) -> str | None:
    unknown = []
    for name, value in sorted(definition.items()):
        key = KEYS.get(name)
        if key is None or (operator and key.operator is None):
            unknown.append(f"{{{json_term(name)},{json_term(value)}}}")
        elif not key.check(value):
            return key.refusal.replace("{}", json_term(value))
    return _delayed_retry_fault(definition) or _backoff_fault(definition) or _federation_fault(definition) or (
        f"[{','.join(unknown)}] are not recognised policy settings" if unknown else None
    )


def _delayed_retry_fault(definition: dict[str, Any]) -> str | None:
    kind, low, high = (definition.get(f"delayed-retry-{part}") for part in ("type", "min", "max"))
    if kind not in (None, DELAYED_RETRY_OFF) and low is None:
        return f"delayed-retry-min is required when delayed-retry-type is {kind}"
    if low is not None and high is not None and high < low:
        return f"delayed-retry-max ({high}) must not be smaller than delayed-retry-min ({low})"
    return None


def _backoff_fault(definition: dict[str, Any]) -> str | None:
    low, high = (definition.get(f"redelivery-backoff-{part}") for part in ("min", "max"))
    if low is not None and high is not None and high < low:
        return f"redelivery-backoff-max ({high}) must not be smaller than redelivery-backoff-min ({low})"
    return None


def _federation_fault(definition: dict[str, Any]) -> str | None:
    if sum(key.startswith("federation-upstream") for key in definition if key in KEYS) < 2:
        return None
    return (
        "cannot specify federation-upstream, federation-upstream-set or federation-upstream-pattern together"
    )
