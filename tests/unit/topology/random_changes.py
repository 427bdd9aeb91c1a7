"""Changes of a vhost at random, among few names, so that everything meets everything: exchanges of all types, bindings
between them, alternate exchanges by argument and by policy (some never declared, some the default exchange), queues."""
from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, Final

from topology import changes
from topology.changes import Op
from topology.model import Binding, Exchange, Policy, Queue
from topology.replica import Replica

TYPES: Final = ("direct", "direct", "fanout", "topic", "headers", "x-delayed-message", "x-consistent-hash")
EXCHANGES: Final = ("e0", "e1", "e2", "e3", "e4", "amq.direct", "amq.topic", "amq.fanout", "amq.headers")
QUEUES: Final = ("a", "b", "c", "a.b")
KEYS: Final = (*QUEUES, "1", "nowhere")
BINDING_KEYS: Final = (*KEYS, "#", "a.*")
MATCHES: Final[tuple[dict[str, Any], ...]] = ({}, {"h": 1}, {"h": 2, "x-match": "any"})


class Dice:
    """Draws changes that the catalog could decide, and applies them."""

    def __init__(self, replica: Replica, seed: int) -> None:
        self.replica = replica
        self.random = random.Random(seed)
        self._queues = 0
        replica.apply_ops([changes.vhost_add("/")])

    def change(self) -> list[Op]:
        """What was applied; nothing now and then."""
        ops = list(self._drawn())
        self.replica.apply_ops(ops)
        return ops

    def _drawn(self) -> Iterator[Op]:
        kind = self.random.choice((*["queue", "bind"] * 3, "exchange", "link", "unbind", "policy"))
        if kind == "queue":
            name = self.random.choice(QUEUES)
            queue = self.replica.queue("/", name)
            if queue is not None:
                yield changes.queue_delete(queue)
            if queue is None or self.random.random() < 0.3:
                self._queues += 1
                yield changes.queue_add(Queue(self._queues, name, "/", durable=self.random.random() < 0.5))
        elif kind == "exchange":
            yield from self._exchange(self.random.choice(EXCHANGES[:5]))
        elif kind == "unbind":
            bindings = list(self.replica.vhosts["/"].bindings)
            if bindings:
                yield changes.binding_delete(self.random.choice(bindings), True)
        elif kind == "policy":
            policy = Policy("/", "p", self.random.choice(("e0", "e[12]", "amq.direct")),
                            {"alternate-exchange": self.random.choice(EXCHANGES)}, apply_to="exchanges")
            yield self.random.choice((changes.policy_set, changes.policy_clear))(policy)
        else:
            yield from self._binding(to_exchange=kind == "link")

    def _exchange(self, name: str) -> Iterator[Op]:
        found = self.replica.exchange("/", name)
        if found is not None and self.random.random() < 0.5:
            yield changes.exchange_delete(found)
            return
        arguments: dict[str, Any] = {}
        if self.random.random() < 0.4:
            arguments["alternate-exchange"] = self.random.choice(("", "never", *EXCHANGES))
        type_ = self.random.choice(TYPES)
        if type_ == "x-delayed-message":
            arguments["x-delayed-type"] = self.random.choice(("direct", "fanout"))
        yield changes.exchange_add(Exchange("/", name, type_, arguments=arguments))

    def _binding(self, *, to_exchange: bool) -> Iterator[Op]:
        source = self.replica.exchange("/", self.random.choice(EXCHANGES))
        target = self.random.choice(EXCHANGES if to_exchange else QUEUES)
        if source is None or (self.replica.exchange if to_exchange else self.replica.queue)("/", target) is None:
            return
        by_weight = source.type == "x-consistent-hash"
        yield changes.binding_add(Binding(
            "/", source.name, target, "exchange" if to_exchange else "queue",
            self.random.choice("12") if by_weight else self.random.choice(BINDING_KEYS),
            self.random.choice(MATCHES) if source.type == "headers" else {}), True)
