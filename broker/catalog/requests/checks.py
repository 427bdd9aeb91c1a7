"""What many verbs ask of their fields."""
from __future__ import annotations

from amqp091.errors import NotAllowed, PreconditionFailed
from broker.catalog.core import Catalog, Message
from topology.vhost import VhostTopology

NAME_BYTES_MAX = 255        # a short string of the protocol


def existing_vhost(catalog: Catalog, message: Message) -> VhostTopology:
    return vhost_named(catalog, message["vhost"])


def vhost_named(catalog: Catalog, name: str) -> VhostTopology:
    """530, as for a connection that opens a vhost which is not there."""
    vhost = catalog.topology.vhosts.get(name)
    if vhost is None:
        raise NotAllowed(f"vhost {name} not found")
    return vhost


def new_name(message: Message, kind: str) -> str:
    """The name of a vhost or user that is to be created."""
    name = message["name"]
    if not isinstance(name, str) or not 0 < len(name.encode()) <= NAME_BYTES_MAX:
        raise PreconditionFailed(f"the name of a {kind} has 1 to {NAME_BYTES_MAX} bytes")
    return name
