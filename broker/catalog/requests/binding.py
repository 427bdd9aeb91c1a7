"""Binding and unbinding, the same for queues and exchanges."""
from __future__ import annotations

from amqp091.refusals import missing
from broker.catalog.core import Catalog, Message
from broker.catalog.requests.checks import vhost_named
from topology import changes
from topology.exchanges import check_binding
from topology.model import EXCHANGE, QUEUE, Binding
from topology.names import check_not_default_exchange


def _check_ends(binding: Binding) -> None:
    check_not_default_exchange(binding.source)
    if binding.destination_kind == EXCHANGE:
        check_not_default_exchange(binding.destination)


async def bind(catalog: Catalog, binding: Binding) -> Message:
    """Ok where the binding is there already."""
    _check_ends(binding)
    vhost = vhost_named(catalog, binding.vhost)
    source = vhost.exchanges.get(binding.source)
    if source is None:
        raise missing(EXCHANGE, binding.source, binding.vhost)
    if not vhost.exists(binding.target):
        raise missing(binding.destination_kind, binding.destination, binding.vhost)
    check_binding(source, binding, vhost.queues[binding.destination] if binding.destination_kind == QUEUE else None)
    if vhost.bindings.get(binding.identity()) is not None:
        await catalog.settled()
        return {"created": False}
    decision = catalog.decide()
    decision.add(changes.binding_add(binding, decision.is_durable(binding)))
    await decision.settle()
    return {"created": True}


async def unbind(catalog: Catalog, binding: Binding) -> Message:
    """Ok where there is no such binding, or an end of it is missing."""
    _check_ends(binding)
    vhost = vhost_named(catalog, binding.vhost)
    existing = vhost.bindings.get(binding.identity())
    if existing is None:
        await catalog.settled()
        return {"deleted": False}
    decision = catalog.decide(frees=True)
    decision.delete_binding(existing)
    await decision.settle()
    return {"deleted": True}
