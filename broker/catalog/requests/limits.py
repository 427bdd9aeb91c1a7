"""vhost_limits.set, vhost_limits.clear, user_limits.set, user_limits.clear."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from broker.catalog.core import Catalog, Message
from broker.catalog.requests.checks import existing_user, existing_vhost
from topology import changes
from topology.limits import OF_USERS, OF_VHOSTS, VHOST_LIMITS, checked
from topology.model import User


async def set_of_vhost(catalog: Catalog, message: Message) -> Message:
    """`limits` become all the limits of a vhost."""
    vhost = existing_vhost(catalog, message)
    limits = checked(message["limits"], OF_VHOSTS, "limits")
    decision = catalog.decide()
    decision.add(changes.parameter_set(vhost.vhost.name, *VHOST_LIMITS, limits))
    await decision.settle()
    return {}


async def clear_of_vhost(catalog: Catalog, message: Message) -> Message:
    vhost = existing_vhost(catalog, message)
    if VHOST_LIMITS not in vhost.parameters:
        await catalog.settled()
        return {"deleted": False}
    decision = catalog.decide(frees=True)
    decision.add(changes.parameter_clear(vhost.vhost.name, *VHOST_LIMITS))
    await decision.settle()
    return {"deleted": True}


async def set_of_user(catalog: Catalog, message: Message) -> Message:
    """`limits` are added to the limits of a user, or replace those of the same name, as in RabbitMQ."""
    user = existing_user(catalog, message["user"])
    await _put(catalog, user, {**user.limits, **checked(message["limits"], OF_USERS, "user-limits")})
    return {}


async def clear_of_user(catalog: Catalog, message: Message) -> Message:
    """The one `limit`, or all of them where none is named."""
    user, name = existing_user(catalog, message["user"]), message.get("limit")
    kept = {key: value for key, value in user.limits.items() if name not in (None, key)}
    deleted = len(kept) < len(user.limits)
    await _put(catalog, user, kept)
    return {"deleted": deleted}


async def _put(catalog: Catalog, user: User, limits: Mapping[str, int]) -> None:
    if dict(limits) != dict(user.limits):
        decision = catalog.decide()
        decision.add(changes.user_add(replace(user, limits=limits)))
        decision.submit()
    await catalog.settled()
