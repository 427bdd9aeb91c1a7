"""topic_permissions.set, topic_permissions.clear."""
from __future__ import annotations

from broker.catalog.core import Catalog, Message
from broker.catalog.requests.checks import check_pattern, existing_user, existing_vhost, name_of
from topology import changes
from topology.model import TopicPermission


async def set_permissions(catalog: Catalog, message: Message) -> Message:
    """`write` and `read` patterns of a `user` at an `exchange`, which need not be there, of a `vhost`."""
    permission = TopicPermission(message["write"], message["read"])
    for pattern in (permission.write, permission.read):
        check_pattern(pattern)
    user = existing_user(catalog, message["user"])
    vhost = existing_vhost(catalog, message)
    decision = catalog.decide()
    decision.add(changes.topic_permission_set(
        user.name, vhost.vhost.name, name_of(message, "exchange", "topic exchange"), permission
    ))
    await decision.settle()
    return {}


async def clear_permissions(catalog: Catalog, message: Message) -> Message:
    """Those of a `user` at one `exchange` of a `vhost`, or at all of them where none is named."""
    vhost, user, exchange = existing_vhost(catalog, message), message["user"], message.get("exchange")
    found = [key for key in vhost.topic_permissions if key[0] == user and exchange in (None, key[1])]
    if not found:
        await catalog.settled()
        return {"deleted": 0}
    decision = catalog.decide(frees=True)
    for _, name in found:
        decision.add(changes.topic_permission_clear(user, vhost.vhost.name, name))
    await decision.settle()
    return {"deleted": len(found)}
