"""The fanout exchange: every binding matches."""
from __future__ import annotations

from collections.abc import Collection

from topology.exchanges.table import Destinations, Headers
from topology.model import Binding, Destination


class FanoutTable:
    """All destinations."""

    uses_key = False
    uses_headers = False

    def __init__(self) -> None:
        self._destinations = Destinations()

    def add(self, binding: Binding) -> None:
        self._destinations.include(binding.target)

    def remove(self, binding: Binding) -> None:
        self._destinations.exclude(binding.target)

    def match(self, routing_key: str, headers: Headers | None) -> Collection[Destination]:
        return self._destinations
