"""Users and vhosts of a definitions document, as RabbitMQ reads them."""
from __future__ import annotations

from typing import Any, Final

from topology.definitions.items import Item
from topology.limits import OF_USERS, checked
from topology.metadata import VHOST_METADATA, tags_of, with_metadata
from topology.model import User, Vhost
from topology.passwords import DEFAULT_ALGORITHM, hash_password, is_password_hash, verify_password

MD5: Final = "rabbit_password_hashing_md5"
MD5_VERSIONS: Final = tuple(f"3.{minor}." for minor in range(6))
"""Files of these do not name the algorithm; it was this one."""
ADMINISTRATOR: Final = "administrator"


def user_of(item: Item, existing: User | None, document: dict[str, Any]) -> User:
    """The user that an item describes: a new one, or the existing one with what the item replaces.

    `password` or `password_hash`; with neither the user cannot log in by password.
    """
    name = item.name()
    before = existing or User(name, "", DEFAULT_ALGORITHM)
    limits = item.checked(lambda: checked(item.values.get("limits") or {}, OF_USERS, "user-limits"))
    tags, (password_hash, algorithm) = _tags(item), _password(item, before, document)
    return User(name, password_hash, algorithm, tags, {**before.limits, **limits})


def _tags(item: Item) -> tuple[str, ...]:
    if item.has("tags"):
        return item.checked(lambda: tags_of(item.values["tags"], "user"))
    if not item.has(ADMINISTRATOR):
        raise item.refusal("tags_not_present")
    return (ADMINISTRATOR,) if item.flag(ADMINISTRATOR) else ()         # before tags there was this


def _password(item: Item, before: User, document: dict[str, Any]) -> tuple[str, str]:
    if item.has("password") and item.has("password_hash"):
        raise item.refusal("both_password_and_password_hash_are_provided")
    if item.has("password_hash"):
        return _given_hash(item, document)
    password = item.text("password", "")
    if not password:
        return "", DEFAULT_ALGORITHM
    if verify_password(before.password_hash, before.hashing_algorithm, password):
        return before.password_hash, before.hashing_algorithm
    return hash_password(password), DEFAULT_ALGORITHM


def _given_hash(item: Item, document: dict[str, Any]) -> tuple[str, str]:
    version = str(document.get("rabbitmq_version") or document.get("rabbit_version") or "")
    algorithm = item.text("hashing_algorithm", MD5 if version.startswith(MD5_VERSIONS) else DEFAULT_ALGORITHM)
    password_hash = item.text("password_hash")
    if not is_password_hash(password_hash, algorithm):
        raise item.refusal(f"password_hash is not a hash of {algorithm}")
    return password_hash, algorithm


def vhost_of(item: Item, existing: Vhost | None) -> Vhost:
    """The vhost that an item describes. Its metadata stand beside the name, or in `metadata`, or in both."""
    metadata = item.values.get("metadata")
    given = {**metadata} if isinstance(metadata, dict) else {}
    given.update({key: item.values[key] for key in VHOST_METADATA if item.has(key)})
    vhost = existing or Vhost(item.name())
    return item.checked(lambda: with_metadata(vhost, given))
