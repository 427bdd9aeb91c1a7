"""The default exchange: every queue is bound to it by its own name, and nothing else can be."""
from __future__ import annotations

from collections.abc import Collection, Mapping

from topology.exchanges.table import Headers
from topology.model import QUEUE, Binding, Destination, Queue


class DefaultTable:
    """Looks at the queues of the vhost; holds no bindings."""

    uses_key = True
    uses_headers = False

    def __init__(self, queues: Mapping[str, Queue]) -> None:
        self._queues = queues

    def add(self, binding: Binding) -> None:
        raise ValueError("the default exchange takes no bindings")

    def remove(self, binding: Binding) -> None:
        raise ValueError("the default exchange has no bindings")

    def match(self, routing_key: str, headers: Headers | None) -> Collection[Destination]:
        return (Destination(QUEUE, routing_key),) if routing_key in self._queues else ()
