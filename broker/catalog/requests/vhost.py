"""vhost.add, vhost.update, vhost.delete."""
from __future__ import annotations

from amqp091.errors import PreconditionFailed
from broker.catalog.core import Catalog, Message
from broker.catalog.requests.checks import existing_vhost, new_name
from topology import changes
from topology.metadata import with_metadata
from topology.model import Vhost


async def add(catalog: Catalog, message: Message) -> Message:
    """With the metadata that is given. Ok where there is one already, whose metadata stay."""
    vhost = with_metadata(Vhost(new_name(message, "vhost")), message)
    if vhost.name in catalog.topology.vhosts:
        await catalog.settled()
        return {"created": False}
    decision = catalog.decide()
    decision.add(changes.vhost_put(vhost))
    await decision.settle()
    return {"created": True}


async def update(catalog: Catalog, message: Message) -> Message:
    """The metadata that are given replace those of the vhost; the others stay."""
    existing = existing_vhost(catalog, {"vhost": message["name"]}).vhost
    decision = catalog.decide()
    decision.add(changes.vhost_put(with_metadata(existing, message)))
    await decision.settle()
    return {}


async def delete(catalog: Catalog, message: Message) -> Message:
    """With everything in it. Its queues are named one by one: their shards have messages to drop."""
    vhost = catalog.topology.vhosts.get(message["name"])
    if vhost is None:
        await catalog.settled()
        return {"deleted": False}
    if vhost.vhost.protected_from_deletion:
        raise PreconditionFailed(f"vhost '{vhost.vhost.name}' is protected from deletion")
    decision = catalog.decide(frees=True)
    for queue in list(vhost.queues.values()):
        decision.add(changes.queue_delete(queue))
    decision.add(changes.vhost_delete(vhost.vhost.name))
    await decision.settle()
    return {"deleted": True}
