"""What an import will have changed, while it is being planned: names that are there or will be, and the plan so far."""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from amqp091.errors import AMQPError, PreconditionFailed
from topology.changes import Op
from topology.definitions.items import Item
from topology.exchanges import predeclared
from topology.model import EXCHANGE, QUEUE, Binding, BindingIdentity, Destination, Exchange, Kind, Queue, User, Vhost
from topology.replica import Replica
from topology.vhost import VhostTopology

WARNINGS_MAX: Final = 1000              # of a document whose every object differs, nobody reads more


@dataclass(slots=True)
class ImportPlan:
    """What a document changes, in the order in which it has to happen."""

    ops: list[Op] = field(default_factory=list)             # ahead of the queues
    queues: list[Queue] = field(default_factory=list)       # without id and shard, which are the catalog's to choose
    bindings: list[Binding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)   # of changes, by category
    warnings: list[str] = field(default_factory=list)

    def change(self, category: str, op: Op, before: Op | None) -> None:
        """An operation, unless it would change nothing."""
        if op != before:
            self.ops.append(op)
            self.counts[category] += 1

    def warn(self, text: str) -> None:
        if len(self.warnings) < WARNINGS_MAX:
            self.warnings.append(text)
        elif len(self.warnings) == WARNINGS_MAX:
            self.warnings.append("there are more warnings")


def no_vhost(name: str) -> PreconditionFailed:
    return PreconditionFailed(f'Please create virtual host "{name}" prior to importing definitions.')


class Planned:
    """A Replica as it will be. `into`: the one vhost that everything goes to, whatever an object says."""

    def __init__(
        self, topology: Replica, document: dict[str, Any], into: str | None, skip_missing: bool
    ) -> None:
        self.plan = ImportPlan()
        self.topology = topology
        self.document = document
        self.users: dict[str, User] = dict(topology.users)
        self.vhosts: dict[str, Vhost] = {name: found.vhost for name, found in topology.vhosts.items()}
        self.parameters: dict[tuple[str, str, str], Any] = {}       # by vhost, component and name
        self.without_effect: set[str] = set()                       # components of parameters
        self.added: dict[tuple[str, Destination], Exchange | Queue] = {}
        self.skipped: set[tuple[str, Destination]] = set()
        self.bound: set[tuple[str, BindingIdentity]] = set()
        self.new_queues: Counter[str] = Counter()                   # by vhost
        self.skip_missing = skip_missing
        self._into = into
        self._fresh: dict[str, dict[str, Exchange]] = {}            # what a new vhost has from the first

    def vhost_of(self, item: Item) -> str:
        """The vhost that an object is to be in."""
        if self._into is not None:
            return self._into
        name = item.text("vhost")
        if name not in self.vhosts:
            raise item.refusal(no_vhost(name).text)
        return name

    def user_of(self, item: Item) -> str:
        """The user that an object is about."""
        name = item.text("user")
        if name not in self.users:
            raise item.refusal(f"no user '{name}'")
        return name

    def existing(self, vhost: str) -> VhostTopology | None:
        """What is in a vhost already; None where it is new."""
        return self.topology.vhosts.get(vhost)

    def found(self, vhost: str, kind: Kind, name: str) -> Exchange | Queue | None:
        """The exchange or queue that is there, or will be."""
        added = self.added.get((vhost, Destination(kind, name)))
        if added is not None:
            return added
        existing = self.existing(vhost)
        if existing is None:
            return self._predeclared(vhost).get(name) if kind == EXCHANGE else None
        return existing.queues.get(name) if kind == QUEUE else existing.exchanges.get(name)

    def _predeclared(self, vhost: str) -> dict[str, Exchange]:
        if vhost not in self._fresh:
            self._fresh[vhost] = {exchange.name: exchange for exchange in predeclared(vhost)}
        return self._fresh[vhost]

    def compare(self, item: Item, check: Callable[[], None]) -> None:
        """An existing one stays as it is; a difference is told."""
        try:
            check()
        except AMQPError as difference:
            self.plan.warn(f"{item.place}: {difference.text}; the existing one stays")

    def skip(self, vhost: str, kind: Kind, name: str, text: str) -> None:
        """Not imported, and neither is what is bound to it."""
        self.skipped.add((vhost, Destination(kind, name)))
        self.plan.warn(text)
