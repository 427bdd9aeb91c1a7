"""The users, virtual hosts and rights that every broker under test is given before the first test."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Rights:
    """The three patterns of one user in one virtual host."""

    configure: str
    write: str
    read: str


ALL = Rights(".*", ".*", ".*")


@dataclass(frozen=True)
class Account:
    """One user."""

    name: str
    password: str
    tags: tuple[str, ...] = ()
    permissions: dict[str, Rights] = field(default_factory=dict)


OTHER_VHOST = "other"
VHOSTS = ("/", OTHER_VHOST)
GUEST = Account("guest", "guest", ("administrator",), {"/": ALL, OTHER_VHOST: ALL})
PLAIN_USER = Account("plain-user", "secret", (), {"/": ALL})
LIMITED = Account(
    "limited", "limited", (), {"/": Rights("^conf-.*", "^(write-.*|conf-.*|amq\\.default)$", "^(read-.*|conf-.*)$")}
)
NO_RIGHTS = Account("no-rights", "no-rights", (), {"/": Rights("", "", "")})
UNICODE_USER = Account("zoë", "pässwörd", (), {"/": ALL})
ACCOUNTS = (GUEST, PLAIN_USER, LIMITED, NO_RIGHTS, UNICODE_USER)
