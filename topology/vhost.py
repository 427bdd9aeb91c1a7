"""Everything in one vhost. The way of a message through it is in topology/routing.py.

Owns the exchanges with their routing tables, the queues, the bindings and the
policies of one vhost. Never decides whether a change is allowed: it applies what the
catalog has decided, and applying a change twice is the same as once.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from amqp091.refusals import missing
from topology.bindings import BindingIndex
from topology.exchanges import Table, predeclared, table_of
from topology.exchanges.default import DefaultTable
from topology.limits import VHOST_LIMITS
from topology.model import (
    DEFAULT_EXCHANGE,
    EXCHANGE,
    QUEUE,
    Binding,
    BindingIdentity,
    Destination,
    Exchange,
    Permission,
    Policy,
    Queue,
    TopicPermission,
    Vhost,
)
from topology.policies import VhostPolicies
from topology.routing import Pick, RouteResult, Scope, route, scope
from topology.touched import Touched


class VhostTopology:
    """The exchanges, queues, bindings, permissions and policies of one vhost."""

    def __init__(self, vhost: Vhost) -> None:
        self.vhost = vhost
        self.exchanges: dict[str, Exchange] = {}
        self.queues: dict[str, Queue] = {}
        self.bindings = BindingIndex()
        self.permissions: dict[str, Permission] = {}        # by user
        self.policies = VhostPolicies()
        self.topic_permissions: dict[tuple[str, str], TopicPermission] = {}     # by user and exchange
        self.parameters: dict[tuple[str, str], Any] = {}    # by component and name
        self.tables: dict[str, Table] = {}
        self.touched = Touched(vhost.name, self)
        self._scopes: dict[str, Scope] = {}                 # what `scope` has found
        for exchange in predeclared(vhost.name):
            self.add_exchange(exchange)

    # changes

    def add_exchange(self, exchange: Exchange) -> None:
        other = self.exchanges.get(exchange.name)
        if other is not None and other.type != exchange.type:
            self.remove_exchange(exchange.name)
        self.exchanges[exchange.name] = exchange
        if exchange.name not in self.tables:
            self.tables[exchange.name] = (
                DefaultTable(self.queues) if exchange.name == DEFAULT_EXCHANGE else table_of(exchange)
            )
        self._scopes.clear()
        self.touched.exchange_changed(exchange.name)

    def remove_exchange(self, name: str) -> None:
        """The exchange and all bindings from it and to it."""
        if name not in self.exchanges:
            return
        self.touched.exchange_changed(name)
        del self.exchanges[name]
        for binding in [*self.bindings.from_source(name), *self.bindings.to_destination(Destination(EXCHANGE, name))]:
            self.remove_binding(binding.identity())
        del self.tables[name]
        self.policies.forget_exchange(name)
        self._scopes.clear()
        self.touched.exchange_removed(name)

    def add_queue(self, queue: Queue) -> None:
        self.queues[queue.name] = queue
        self.touched.queue_changed(queue.name)

    def remove_queue(self, queue: Queue) -> None:
        """The queue and all bindings to it."""
        if self.queues.get(queue.name) is not queue:
            return
        for binding in list(self.bindings.to_destination(Destination(QUEUE, queue.name))):
            self.remove_binding(binding.identity())
        del self.queues[queue.name]
        self.touched.queue_changed(queue.name)
        self.policies.forget_queue(queue.queue_id)

    def add_binding(self, binding: Binding) -> None:
        table = self.tables.get(binding.source)
        destination = (self.queues if binding.destination_kind == QUEUE else self.exchanges).get(binding.destination)
        if table is None or destination is None:
            return
        binding = Binding(          # with the names as they are in memory already
            self.vhost.name, self.exchanges[binding.source].name, destination.name,
            QUEUE if binding.destination_kind == QUEUE else EXCHANGE, binding.routing_key, binding.arguments)
        if not self.bindings.add(binding):
            return
        table.add(binding)
        self.touched.binding_changed(binding)
        if binding.destination_kind == EXCHANGE:
            self._scopes.clear()

    def remove_binding(self, identity: BindingIdentity) -> None:
        binding = self.bindings.get(identity)
        if binding is None:
            return
        self.touched.binding_changed(binding)
        self.bindings.remove(identity)
        self.tables[binding.source].remove(binding)
        if binding.destination_kind == EXCHANGE:
            self._scopes.clear()

    def set_policy(self, policy: Policy) -> None:
        """Adds or replaces it."""
        self.policies.set(policy)
        self._scopes.clear()
        self.touched.policies_changed()

    def clear_policy(self, operator: bool, name: str) -> None:
        self.policies.clear(operator, name)
        self._scopes.clear()
        self.touched.policies_changed()

    # questions

    @property
    def limits(self) -> Mapping[str, int]:
        """RabbitMQ keeps a vhost's limits as a parameter: topology/limits.py."""
        found: Mapping[str, int] = self.parameters.get(VHOST_LIMITS, {})
        return found

    def exists(self, destination: Destination) -> bool:
        kind, name = destination
        return name in (self.queues if kind == QUEUE else self.exchanges)

    def alternate(self, exchange: Exchange) -> str | None:
        """The exchange that gets what this one cannot route."""
        return self.policies.alternate(exchange)

    def route(
        self, exchange_name: str, routing_keys: Sequence[str], headers: Mapping[str, Any] | None, *,
        has_delay: bool, pick: Pick,
    ) -> RouteResult:
        """See topology/routing.py. NotFound for a missing exchange."""
        exchange = self.exchanges.get(exchange_name)
        if exchange is None:
            raise missing(EXCHANGE, exchange_name, self.vhost.name)
        return route(self, exchange, routing_keys, headers, has_delay=has_delay, pick=pick)

    def scope(self, exchange_name: str) -> Scope:
        """What of a message can change where this exchange sends it."""
        known = self._scopes.get(exchange_name)
        if known is None:
            known = self._scopes[exchange_name] = scope(self, exchange_name)
        return known
