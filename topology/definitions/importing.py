"""A definitions document against a Replica: first everything is checked, then the plan says all that is to change.

As in RabbitMQ an import adds. Users, permissions, parameters, policies and metadata of vhosts in the document replace
those of the same name (rights.py); queues, exchanges and bindings that exist stay, and a difference is a warning
(objects.py). Names that begin with `amq.` and exclusive queues are skipped with a warning, and so are bindings to what
was skipped. Everything else that is wrong is a refusal, and then there is no plan: nothing changes at all.

Changes nothing itself. Queue ids and shards are the catalog's to choose, when it applies the plan.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from amqp091.errors import PreconditionFailed
from topology.definitions import objects, rights
from topology.definitions.items import Item, items
from topology.definitions.parsing import checked
from topology.definitions.planned import ImportPlan, Planned, no_vhost
from topology.replica import Replica

OF_A_VHOST: Final = ("parameters", "policies", "exchanges", "queues", "bindings")
"""What a vhost takes from a document; the rest is the whole broker's."""

TAKERS: Final[dict[str, Callable[[Planned, Item], None]]] = {
    "users": rights.user,
    "vhosts": rights.vhost,
    "global_parameters": rights.global_parameter,
    "parameters": rights.parameter,
    "permissions": rights.permission,
    "topic_permissions": rights.topic_permission,
    "policies": rights.policy,
    "exchanges": objects.exchange,
    "queues": objects.queue,
    "bindings": objects.binding,
}
"""In the order in which one needs the other."""


def plan_import(
    topology: Replica, document: Any, vhost: str | None = None, *, skip_missing: bool = False
) -> ImportPlan:
    """The whole document, or what is in it for one vhost. PreconditionFailed where anything in it is wrong.

    `skip_missing`: a binding of something that is missing is skipped. `rabbitmqctl export_definitions` writes bindings
    of exclusive queues, which it leaves out.
    """
    definitions = checked(document)
    if vhost is not None:
        if vhost not in topology.vhosts:
            raise no_vhost(vhost)
        definitions = {key: definitions[key] for key in OF_A_VHOST if key in definitions}
    else:
        _check_vhosts_named(definitions)
    planned = Planned(topology, definitions, vhost, skip_missing)
    for category, take in TAKERS.items():
        for item in items(definitions, category):
            take(planned, item)
    rights.set_parameters(planned)
    objects.check_queue_limits(planned)
    return planned.plan


def _check_vhosts_named(definitions: dict[str, Any]) -> None:
    for category in ("queues", "exchanges", "bindings"):
        if any(not item.has("vhost") for item in items(definitions, category)):
            raise PreconditionFailed(
                "some queues, exchanges or bindings in the definition file are missing the virtual host field. Such "
                "files are produced when definitions of a single virtual host are exported; name the virtual host "
                "that they are for."
            )
