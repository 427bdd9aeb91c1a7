"""The arguments of basic.consume: which queue type knows which, what values they take, what a refusal says.

Checks only. An argument that no queue type knows is ignored; one that some other type knows is refused, since the
client counts on an effect.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from amqp091.errors import PreconditionFailed
from topology.arguments import CLASSIC, QUORUM, STREAM, module_name, queue_type_of
from topology.erlang import term
from topology.model import QUEUE, Queue
from topology.names import described
from topology.stream_offset import STREAM_OFFSET, stream_offset
from topology.value_types import INTEGER_TYPES, type_name

CONSUMER_PRIORITY: Final = "x-priority"
CANCEL_ON_FAILOVER: Final = "x-cancel-on-ha-failover"

KNOWN: Final[dict[str, tuple[str, ...]]] = {
    CLASSIC: (CONSUMER_PRIORITY, CANCEL_ON_FAILOVER),
    QUORUM: (CONSUMER_PRIORITY,),
    STREAM: (STREAM_OFFSET,),
}
ALL_KNOWN: Final = frozenset(key for keys in KNOWN.values() for key in keys)


def _priority(value: Any) -> str | None:
    return None if type_name(value) in INTEGER_TYPES else f'"expected integer, got {type_name(value)}"'


def _boolean(value: Any) -> str | None:
    return None if isinstance(value, bool) else f"{{unacceptable_type,{type_name(value)}}}"


def _stream_offset(value: Any) -> str | None:
    if stream_offset(value, 0) is not None:
        return None
    return f"{{invalid_stream_offset_arg,{{{type_name(value)},{term(value)}}}}}"


# What is wrong with a value, as RabbitMQ prints it. In the order in which they are checked.
CHECKS: Final[dict[str, Callable[[Any], str | None]]] = {
    CONSUMER_PRIORITY: _priority,
    CANCEL_ON_FAILOVER: _boolean,
    STREAM_OFFSET: _stream_offset,
}


def check_consume(queue: Queue, arguments: Mapping[str, Any]) -> None:
    """PreconditionFailed unless a consumer of this queue may have these arguments."""
    queue_type = queue_type_of(queue.arguments)
    known = KNOWN[queue_type]
    for key, check in CHECKS.items():
        if key in known and key in arguments:
            wrong = check(arguments[key])
            if wrong is not None:
                raise PreconditionFailed(
                    f"invalid arg '{key}' for {described(QUEUE, queue.name, queue.vhost)}: {wrong}"
                )
    for key in arguments:
        if key in ALL_KNOWN and key not in known:
            raise PreconditionFailed(
                f"invalid arg '{key}' for {described(QUEUE, queue.name, queue.vhost)} "
                f"of queue type {module_name(queue_type)}"
            )
