"""What every exchange type's routing table can do.

A table holds the bindings from one exchange in the form in which its type
looks them up. It is told of bindings that are new (`add`) and of bindings that
it holds (`remove`), never of the same one twice; it owns no bindings and knows
no other exchange.
"""
from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

from topology.model import Binding, Destination

Headers = Mapping[str, Any]


class RoutingTable(Protocol):
    """The bindings from one exchange, ready to be matched."""

    uses_headers: bool

    def add(self, binding: Binding) -> None: ...

    def remove(self, binding: Binding) -> None: ...

    def match(self, routing_key: str, headers: Headers | None) -> Collection[Destination]:
        """The destinations of a message, each once."""
        ...


class Destinations(dict[Destination, int]):
    """Destinations in the order they came, with the number of bindings that lead to each.

    Bindings may differ in their arguments alone, so several can lead from the
    same key to the same place; it stays until the last of them goes.
    """

    __slots__ = ()

    def include(self, destination: Destination) -> None:
        self[destination] = self.get(destination, 0) + 1

    def exclude(self, destination: Destination) -> None:
        count = self[destination] - 1
        if count:
            self[destination] = count
        else:
            del self[destination]
