"""The exchange types, one file each: a routing table that knows how the type matches."""
from __future__ import annotations

from typing import Final

from amqp091.refusals import unknown_exchange_type
from topology.exchanges.direct import DirectTable
from topology.exchanges.fanout import FanoutTable
from topology.exchanges.headers import HeadersTable, check_match_arguments
from topology.exchanges.table import RoutingTable
from topology.exchanges.topic import TopicTable
from topology.model import Exchange

DIRECT: Final = "direct"
FANOUT: Final = "fanout"
TOPIC: Final = "topic"
HEADERS: Final = "headers"
TABLES: Final[dict[str, type[DirectTable] | type[FanoutTable] | type[TopicTable] | type[HeadersTable]]] = {
    DIRECT: DirectTable,
    FANOUT: FanoutTable,
    TOPIC: TopicTable,
    HEADERS: HeadersTable,
}
TRACE_EXCHANGE: Final = "amq.rabbitmq.trace"


def check_exchange_type(name: str) -> None:
    """PreconditionFailed for a type that nobody knows."""
    if name not in TABLES:
        raise unknown_exchange_type(name)


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
    "DIRECT", "FANOUT", "HEADERS", "TABLES", "TOPIC", "TRACE_EXCHANGE",
    "RoutingTable", "check_exchange_type", "check_match_arguments", "predeclared",
]
