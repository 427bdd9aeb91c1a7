"""The way of a message over the exchanges of one vhost, from the one it was published to down to queues.

Bindings between exchanges and alternate exchanges are followed, circles cut, each queue named once. A message with a
delay is delayed by the first x-delayed-message exchange on its way: a queue behind that gets it late, one that is
reached without it at once, and one that is reached both ways gets both, as by RabbitMQ's plugin.
"""
from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Any, Protocol

from topology.bindings import BindingIndex
from topology.choice import Choice
from topology.exchanges import DELAYED_MESSAGE, ChoosingTable, Table
from topology.model import EXCHANGE, QUEUE, Destination, Exchange, Queue

Pick = Callable[[Choice], int]
"""Says which of a choice's destinations a message takes."""
Headers = Mapping[str, Any]


class Scope(IntFlag):
    """What of a message, beside the exchange it is published to, can change where it goes."""

    EXCHANGE = 0        # nothing else
    KEY = 1
    HEADERS = 2
    CHOICE = 4          # and there is a choice on the way, which each message makes for itself


@dataclass(frozen=True, slots=True)
class RouteResult:
    """Where a message goes; nowhere where it is unroutable."""

    queues: list[Queue]                                     # each once
    delayed: list[Queue] = field(default_factory=list)      # likewise; these get it after its delay


class Paths(Protocol):
    """What can be asked of a vhost: topology/vhost.py."""

    exchanges: dict[str, Exchange]
    queues: dict[str, Queue]
    bindings: BindingIndex
    tables: dict[str, Table]

    def alternate(self, exchange: Exchange) -> str | None: ...


def route(
    paths: Paths, start: Exchange, routing_keys: Sequence[str], headers: Headers | None, *, has_delay: bool, pick: Pick
) -> RouteResult:
    """The queues that a message goes to; it has one routing key or, with copies, several."""
    queues: dict[str, Queue] = {}
    delayed: dict[str, Queue] = {}
    pending = [(start, has_delay and start.type == DELAYED_MESSAGE)]
    seen = {(start.name, pending[0][1])}
    while pending:
        exchange, is_late = pending.pop()
        found = _destinations(paths.tables[exchange.name], routing_keys, headers, pick)
        if not found:
            alternate = paths.alternate(exchange)
            if alternate is not None:
                found = (Destination(EXCHANGE, alternate),)
        for kind, name in found:
            if kind == QUEUE:
                (delayed if is_late else queues)[name] = paths.queues[name]
            elif name in paths.exchanges:       # an alternate exchange may be declared later or never
                onward = paths.exchanges[name]
                step = name, is_late or (has_delay and onward.type == DELAYED_MESSAGE)
                if step not in seen:
                    seen.add(step)
                    pending.append((onward, step[1]))
    return RouteResult(list(queues.values()), list(delayed.values()))


def _destinations(
    table: Table, routing_keys: Sequence[str], headers: Headers | None, pick: Pick
) -> Collection[Destination]:
    if isinstance(table, ChoosingTable):
        choice = table.choice
        if choice is None:
            return ()
        return (choice.destinations[pick(choice) if len(choice.destinations) > 1 else 0],)
    if len(routing_keys) == 1 or not table.uses_key:
        return table.match(routing_keys[0], headers)
    return {destination: None for key in routing_keys for destination in table.match(key, headers)}


def scope(paths: Paths, start: str) -> Scope:
    """What routes from an exchange depend on, with all that lies behind it. Of a missing exchange: its key."""
    if start not in paths.exchanges:
        return Scope.KEY
    found = Scope.EXCHANGE
    pending = [start]
    seen = {start}
    while pending:
        exchange = paths.exchanges.get(pending.pop())
        if exchange is None:
            continue
        table = paths.tables[exchange.name]
        if table.uses_headers:
            found |= Scope.KEY | Scope.HEADERS
        if table.uses_key:
            found |= Scope.KEY
        if isinstance(table, ChoosingTable):
            found |= Scope.CHOICE
        onward = [*paths.bindings.exchanges_of(exchange.name)]
        alternate = paths.alternate(exchange)
        if alternate is not None:
            onward.append(alternate)
        for name in onward:
            if name not in seen:
                seen.add(name)
                pending.append(name)
    return found
