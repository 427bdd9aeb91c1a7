"""The catalog on the control bus: who asks what, and how a refusal travels.

Turns messages into calls and AMQP errors into control errors. Decides nothing.
"""
from __future__ import annotations

import logging
from typing import Final

from amqp091.errors import AMQPError
from broker.catalog.core import Catalog, Message
from broker.catalog.distribution import GATEWAY
from broker.catalog.gateways import gateway_gone
from broker.catalog.requests import VERBS
from broker.catalog.requests.subscription import snapshot, subscribe
from broker.catalog.snapshots import Snapshots
from bus.control import ControlError

logger = logging.getLogger(__name__)

COMMAND_INVALID: Final = 503


class Service:
    """Handlers for the catalog's own server and for what the supervisor asks and tells."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._snapshots = Snapshots()

    async def handle(self, peer: str, message: Message) -> Message | None:
        """What replicas ask and push."""
        verb = message["verb"]
        try:
            if verb == "applied":
                self._applied(peer, message)
                return None
            if verb == "subscribe":
                return await subscribe(self._catalog, self._snapshots, peer, message)
            if verb == "snapshot":
                return await snapshot(self._snapshots, peer, message)
            return await self._request(message)
        except AMQPError as error:
            raise ControlError(error.reply_code, error.text) from None

    async def handle_supervisor(self, message: Message) -> Message | None:
        """What the command line asks through the supervisor."""
        try:
            return await self._request(message)
        except AMQPError as error:
            raise ControlError(error.reply_code, error.text) from None

    async def _request(self, message: Message) -> Message:
        verb = VERBS.get(message["verb"])
        if verb is None:
            raise ControlError(COMMAND_INVALID, f"the catalog does not know '{message['verb']}'")
        return await verb(self._catalog, message)

    def _applied(self, peer: str, message: Message) -> None:
        if message["epoch"] == self._catalog.epoch:     # else: about a catalog before this one
            self._snapshots.close(peer)
            self._catalog.distribution.applied(peer, message["version"])
            self._catalog.usage.heard(peer)

    def peer_gone(self, message: Message) -> None:
        """The supervisor saw a gateway or a shard end.

        Its word may come after the successor has subscribed. Where it tells the `incarnation`, that is seen; the
        successor is asked to subscribe again in any case, as being cut off would leave its replica stale for ever.
        """
        role, index = message["role"], int(message["index"])
        identity = f"{role}-{index}"
        incarnation = message.get("incarnation")
        running = self._catalog.running.get(identity)
        if incarnation is not None and running is not None and running > incarnation:
            return
        self._snapshots.close(identity)
        self._catalog.distribution.gone(identity)
        self._catalog.usage.heard(identity)
        self._catalog.send(identity, {"verb": "resubscribe", "epoch": self._catalog.epoch})
        if role == GATEWAY:
            gateway_gone(self._catalog, index)
        self._catalog.running.pop(identity, None)
