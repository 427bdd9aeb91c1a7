"""The exchange types, one file each: a routing table that knows how the type routes; what may be declared and bound."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from amqp091.refusals import resource, unknown_exchange_type
from topology.exchanges.consistent_hash import ConsistentHashTable, check_hash_arguments, check_weight
from topology.exchanges.delayed_message import DELAYED_MESSAGE, check_delayed_type
from topology.exchanges.direct import DirectTable
from topology.exchanges.fanout import FanoutTable
from topology.exchanges.headers import HeadersTable, check_match_arguments
from topology.exchanges.modulus_hash import ModulusHashTable
from topology.exchanges.random import RandomTable, check_local_binding
from topology.exchanges.table import ChoosingTable, RoutingTable
from topology.exchanges.topic import TopicTable
from topology.model import EXCHANGE, Binding, Exchange, Queue

DIRECT: Final = "direct"
FANOUT: Final = "fanout"
TOPIC: Final = "topic"
HEADERS: Final = "headers"
CONSISTENT_HASH: Final = "x-consistent-hash"
MODULUS_HASH: Final = "x-modulus-hash"
RANDOM: Final = "x-random"
LOCAL_RANDOM: Final = "x-local-random"

Table = RoutingTable | ChoosingTable
Arguments = Mapping[str, Any]

TABLES: Final[dict[str, Callable[[Arguments], Table]]] = {
    DIRECT: lambda arguments: DirectTable(),
    FANOUT: lambda arguments: FanoutTable(),
    TOPIC: lambda arguments: TopicTable(),
    HEADERS: lambda arguments: HeadersTable(),
    CONSISTENT_HASH: ConsistentHashTable,
    MODULUS_HASH: lambda arguments: ModulusHashTable(),
    RANDOM: lambda arguments: RandomTable(),
    LOCAL_RANDOM: lambda arguments: RandomTable(),
}
"""By the types that route. An x-delayed-message exchange has the table of the type that it routes like."""
TRACE_EXCHANGE: Final = "amq.rabbitmq.trace"


def routes_like(exchange_type: str, arguments: Arguments) -> str:
    """The type itself, or the one behind x-delayed-message. PreconditionFailed where that names none."""
    return check_delayed_type(arguments) if exchange_type == DELAYED_MESSAGE else exchange_type


def table_of(exchange: Exchange) -> Table:
    """An empty routing table for the exchange."""
    return TABLES[routes_like(exchange.type, exchange.arguments)](exchange.arguments)


def check_exchange_type(name: str) -> None:
    """PreconditionFailed for a type that nobody knows."""
    if name not in TABLES and name != DELAYED_MESSAGE:
        raise unknown_exchange_type(name)


def check_exchange_arguments(vhost: str, name: str, exchange_type: str, arguments: Arguments) -> None:
    """PreconditionFailed for arguments that the (known) type cannot work with."""
    routing_type = routes_like(exchange_type, arguments)
    check_exchange_type(routing_type)
    if routing_type == CONSISTENT_HASH:
        check_hash_arguments(arguments, resource(EXCHANGE, name, vhost))


def check_binding(source: Exchange, binding: Binding, queue: Queue | None) -> None:
    """PreconditionFailed for a binding that the source's type does not take. `queue`: the destination, if it is one."""
    routing_type = routes_like(source.type, source.arguments)
    if routing_type == HEADERS:
        check_match_arguments(binding.arguments)
    elif routing_type == CONSISTENT_HASH:
        check_weight(binding.routing_key)
    elif routing_type == LOCAL_RANDOM:
        check_local_binding(binding, queue)


def predeclared(vhost: str) -> list[Exchange]:
    """The exchanges that every vhost has from its first moment to its last."""
    named = {
        "": DIRECT,
        "amq.direct": DIRECT,
        "amq.fanout": FANOUT,
        "amq.topic": TOPIC,
        "amq.headers": HEADERS,
        "amq.match": HEADERS,
    }
    exchanges = [Exchange(vhost, name, type_, durable=True) for name, type_ in named.items()]
    exchanges.append(Exchange(vhost, TRACE_EXCHANGE, TOPIC, durable=True, internal=True))
    return exchanges


__all__ = [
    "CONSISTENT_HASH", "DELAYED_MESSAGE", "DIRECT", "FANOUT", "HEADERS", "LOCAL_RANDOM", "MODULUS_HASH", "RANDOM",
    "TABLES", "TOPIC", "TRACE_EXCHANGE", "ChoosingTable", "RoutingTable", "Table", "check_binding",
    "check_exchange_arguments", "check_exchange_type", "check_match_arguments", "predeclared", "routes_like",
    "table_of",
]
