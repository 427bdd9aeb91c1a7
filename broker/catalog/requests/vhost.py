"""vhost.add, vhost.delete."""
from __future__ import annotations

from broker.catalog.core import Catalog, Message
from broker.catalog.requests.checks import new_name
from topology import changes


async def add(catalog: Catalog, message: Message) -> Message:
    """Ok where there is one already."""
    name = new_name(message, "vhost")
    if name in catalog.topology.vhosts:
        await catalog.settled()
        return {"created": False}
    decision = catalog.decide()
    decision.add(changes.vhost_add(name))
    await decision.settle()
    return {"created": True}


async def delete(catalog: Catalog, message: Message) -> Message:
    """With everything in it. Its queues are named one by one: their shards have messages to drop."""
    vhost = catalog.topology.vhosts.get(message["name"])
    if vhost is None:
        await catalog.settled()
        return {"deleted": False}
    decision = catalog.decide(frees=True)
    for queue in list(vhost.queues.values()):
        decision.add(changes.queue_delete(queue))
    decision.add(changes.vhost_delete(vhost.vhost.name))
    await decision.settle()
    return {"deleted": True}
