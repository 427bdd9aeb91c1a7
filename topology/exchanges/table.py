"""What every exchange type's routing table can do.

A table holds the bindings from one exchange in the form in which its type
looks them up. It is told of bindings that are new (`add`) and of bindings that
it holds (`remove`), never of the same one twice; it owns no bindings and knows
no other exchange.

Most types match: any number of destinations, for each routing key. Some choose:
one destination, for the message, however many routing keys it has.
"""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any, Protocol

from topology.choice import Choice
from topology.model import Binding, Destination

Headers = Mapping[str, Any]


class RoutingTable(Protocol):
    """The bindings from one exchange, ready to be matched."""

    uses_key: bool
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


Bound = Destination | Destinations | None
"""What is bound with one of very many keys: nothing, one thing once (nearly always), or more."""


def bound_with(bound: Bound, destination: Destination) -> Bound:
    """With one more binding."""
    if bound is None:
        return destination
    if not isinstance(bound, Destinations):
        only, bound = bound, Destinations()
        bound.include(only)
    bound.include(destination)
    return bound


def bound_without(bound: Bound, destination: Destination) -> Bound:
    """With one less, which is there."""
    if isinstance(bound, Destinations):
        bound.exclude(destination)
        return bound or None
    return None


def places_of(bound: Bound) -> Collection[Destination]:
    """Each once."""
    return () if bound is None else bound if isinstance(bound, Destinations) else (bound,)


class ChoosingTable(ABC):
    """The bindings from an exchange whose type sends each message to one of its destinations."""

    uses_key = False        # the choice may, but what there is to choose from does not depend on it
    uses_headers = False

    def __init__(self) -> None:
        self._choice: Choice | None = None
        self._is_known = False

    def add(self, binding: Binding) -> None:
        self.include(binding)
        self._is_known = False

    def remove(self, binding: Binding) -> None:
        self.exclude(binding)
        self._is_known = False

    @property
    def choice(self) -> Choice | None:
        """None where there is nothing to choose from. The same object until bindings change."""
        if not self._is_known:
            self._choice = self.make_choice()
            self._is_known = True
        return self._choice

    @abstractmethod
    def include(self, binding: Binding) -> None: ...

    @abstractmethod
    def exclude(self, binding: Binding) -> None: ...

    @abstractmethod
    def make_choice(self) -> Choice | None: ...


class EvenTable(ChoosingTable):
    """Where every binding counts the same, so that a destination with two of them gets twice as much."""

    def __init__(self) -> None:
        super().__init__()
        self._destinations = Destinations()

    def include(self, binding: Binding) -> None:
        self._destinations.include(binding.target)

    def exclude(self, binding: Binding) -> None:
        self._destinations.exclude(binding.target)

    @property
    def places(self) -> list[Destination]:
        """The destination of each binding, in an order that all processes share."""
        return [destination for destination, count in sorted(self._destinations.items()) for _ in range(count)]
