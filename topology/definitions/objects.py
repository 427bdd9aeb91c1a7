"""Exchanges, queues and bindings of a document: those that exist stay as they are."""
from __future__ import annotations

from amqp091 import refusals
from amqp091.errors import PreconditionFailed
from topology import changes
from topology.arguments import with_default_type
from topology.definitions.items import Item
from topology.definitions.planned import Planned
from topology.equivalence import (
    check_exchange_declare,
    check_exchange_equivalent,
    check_queue_declare,
    check_queue_equivalent,
)
from topology.exchanges import check_binding
from topology.limits import MAX_QUEUES, limit
from topology.model import (
    DEFAULT_EXCHANGE,
    EXCHANGE,
    QUEUE,
    UNKNOWN_ID,
    Binding,
    Destination,
    Exchange,
    Kind,
    Queue,
)
from topology.names import described, is_reserved


def exchange(planned: Planned, item: Item) -> None:
    vhost = planned.vhost_of(item)
    if _is_reserved(planned, vhost, EXCHANGE, item.short("name")):
        return
    wanted = Exchange(
        vhost, item.name(), item.text("type"), item.flag("durable", True), item.flag("auto_delete", False),
        item.flag("internal", False), item.table("arguments"),
    )
    existing = planned.found(vhost, EXCHANGE, wanted.name)
    if isinstance(existing, Exchange):
        planned.compare(item, lambda: check_exchange_equivalent(
            existing, wanted.type, durable=wanted.durable, auto_delete=wanted.auto_delete, internal=wanted.internal,
            arguments=wanted.arguments,
        ))
        return
    item.checked(lambda: check_exchange_declare(vhost, wanted.name, wanted.type, wanted.arguments))
    planned.added[vhost, Destination(EXCHANGE, wanted.name)] = wanted
    planned.plan.change("exchanges", changes.exchange_add(wanted), None)


def queue(planned: Planned, item: Item) -> None:
    vhost, name = planned.vhost_of(item), item.name()
    if _is_reserved(planned, vhost, QUEUE, name):
        return
    if item.flag("exclusive", False):
        planned.skip(vhost, QUEUE, name, f"Skipping import of exclusive {described(QUEUE, name, vhost)}")
        return
    durable, auto_delete = item.flag("durable", True), item.flag("auto_delete", False)
    arguments = with_default_type(
        item.table("arguments"), planned.vhosts[vhost].default_queue_type, durable=durable, exclusive=False,
        auto_delete=auto_delete,
    )
    existing = planned.found(vhost, QUEUE, name)
    if isinstance(existing, Queue):
        planned.compare(item, lambda: check_queue_equivalent(
            existing, durable=durable, exclusive=False, auto_delete=auto_delete, arguments=arguments, owner=None
        ))
        return
    item.checked(lambda: check_queue_declare(
        vhost, name, durable=durable, exclusive=False, auto_delete=auto_delete, arguments=arguments
    ))
    wanted = Queue(UNKNOWN_ID, name, vhost, durable, auto_delete, arguments=arguments)
    planned.added[vhost, Destination(QUEUE, name)] = wanted
    planned.new_queues[vhost] += 1
    planned.plan.queues.append(wanted)
    planned.plan.counts["queues"] += 1


def check_queue_limits(planned: Planned) -> None:
    """By the limits from before: those that the document brings do not keep out what it brings with them."""
    for vhost, count in planned.new_queues.items():
        existing = planned.existing(vhost)
        allowed = limit(existing.limits, MAX_QUEUES) if existing else None
        if existing is not None and allowed is not None and len(existing.queues) + count > allowed:
            raise PreconditionFailed(
                f'Adding {count} queue(s) to virtual host "{vhost}" would exceed the limit of {allowed} queue(s).'
                f"\n\nThis virtual host currently has {len(existing.queues)} queue(s) defined.\n\nImport aborted!"
            )


def _is_reserved(planned: Planned, vhost: str, kind: Kind, name: str) -> bool:
    """Predeclared exchanges, and names that a server made up, are skipped, in RabbitMQ's words."""
    if kind == EXCHANGE and name == DEFAULT_EXCHANGE:
        planned.skip(vhost, kind, name, "Not importing the default exchange")
        return True
    if is_reserved(name):
        what = "a queue" if kind == QUEUE else "an exchange"
        planned.skip(vhost, kind, name, f"Skipping import of {what} whose name begins with 'amq.', name: {name}")
        return True
    return False


def binding(planned: Planned, item: Item) -> None:
    vhost, source = planned.vhost_of(item), item.short("source")
    wanted = Binding(
        vhost, source, item.name("destination"), _destination_kind(item), item.short("routing_key", ""),
        item.table("arguments"),
    )
    if source == DEFAULT_EXCHANGE:
        planned.plan.warn(f"{item.place}: skipped, as the default exchange needs no bindings")
        return
    if not (_end(planned, item, vhost, EXCHANGE, source) and _end(planned, item, vhost, *wanted.target)):
        return
    from_exchange = planned.found(vhost, EXCHANGE, source)
    to_queue = planned.found(vhost, QUEUE, wanted.destination) if wanted.destination_kind == QUEUE else None
    if isinstance(from_exchange, Exchange):
        item.checked(lambda: check_binding(from_exchange, wanted, to_queue if isinstance(to_queue, Queue) else None))
    identity, existing = wanted.identity(), planned.existing(vhost)
    if (existing is not None and existing.bindings.get(identity)) or (vhost, identity) in planned.bound:
        return
    planned.bound.add((vhost, identity))
    planned.plan.bindings.append(wanted)
    planned.plan.counts["bindings"] += 1


def _destination_kind(item: Item) -> Kind:
    kind = item.text("destination_type")
    if kind == QUEUE:
        return QUEUE
    if kind != EXCHANGE:
        raise item.refusal("destination_type is neither 'queue' nor 'exchange'")
    return EXCHANGE


def _end(planned: Planned, item: Item, vhost: str, kind: Kind, name: str) -> bool:
    """Whether an end of a binding is there; a warning where it was skipped, a refusal where it is missing."""
    if planned.found(vhost, kind, name) is not None:
        return True
    if (vhost, Destination(kind, name)) not in planned.skipped and not planned.skip_missing:
        raise item.refusal(refusals.missing(kind, name, vhost).text)
    planned.plan.warn(f"{item.place}: skipped, as {described(kind, name, vhost)} is missing")
    return False
