"""The direct exchange: the routing key equals the binding key."""
from __future__ import annotations

from collections.abc import Collection
from typing import Final

from topology.exchanges.table import Destinations, Headers
from topology.model import Binding, Destination

NOWHERE: Final = Destinations()


class DirectTable:
    """Binding key to destinations."""

    uses_key = True
    uses_headers = False

    def __init__(self) -> None:
        self._by_key: dict[str, Destinations] = {}

    def add(self, binding: Binding) -> None:
        self._by_key.setdefault(binding.routing_key, Destinations()).include(binding.target)

    def remove(self, binding: Binding) -> None:
        destinations = self._by_key[binding.routing_key]
        destinations.exclude(binding.target)
        if not destinations:
            del self._by_key[binding.routing_key]

    def match(self, routing_key: str, headers: Headers | None) -> Collection[Destination]:
        return self._by_key.get(routing_key, NOWHERE)
