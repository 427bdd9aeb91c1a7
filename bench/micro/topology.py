"""Where messages go: the exchanges' tables, the choice of one destination, and the whole way through a replica.

A gateway asks once for each routing key that a channel has not seen since the last change; only a choice is made for
each message.
"""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bench.micro.case import Case, Timed, repeated
from topology import changes
from topology.choice import Choice
from topology.exchanges.direct import DirectTable
from topology.exchanges.headers import HeadersTable
from topology.exchanges.table import RoutingTable
from topology.exchanges.topic import TopicTable
from topology.model import Binding, Destination, Exchange, Queue
from topology.replica import Replica

KEYS: Final = 1000
WEIGHTED: Final = 16


def table(
    make: Callable[[], RoutingTable], key: Callable[[int], str], pattern: Callable[[int], str],
    headers: Callable[[int], dict[str, Any]] = lambda _: {},
) -> Callable[[Path, int], Timed]:
    """A binding for each key, and a message for each."""

    def prepare(_: Path, units: int) -> Timed:
        filled = make()
        for number in range(units):
            filled.add(Binding("/", "x", f"q{number}", "queue", pattern(number), headers(number)))
        messages = [(key(number), headers(number)) for number in range(units)]
        return repeated(lambda: [filled.match(*message) for message in messages])

    return prepare


def choose(weights: list[int] | None) -> Callable[[Path, int], Timed]:
    """By the hash of the routing key."""

    def prepare(_: Path, units: int) -> Timed:
        choice = Choice([Destination("queue", f"q{number}") for number in range(WEIGHTED)], weights=weights)
        keys = [b"customer-%d" % number for number in range(units)]
        return repeated(lambda: [choice.index(key) for key in keys])

    return prepare


def through_replica(_: Path, units: int) -> Timed:
    """A topic exchange with a binding for each key."""
    replica = Replica()
    replica.apply_ops([changes.vhost_add("/"), changes.exchange_add(Exchange("/", "t", "topic"))])
    for number in range(units):
        replica.apply_ops([
            changes.queue_add(Queue(number + 1, f"q{number}", "/")),
            changes.binding_add(Binding("/", "t", f"q{number}", "queue", f"site.{number}.#", {}), False),
        ])
    keys = [f"site.{number}.kitchen.temperature" for number in range(units)]
    return repeated(lambda: [replica.route("/", "t", key) for key in keys])


CASES: Final = (
    Case("direct, 1,000 keys", table(DirectTable, lambda n: f"k{n}", lambda n: f"k{n}"), KEYS),
    Case("topic, 1,000 patterns", table(TopicTable, lambda n: f"site.{n}.a.b", lambda n: f"*.{n}.#"), KEYS),
    Case("headers, 20 bindings", table(HeadersTable, lambda _: "", lambda _: "", lambda n: {"number": n}), 20),
    Case("choice: consistent hash, 16 queues", choose([1] * WEIGHTED), KEYS),
    Case("choice: modulus hash, 16 queues", choose(None), KEYS),
    Case("replica: topic exchange, 1,000 queues", through_replica, KEYS),
)
