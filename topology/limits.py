"""Limits of vhosts and users: what there is, what values they take, and when one is reached.

    vhost   max-connections, max-queues
    user    max-connections, max-channels

A limit is a number; a negative one is none, 0 allows nothing. What is there when
a limit is set stays. RabbitMQ keeps a vhost's limits as the runtime parameter
`limits` of the component `vhost-limits`, and so do definitions files.
"""
from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any, Final, Protocol

from amqp091 import refusals
from amqp091.errors import PreconditionFailed
from topology.erlang import term

MAX_CONNECTIONS: Final = "max-connections"
MAX_QUEUES: Final = "max-queues"
MAX_CHANNELS: Final = "max-channels"
OF_VHOSTS: Final = (MAX_CONNECTIONS, MAX_QUEUES)
OF_USERS: Final = (MAX_CONNECTIONS, MAX_CHANNELS)
VHOST_LIMITS: Final = ("vhost-limits", "limits")
"""Component and name of the parameter that a vhost's limits are."""
LIMIT_MAX: Final = (1 << 63) - 1        # far above any count, and an integer to every database and tool

Limits = Mapping[str, int]


class Limited(Protocol):
    """A vhost with what is in it."""

    @property
    def limits(self) -> Limits: ...
    @property
    def queues(self) -> Sized: ...


def limit(limits: Limits, name: str) -> int | None:
    """The limit, or None where there is none."""
    value = limits.get(name, -1)
    return value if value >= 0 else None


def checked(given: Any, known: tuple[str, ...], what: str) -> dict[str, int]:
    """Limits that came from outside, as they are kept. `what` names them in the refusal, in RabbitMQ's words."""
    limits = pairs(given)
    if limits is None:
        raise PreconditionFailed(f"{what} not a list {shown(given)}")
    unknown = [name for name in limits if name not in known]
    if unknown:
        terms = ",".join(f"{{{term(name)},{shown(limits[name])}}}" for name in unknown)
        raise PreconditionFailed(f"Unrecognised terms [{terms}] in {what}")
    for name, value in limits.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise PreconditionFailed(f"{name} should be a number, actually was {shown(value)}")
        if abs(value) > LIMIT_MAX:
            raise PreconditionFailed(f"{name} is out of range")
    return limits


def pairs(given: Any) -> dict[str, Any] | None:
    """An object, which RabbitMQ 3.10 writes as a list of pairs in some places; None where it is neither."""
    if isinstance(given, dict):
        return given
    if isinstance(given, list) and all(
        isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in given
    ):
        return dict(given)
    return None


def shown(value: Any) -> str:
    """A JSON value as RabbitMQ prints it in such a refusal."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "#{" + ",".join(f"{term(key)} => {shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(shown(item) for item in value) + "]"
    return term(value)


def check_queue_limit(vhost: str, limited: Limited, name: str) -> None:
    """PreconditionFailed where the vhost may have no further queue."""
    allowed = limit(limited.limits, MAX_QUEUES)
    if allowed is not None and len(limited.queues) >= allowed:
        raise refusals.queue_limit_reached(name, vhost, allowed)
