"""The bindings of one vhost, found from either end.

Every answer costs what it names: the bindings of one exchange or of one queue,
never a walk over all of them.
"""
from __future__ import annotations

from collections.abc import Collection, Iterator

from topology.model import EXCHANGE, Binding, BindingIdentity, Destination

Bindings = dict[BindingIdentity, Binding]


class BindingIndex:
    """Owns the bindings of a vhost. Knows nothing of exchanges, queues or routing."""

    def __init__(self) -> None:
        self._by_source: dict[str, Bindings] = {}
        self._by_destination: dict[Destination, Bindings] = {}
        self._exchanges_of: dict[str, dict[str, int]] = {}      # source exchange: destination exchanges

    def __iter__(self) -> Iterator[Binding]:
        for bindings in self._by_source.values():
            yield from bindings.values()

    def get(self, identity: BindingIdentity) -> Binding | None:
        return self._by_source.get(identity.source, {}).get(identity)

    def add(self, binding: Binding) -> bool:
        """False where this binding is already there."""
        identity = binding.identity()
        of_source = self._by_source.setdefault(binding.source, {})
        if identity in of_source:
            return False
        of_source[identity] = binding
        self._by_destination.setdefault(binding.target, {})[identity] = binding
        if binding.destination_kind == EXCHANGE:
            exchanges = self._exchanges_of.setdefault(binding.source, {})
            exchanges[binding.destination] = exchanges.get(binding.destination, 0) + 1
        return True

    def remove(self, identity: BindingIdentity) -> Binding | None:
        """The binding that was there, or None."""
        of_source = self._by_source.get(identity.source)
        binding = of_source.pop(identity, None) if of_source else None
        if of_source is None or binding is None:
            return None
        if not of_source:
            del self._by_source[identity.source]
        of_destination = self._by_destination[binding.target]
        del of_destination[identity]
        if not of_destination:
            del self._by_destination[binding.target]
        if binding.destination_kind == EXCHANGE:
            exchanges = self._exchanges_of[binding.source]
            exchanges[binding.destination] -= 1
            if not exchanges[binding.destination]:
                del exchanges[binding.destination]
            if not exchanges:
                del self._exchanges_of[binding.source]
        return binding

    def from_source(self, exchange: str) -> Collection[Binding]:
        """The bindings that start at an exchange."""
        return self._by_source.get(exchange, {}).values()

    def to_destination(self, destination: Destination) -> Collection[Binding]:
        """The bindings that end at a queue or an exchange."""
        return self._by_destination.get(destination, {}).values()

    def exchanges_of(self, source: str) -> Collection[str]:
        """The exchanges that an exchange is bound to pass messages on to."""
        return self._exchanges_of.get(source, {}).keys()

    def count_from(self, exchange: str) -> int:
        return len(self._by_source.get(exchange, ()))
