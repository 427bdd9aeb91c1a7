"""Which routes a change of one vhost may have altered, told to whoever remembers some.

A route depends on the exchange it begins at, on every exchange that lies behind that (over bindings between exchanges
and alternate exchanges), and on the queues they lead to. So what touches an exchange touches all exchanges from which a
message can get there. A routing key stays the same on the whole way: where an exchange looks a key up in a table
(direct, and default, where it is the queue's name), a binding touches the routes of that key alone, from wherever they
begin.

It never says too little: permissions, policies and whatever else is no exchange, queue or binding touch everything.
"""
from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from topology.exchanges.direct import DirectTable
from topology.model import DEFAULT_EXCHANGE, EXCHANGE, QUEUE, Binding, Destination
from topology.routing import Paths


class RouteWatch(Protocol):
    """Is told before anybody routes again."""

    def touch_everything(self) -> None:
        """Any route may be another one now."""

    def touch_exchange(self, vhost: str, exchange: str) -> None:
        """Any route that begins at this exchange."""

    def touch_key(self, vhost: str, exchange: str, routing_key: str) -> None:
        """Routes that begin at this exchange, of messages that have this routing key, alone or among others."""


class Touched:
    """Of one vhost. Looks at its exchanges and bindings, and owns the way back over alternate exchanges."""

    def __init__(self, vhost: str, paths: Paths) -> None:
        self._vhost = vhost
        self._paths = paths
        self._watch: RouteWatch | None = None
        self._alternate_of: dict[str, str] = {}
        self._overflowing_to: dict[str, set[str]] = {}      # by alternate exchange, which need not exist

    def tell(self, watch: RouteWatch | None) -> None:
        """From now on; what is known before that is no concern of the watch. None: nobody wants to know."""
        self._watch = watch
        self.policies_changed()

    # changes; each is told when it has been made, but a removal before

    def exchange_changed(self, name: str) -> None:
        """Added, replaced or about to be removed."""
        if self._watch is not None:
            self._touch_exchange(name)
            self._note_alternate(name)

    def exchange_removed(self, name: str) -> None:
        if self._watch is not None:
            self._note_alternate(name)

    def queue_changed(self, name: str) -> None:
        """Added or removed: what the default exchange routes by its name. Its bindings are told by themselves."""
        self._touch_key(DEFAULT_EXCHANGE, name)

    def binding_changed(self, binding: Binding) -> None:
        """Added, or about to be removed."""
        if binding.destination_kind == QUEUE and isinstance(self._paths.tables[binding.source], DirectTable):
            self._touch_key(binding.source, binding.routing_key)
        else:
            self._touch_exchange(binding.source)

    def policies_changed(self) -> None:
        """They may name alternate exchanges."""
        self._alternate_of.clear()
        self._overflowing_to.clear()
        if self._watch is not None:
            for name in self._paths.exchanges:
                self._note_alternate(name)
            self._watch.touch_everything()

    # what they touch

    def _touch_exchange(self, name: str) -> None:
        if self._watch is not None:
            for upstream in self._all_before(name):
                self._watch.touch_exchange(self._vhost, upstream)

    def _touch_key(self, exchange: str, routing_key: str) -> None:
        if self._watch is not None:
            for upstream in self._all_before(exchange):
                self._watch.touch_key(self._vhost, upstream, routing_key)

    def _all_before(self, name: str) -> Iterable[str]:
        """The exchange itself and all from which a message can get to it, also where it does not exist."""
        seen = {name: None}
        pending = [name]
        while pending:
            reached = pending.pop()
            bindings = self._paths.bindings.to_destination(Destination(EXCHANGE, reached))
            for source in (*(binding.source for binding in bindings), *self._overflowing_to.get(reached, ())):
                if source not in seen:
                    seen[source] = None
                    pending.append(source)
        return seen

    def _note_alternate(self, name: str) -> None:
        before = self._alternate_of.pop(name, None)
        if before is not None:
            names = self._overflowing_to[before]
            names.discard(name)
            if not names:
                del self._overflowing_to[before]
        exchange = self._paths.exchanges.get(name)
        alternate = None if exchange is None else self._paths.alternate(exchange)
        if alternate is not None:
            self._alternate_of[name] = alternate
            self._overflowing_to.setdefault(alternate, set()).add(name)
