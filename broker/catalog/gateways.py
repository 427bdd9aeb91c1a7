"""What the end of a gateway means for the catalog: its connections count no more, and their exclusive queues go.

A connection is known as g<gateway>.<incarnation>.<number>; the incarnation
tells the connections of a dead gateway from those of its successor.
"""
from __future__ import annotations

from broker.catalog.core import Catalog
from broker.catalog.distribution import GATEWAY


def parsed_owner(owner: str) -> tuple[int, int] | None:
    """Gateway and incarnation of a connection's id; None for something else."""
    gateway, _, rest = owner.removeprefix("g").partition(".")
    incarnation = rest.partition(".")[0]
    if not owner.startswith("g") or not gateway.isdecimal() or not incarnation.isdecimal():
        return None
    return int(gateway), int(incarnation)


def owner_is_gone(catalog: Catalog, owner: str) -> bool:
    """Whether the gateway that the connection was at has ended: a request of it that comes late has no effect."""
    parsed = parsed_owner(owner)
    return parsed is not None and parsed[1] <= catalog.ended_gateways.get(parsed[0], -1)


def gateway_started(catalog: Catalog, index: int, incarnation: int) -> None:
    """A gateway subscribed: those before it have ended, whether or not the catalog was told."""
    _ended(catalog, index, incarnation - 1)


def gateway_gone(catalog: Catalog, index: int) -> None:
    """The gateway that subscribed last has ended."""
    incarnation = catalog.running.get(f"{GATEWAY}-{index}")
    if incarnation is not None:
        _ended(catalog, index, incarnation)


def _ended(catalog: Catalog, index: int, incarnation: int) -> None:
    catalog.ended_gateways[index] = max(incarnation, catalog.ended_gateways.get(index, incarnation))
    for connection_id in catalog.usage.ids():
        parsed = parsed_owner(connection_id)
        if parsed is not None and parsed[0] == index and parsed[1] <= incarnation:
            catalog.usage.close(connection_id)
    queues = [
        queue
        for owner in catalog.topology.owners()
        if (parsed := parsed_owner(owner)) is not None and parsed[0] == index and parsed[1] <= incarnation
        for queue in catalog.topology.exclusive_queues(owner)
    ]
    if queues:
        decision = catalog.decide(frees=True)
        for queue in queues:
            decision.delete_queue(queue)
        decision.submit()
