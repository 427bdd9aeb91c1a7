"""The consistent hash exchange: each message goes to one destination, by a hash; the binding key is a weight.

What is hashed is the routing key, or what one of two arguments of the exchange names:

    hash-header      a header of the message
    hash-property    message_id, correlation_id or timestamp

A destination with several bindings has the sum of their weights. How a destination is found and what moves when
bindings change is told in topology/choice.pyx.
"""
from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from amqp091.errors import PreconditionFailed
from topology.choice import Choice
from topology.erlang import term
from topology.exchanges.table import ChoosingTable
from topology.model import Binding, Destination
from topology.value_types import type_name

HASH_HEADER: Final = "hash-header"
HASH_PROPERTY: Final = "hash-property"
PROPERTIES: Final = ("message_id", "correlation_id", "timestamp")
INTEGER: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
WEIGHT_MAX: Final = 1_000_000
"""RabbitMQ 4.3 stops at 10,000, those before it at what their memory holds. Up to here no sum of weights is rounded."""


def weight_of(routing_key: str) -> int | None:
    """The weight that a binding key gives; None where it is no integer."""
    return int(routing_key) if INTEGER.fullmatch(routing_key) else None


def check_weight(routing_key: str) -> None:
    """PreconditionFailed, with the plugin's text, for a binding key that is no weight."""
    weight = weight_of(routing_key)
    if weight is None:
        raise PreconditionFailed(f"The binding key must be an integer: {term(routing_key)}")
    if weight < 1:
        raise PreconditionFailed("The binding key must be greater than 0")
    if weight > WEIGHT_MAX:
        raise PreconditionFailed(f"The binding key must not exceed {WEIGHT_MAX}")


def check_hash_arguments(arguments: Mapping[str, Any], resource: str) -> None:
    """PreconditionFailed for arguments that do not say what to hash. `resource`: how texts name the exchange."""
    for key in (HASH_HEADER, HASH_PROPERTY):
        if key in arguments and type_name(arguments[key]) != "longstr":
            raise PreconditionFailed(f"invalid type '{type_name(arguments[key])}' for arg '{key}' in {resource}")
    if HASH_HEADER in arguments and HASH_PROPERTY in arguments:
        raise PreconditionFailed("hash-header and hash-property are mutually exclusive")
    wanted = arguments.get(HASH_PROPERTY)
    if wanted is not None and wanted not in PROPERTIES:
        raise PreconditionFailed(f"Unsupported property: {wanted}")


class ConsistentHashTable(ChoosingTable):
    """Destinations with their weights."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        super().__init__()
        self._hash_header = _text(arguments.get(HASH_HEADER))
        self._hash_property = _text(arguments.get(HASH_PROPERTY))
        self._weights: dict[Destination, int] = {}

    def include(self, binding: Binding) -> None:
        self._weights[binding.target] = self._weights.get(binding.target, 0) + _share(binding)

    def exclude(self, binding: Binding) -> None:
        weight = self._weights.pop(binding.target, 0) - _share(binding)
        if weight > 0:
            self._weights[binding.target] = weight

    def make_choice(self) -> Choice | None:
        weights = {destination: weight for destination, weight in sorted(self._weights.items()) if weight > 0}
        if not weights:
            return None
        return Choice(
            weights, weights=weights.values(), hash_header=self._hash_header, hash_property=self._hash_property
        )


def _share(binding: Binding) -> int:
    """Its weight; nothing for a key that check_weight would not have let pass."""
    return max(weight_of(binding.routing_key) or 0, 0)


def _text(value: Any) -> str | None:
    """Also of a long string that is not UTF-8."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
