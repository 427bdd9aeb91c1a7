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
class TopicRights:
    """The two patterns of one user at one exchange of the virtual host "/"."""

    write: str
    read: str


@dataclass(frozen=True)
class Account:
    """One user."""

    name: str
    password: str
    tags: tuple[str, ...] = ()
    permissions: dict[str, Rights] = field(default_factory=dict)
    topic_permissions: dict[str, TopicRights] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)


OTHER_VHOST = "other"
SMALL_VHOST = "small"
VHOSTS = ("/", OTHER_VHOST, SMALL_VHOST)
VHOST_LIMITS = {SMALL_VHOST: {"max-connections": 2, "max-queues": 2}}
GUEST = Account("guest", "guest", ("administrator",), {"/": ALL, OTHER_VHOST: ALL, SMALL_VHOST: ALL})
PLAIN_USER = Account("plain-user", "secret", (), {"/": ALL})
LIMITED = Account(
    "limited", "limited", (), {"/": Rights("^conf-.*", "^(write-.*|conf-.*|amq\\.default)$", "^(read-.*|conf-.*)$")}
)
NO_RIGHTS = Account("no-rights", "no-rights", (), {"/": Rights("", "", "")})
UNICODE_USER = Account("zoë", "pässwörd", (), {"/": ALL})
TOPICAL = Account(
    "topical",
    "topical",
    (),
    {"/": ALL},
    {
        "amq.topic": TopicRights("^({username}|{vhost}|{client_id})\\.", "^news\\."),
        "amq.direct": TopicRights("^x", "^x"),
    },
)
SILENT = Account("silent", "silent", (), {"/": ALL}, {"amq.topic": TopicRights("", "")})
FEW = Account("few", "few", (), {"/": ALL}, limits={"max-connections": 2, "max-channels": 3})
NONE_AT_ALL = Account("none-at-all", "none", (), {"/": ALL}, limits={"max-connections": 0, "max-channels": 0})
NO_LIMIT = Account("no-limit", "no-limit", (), {"/": ALL}, limits={"max-connections": -1, "max-channels": -1})
ACCOUNTS = (GUEST, PLAIN_USER, LIMITED, NO_RIGHTS, UNICODE_USER, TOPICAL, SILENT, FEW, NONE_AT_ALL, NO_LIMIT)
