"""The delayed message exchange: routes like another type, which its argument `x-delayed-type` names.

It delays the messages whose header `x-delay` says so. That is done where they are published: a message is routed when
it comes, and waits in its queues. Here is what can be declared.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from amqp091.errors import PreconditionFailed

DELAYED_MESSAGE: Final = "x-delayed-message"
DELAYED_TYPE: Final = "x-delayed-type"


def check_delayed_type(arguments: Mapping[str, Any]) -> str:
    """The type it routes like, which may yet be unknown; PreconditionFailed, with the plugin's text, without one."""
    routes_like = arguments.get(DELAYED_TYPE)
    if isinstance(routes_like, bytes):
        routes_like = routes_like.decode("utf-8", "surrogateescape")
    if routes_like == DELAYED_MESSAGE:
        raise PreconditionFailed("Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'")
    if not isinstance(routes_like, str):
        raise PreconditionFailed("Invalid argument, 'x-delayed-type' must be an existing exchange type")
    return routes_like
