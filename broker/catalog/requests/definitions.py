"""export and import: the definitions as a document in RabbitMQ's format (topology/definitions)."""
from __future__ import annotations

from typing import Final

from amqp091.errors import PreconditionFailed
from broker.catalog.core import Catalog, Decision, Message
from broker.catalog.requests.checks import vhost_named
from topology import changes
from topology.definitions import ImportPlan, export_all, export_vhost, plan_import


async def export(catalog: Catalog, message: Message) -> Message:
    """Of everything, or of one `vhost`."""
    name = message.get("vhost")
    if name is not None:
        return export_vhost(vhost_named(catalog, name), catalog.origin)
    return export_all(catalog.topology, catalog.origin)


OBJECTS_MAX: Final = 500_000
"""Of one import into a running broker: the catalog answers nothing else while it decides, some ten seconds then."""


async def import_(catalog: Catalog, message: Message) -> Message:
    """`document`, or what is in it for `vhost`: all in one transaction, or nothing where a part of it is wrong.

    The answer says how many objects of each category were added or changed, and what is to be told about the others.
    """
    document = message["document"]
    if isinstance(document, dict):
        count = sum(len(category) for category in document.values() if isinstance(category, list))
        if count > OBJECTS_MAX:
            raise PreconditionFailed(
                f"the definitions have {count} objects, more than {OBJECTS_MAX}: let load_definitions load them at "
                "the start"
            )
    decision, plan = decide(
        catalog, document, message.get("vhost"), skip_missing=bool(message.get("skip_missing"))
    )
    await decision.settle()
    return {"changed": dict(plan.counts), "warnings": plan.warnings}


def decide(
    catalog: Catalog, document: object, vhost: str | None = None, *, skip_missing: bool = False
) -> tuple[Decision, ImportPlan]:
    """Everything that the document changes, as one decision. What can be refused is, before its first operation."""
    plan = plan_import(catalog.topology, document, vhost, skip_missing=skip_missing)
    decision = catalog.decide()
    placed = [catalog.placed(queue) for queue in plan.queues]
    for op in plan.ops:
        decision.add(op)
    for queue, reservation in placed:
        decision.store_only(reservation)
        decision.add(changes.queue_add(queue))
    for binding in plan.bindings:
        decision.add(changes.binding_add(binding, decision.is_durable(binding)))
    return decision, plan
