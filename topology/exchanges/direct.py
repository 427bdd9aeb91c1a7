"""The direct exchange: the routing key equals the binding key."""
from __future__ import annotations

from collections.abc import Collection

from topology.exchanges.table import Bound, Headers, bound_with, bound_without, places_of
from topology.model import Binding, Destination


class DirectTable:
    """Binding key to destinations."""

    uses_key = True
    uses_headers = False

    def __init__(self) -> None:
        self._by_key: dict[str, Bound] = {}

    def add(self, binding: Binding) -> None:
        self._by_key[binding.routing_key] = bound_with(self._by_key.get(binding.routing_key), binding.target)

    def remove(self, binding: Binding) -> None:
        left = bound_without(self._by_key[binding.routing_key], binding.target)
        if left is None:
            del self._by_key[binding.routing_key]
        else:
            self._by_key[binding.routing_key] = left

    def match(self, routing_key: str, headers: Headers | None) -> Collection[Destination]:
        return places_of(self._by_key.get(routing_key))
