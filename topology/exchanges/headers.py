"""The headers exchange: binding arguments against message headers, by `x-match`.

    x-match      matches when                       arguments that start with x-
    all          every argument is there, equal     ignored (the default)
    any          at least one is                    ignored
    all-with-x   as all                             count, but for x-match
    any-with-x   as any                             count, but for x-match

A void argument asks only that the header is there. Values are equal when their
type class and value are: any integer type equals any other, 1 is not 1.0.
"""
from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Any, Final

from amqp091.errors import PreconditionFailed
from topology.erlang import term
from topology.exchanges.table import Destinations, Headers
from topology.model import Binding, BindingIdentity, Destination, canonical
from topology.value_types import type_class, type_name

X_MATCH: Final = "x-match"
IGNORED_PREFIX: Final = "x-"
ALL: Final = "all"
MODES: Final = (ALL, "any", "all-with-x", "any-with-x")

Token = tuple[str, Hashable]
Wanted = dict[str, Token | None]        # None: the header has to be there, whatever its value


def check_match_arguments(arguments: Headers) -> None:
    """PreconditionFailed for an x-match that is none of the four."""
    if X_MATCH not in arguments:
        return
    mode = arguments[X_MATCH]
    if not isinstance(mode, str):
        raise PreconditionFailed(
            f"Invalid x-match field type {type_name(mode)} (value {term(mode)}); expected longstr"
        )
    if mode not in MODES:
        raise PreconditionFailed(
            f"Invalid x-match field value {term(mode)}; expected all, any, all-with-x, or any-with-x"
        )


def token(value: Any) -> Token:
    """A hashable stand-in: equal for values that the headers exchange holds equal."""
    kind = type_class(value)
    if isinstance(value, (dict, list)):
        return kind, canonical({"": value})
    return kind, (type(value).__name__, str(value)) if kind == "int" and not isinstance(value, int) else value


class _Pattern:
    """One binding, prepared."""

    __slots__ = ("destination", "needs_all", "wanted")

    def __init__(self, binding: Binding) -> None:
        mode = binding.arguments.get(X_MATCH, ALL)
        with_x = isinstance(mode, str) and mode.endswith("-with-x")
        self.destination = binding.target
        self.needs_all = not (isinstance(mode, str) and mode.startswith("any"))
        self.wanted: Wanted = {
            key: None if value is None else token(value)
            for key, value in binding.arguments.items()
            if key != X_MATCH and (with_x or not key.startswith(IGNORED_PREFIX))
        }

    def entries(self) -> list[tuple[str, Token | None]]:
        """The places of the index under which a message has to find it: one is enough where all must match."""
        entries = list(self.wanted.items())
        if self.needs_all and entries:
            return [next((entry for entry in entries if entry[1] is not None), entries[0])]
        return entries

    def holds(self, tokens: dict[str, Token]) -> bool:
        for key, wanted in self.wanted.items():
            if key not in tokens or (wanted is not None and tokens[key] != wanted):
                return False
        return True


class HeadersTable:
    """Bindings found by the header fields they ask for, so a match need not try each of them."""

    uses_key = False
    uses_headers = True

    def __init__(self) -> None:
        self._patterns: dict[BindingIdentity, _Pattern] = {}
        self._by_field: dict[tuple[str, Token | None], dict[BindingIdentity, _Pattern]] = {}
        self._always = Destinations()           # all of nothing

    def add(self, binding: Binding) -> None:
        identity = binding.identity()
        pattern = _Pattern(binding)
        self._patterns[identity] = pattern
        if pattern.needs_all and not pattern.wanted:
            self._always.include(pattern.destination)
        for entry in pattern.entries():
            self._by_field.setdefault(entry, {})[identity] = pattern

    def remove(self, binding: Binding) -> None:
        identity = binding.identity()
        pattern = self._patterns.pop(identity)
        if pattern.needs_all and not pattern.wanted:
            self._always.exclude(pattern.destination)
        for entry in pattern.entries():
            patterns = self._by_field[entry]
            del patterns[identity]
            if not patterns:
                del self._by_field[entry]

    def match(self, routing_key: str, headers: Headers | None) -> Collection[Destination]:
        found: dict[Destination, None] = dict.fromkeys(self._always)
        tokens = {key: token(value) for key, value in headers.items()} if headers else {}
        for key, value in tokens.items():
            for entry in ((key, value), (key, None)):
                for pattern in self._by_field.get(entry, {}).values():
                    if pattern.destination not in found and (not pattern.needs_all or pattern.holds(tokens)):
                        found[pattern.destination] = None
        return found
