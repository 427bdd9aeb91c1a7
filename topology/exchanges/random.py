"""The random exchanges: each message goes to one destination, drawn anew.

`x-random` takes any binding. `x-local-random` is RabbitMQ's choice among the queues of the node that the publisher is
connected to; here every queue is on that node, so it differs in what may be bound: classic queues, with an empty key.
"""
from __future__ import annotations

from amqp091.errors import PreconditionFailed
from topology.arguments import CLASSIC, module_name, queue_type_of
from topology.choice import Choice
from topology.exchanges.table import EvenTable
from topology.model import Binding, Queue


class RandomTable(EvenTable):
    """Destinations, once per binding."""

    def make_choice(self) -> Choice | None:
        return Choice(self.places, random=True) if self.places else None


def check_local_binding(binding: Binding, queue: Queue | None) -> None:
    """PreconditionFailed for what `x-local-random` does not take. `queue`: the destination, where it is one."""
    if binding.routing_key:
        raise PreconditionFailed(f"Non empty binding '{binding.routing_key}' key not permitted")
    if queue is None:
        raise PreconditionFailed("Destination not found")
    queue_type = queue_type_of(queue.arguments)
    if queue_type != CLASSIC:
        raise PreconditionFailed(f"Queue type {module_name(queue_type)} not valid for this exchange type")
