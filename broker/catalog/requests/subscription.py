"""subscribe and snapshot: how a replica comes to the whole state, page by page, and to every change after it."""
from __future__ import annotations

from typing import Final

from amqp091.errors import NotAllowed, NotFound
from broker.catalog.core import Catalog, Message
from broker.catalog.distribution import GATEWAY, SHARD
from broker.catalog.gateways import gateway_started
from broker.catalog.snapshots import Snapshots

SUBSCRIBING_ROLES: Final = (GATEWAY, SHARD)


async def subscribe(catalog: Catalog, snapshots: Snapshots, peer: str, message: Message) -> Message:
    """The first page of a snapshot; changes after its version are pushed from now on."""
    role, _, index = peer.partition("-")
    if role not in SUBSCRIBING_ROLES or not index.isdecimal():
        raise NotAllowed(f"'{peer}' cannot subscribe")
    catalog.running[peer] = message["incarnation"]
    if role == GATEWAY:
        gateway_started(catalog, int(index), message["incarnation"])
    version = catalog.distribution.subscribe(peer)
    snapshots.open(peer, version, catalog.topology.snapshot_ops())
    return {**snapshots.page(peer, version, 0), "version": version, "epoch": catalog.epoch}


async def snapshot(snapshots: Snapshots, peer: str, message: Message) -> Message:
    """The page after the one that was answered last, or that one again."""
    page = snapshots.page(peer, message["version"], message["page"])
    if not page:
        raise NotFound("no such page of the snapshot")
    return page
