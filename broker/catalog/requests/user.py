"""user.add, user.delete, user.change_password, user.set_tags, permissions.set, permissions.clear.

Limits of users are in limits.py, topic permissions in topic_permission.py.
"""
from __future__ import annotations

from dataclasses import replace

from amqp091.errors import PreconditionFailed
from broker.catalog.core import Catalog, Message
from broker.catalog.requests.checks import check_pattern, existing_user, existing_vhost, new_name
from topology import changes
from topology.model import Permission, User
from topology.passwords import DEFAULT_ALGORITHM, hash_password, is_password_hash, verify_password


async def add(catalog: Catalog, message: Message) -> Message:
    """With `password`, or with `password_hash` and `hashing_algorithm`; `tags` is a list.

    Ok where the same user is there already; refused where one with that name differs.
    """
    name = new_name(message, "user")
    tags = _tags(message)
    existing = catalog.topology.users.get(name)
    if existing is not None:
        if existing.tags != tags or not _has_password(existing, message):
            raise PreconditionFailed(f"user '{name}' already exists")
        await catalog.settled()
        return {"created": False}
    await _put(catalog, User(name, *_hashed(message), tags))
    return {"created": True}


async def delete(catalog: Catalog, message: Message) -> Message:
    if message["name"] not in catalog.topology.users:
        await catalog.settled()
        return {"deleted": False}
    decision = catalog.decide(frees=True)
    decision.add(changes.user_delete(message["name"]))
    await decision.settle()
    return {"deleted": True}


async def change_password(catalog: Catalog, message: Message) -> Message:
    user = existing_user(catalog, message["name"])
    if not _has_password(user, message):
        password_hash, algorithm = _hashed(message)
        await _put(catalog, replace(user, password_hash=password_hash, hashing_algorithm=algorithm))
    else:
        await catalog.settled()
    return {}


async def set_tags(catalog: Catalog, message: Message) -> Message:
    await _put(catalog, replace(existing_user(catalog, message["name"]), tags=_tags(message)))
    return {}


async def set_permissions(catalog: Catalog, message: Message) -> Message:
    vhost = existing_vhost(catalog, message)
    user = existing_user(catalog, message["user"])
    permission = Permission(message["configure"], message["write"], message["read"])
    for pattern in (permission.configure, permission.write, permission.read):
        check_pattern(pattern)
    decision = catalog.decide()
    decision.add(changes.permission_set(user.name, vhost.vhost.name, permission))
    await decision.settle()
    return {}


async def clear_permissions(catalog: Catalog, message: Message) -> Message:
    vhost = existing_vhost(catalog, message)
    if message["user"] not in vhost.permissions:
        await catalog.settled()
        return {"deleted": False}
    decision = catalog.decide(frees=True)
    decision.add(changes.permission_clear(message["user"], vhost.vhost.name))
    await decision.settle()
    return {"deleted": True}


async def _put(catalog: Catalog, user: User) -> None:
    decision = catalog.decide()
    decision.add(changes.user_add(user))
    await decision.settle()


def _tags(message: Message) -> tuple[str, ...]:
    tags = message.get("tags") or []
    if not isinstance(tags, list) or not all(isinstance(tag, str) and tag for tag in tags):
        raise PreconditionFailed("the tags of a user are a list of words")
    return tuple(dict.fromkeys(tags))


def _hashed(message: Message) -> tuple[str, str]:
    """Password hash and algorithm. A user without a password cannot log in with one."""
    algorithm = message.get("hashing_algorithm") or DEFAULT_ALGORITHM
    if "password_hash" in message:
        if not is_password_hash(message["password_hash"], algorithm):
            raise PreconditionFailed(f"not a password hash of {algorithm}")
        return message["password_hash"], algorithm
    password = message.get("password")
    if not password:
        raise PreconditionFailed("the password must not be empty")
    return hash_password(password), DEFAULT_ALGORITHM


def _has_password(user: User, message: Message) -> bool:
    if "password_hash" in message:
        return bool(user.password_hash == message["password_hash"])
    return verify_password(user.password_hash, user.hashing_algorithm, message.get("password") or "")
