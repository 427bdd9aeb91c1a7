"""A replica's tie to the catalog: subscribes, applies changes in order, acknowledges, asks.

Owns the synchronisation of one Replica. Changes that come while a snapshot is
being read wait for it; a gap, or a restarted catalog, leads to a new snapshot,
during which the old state goes on serving. Never decides anything.
"""
from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from amqp091.tables import to_json
from bus.control import ControlClient, ControlClosed, ControlError
from topology import changes
from topology.names import check_text
from topology.replica import Replica

logger = logging.getLogger(__name__)

RETRY_S: Final = 0.2
OPS_PER_TURN: Final = 1000
"""An import of definitions may be one change of a hundred thousand operations: some ten milliseconds at a time, so that
messages keep flowing."""

Change = dict[str, Any]


class TopologyClient:
    """Keeps a replica true. `on_change` is called after each change, before the catalog hears that it was applied.

    What it is given is {"version", "ops", "snapshot": bool}. After a snapshot, `ops` are the queues that appeared
    (at first: all) and the queues that went since the state before it.
    """

    def __init__(
        self,
        control: ControlClient,
        replica: Replica,
        on_change: Callable[[Change], None] | None = None,
        *,
        incarnation: int,
    ) -> None:
        """`control` leads to the catalog; what it pushes has to come to `receive_push`."""
        self.replica = replica
        self._control = control
        self._on_change = on_change
        self._incarnation = incarnation
        self._epoch = 0
        self._early: list[Change] | None = None         # changes that wait for a snapshot; None: none is being read
        self._synchronising: asyncio.Task[None] | None = None
        self._large: asyncio.Task[None] | None = None   # applies a change that takes several turns
        self._behind: list[Change] = []                 # changes that wait for it
        self._loaded = asyncio.Event()

    async def start(self) -> None:
        """Subscribes; the replica is complete when this returns."""
        self.resynchronise()
        await self._loaded.wait()

    async def close(self) -> None:
        self._leave_large()
        if self._synchronising is not None:
            self._synchronising.cancel()
            await asyncio.wait([self._synchronising])

    async def request(self, verb: str, **fields: Any) -> dict[str, Any]:
        """Asks the catalog, and waits for it as long as it is away. ControlError is its refusal.

        `arguments` is a table as it was decoded. Runs in a task of its own, so that whoever awaits this needs none.
        """
        message: dict[str, Any] = {"verb": verb}
        for name, value in fields.items():
            if isinstance(value, str):
                check_text(value)
            message[name] = to_json(value) if name == "arguments" else value
        return await asyncio.ensure_future(self._control.request(message))

    def push(self, verb: str, **fields: Any) -> None:
        """Tells the catalog something that is not answered; lost where the catalog is away."""
        self._control.push({"verb": verb, **fields})

    def catalog_restarted(self) -> None:
        """The supervisor has started a new catalog: subscribe there, and ask again what the old one did not answer."""
        if self._synchronising is not None:
            self._synchronising.cancel()
        self._control.resend_pending()
        self.resynchronise()

    def resynchronise(self) -> None:
        """Takes a new snapshot."""
        if self._synchronising is not None:
            self._synchronising.cancel()
        self._leave_large()
        self._early = []
        self._synchronising = asyncio.get_running_loop().create_task(self._synchronise())

    def receive_push(self, message: dict[str, Any]) -> None:
        """What the catalog pushes."""
        verb = message["verb"]
        if verb == "change":
            if self._early is not None:
                self._early.append(message)
            elif message["epoch"] == self._epoch:
                self._apply(message)
        elif verb == "resubscribe" and message["epoch"] == self._epoch:
            self.resynchronise()

    def _apply(self, change: Change) -> None:
        if self._large is not None:
            self._behind.append(change)
            return
        if change["version"] <= self.replica.catalog_version:
            return
        if change["version"] != self.replica.catalog_version + 1:
            logger.warning("topology changes are missing; taking a new snapshot")
            self.resynchronise()
            return
        if len(change["ops"]) > OPS_PER_TURN:
            self._large = asyncio.get_running_loop().create_task(self._apply_in_turns(change))
            return
        self.replica.apply(change)
        self._changed({"version": change["version"], "ops": change["ops"], "snapshot": False})

    async def _apply_in_turns(self, change: Change) -> None:
        """What exists grows from turn to turn; the catalog hears of it when all is there."""
        version, ops = change["version"], change["ops"]
        try:
            for start in range(0, len(ops), OPS_PER_TURN):
                part = ops[start:start + OPS_PER_TURN]
                self.replica.apply_ops(part)
                if self._on_change is not None:
                    self._on_change({"version": version, "ops": part, "snapshot": False})
                await asyncio.sleep(0)
        except Exception:
            logger.exception("a topology change could not be applied; taking a new snapshot")
            self._large = None
            self.resynchronise()
            return
        self.replica.catalog_version = version
        self._applied(version)
        self._large = None
        behind, self._behind = self._behind, []
        for waiting in behind:
            self.receive_push(waiting)          # where a gap is found, the rest waits for a snapshot

    def _leave_large(self) -> None:
        """What was applied in part is replaced by a snapshot, or not used any more."""
        if self._large is not None:
            self._large.cancel()
            self._large = None
        self._behind = []

    def _changed(self, change: Change) -> None:
        if self._on_change is not None:
            self._on_change(change)
        self._applied(change["version"])

    def _applied(self, version: int) -> None:
        self._control.push({"verb": "applied", "epoch": self._epoch, "version": version})

    async def _synchronise(self) -> None:
        while True:
            try:
                await self._take_snapshot()
                return
            except ControlClosed:
                return
            except ControlError as error:
                logger.warning("no snapshot of the topology: %s", error)
            except Exception:
                logger.exception("no snapshot of the topology")
            self._early = []
            await asyncio.sleep(RETRY_S)

    async def _take_snapshot(self) -> None:
        page = await self._control.request({"verb": "subscribe", "incarnation": self._incarnation})
        epoch, version = page["epoch"], page["version"]
        fresh = Replica()
        fresh.apply_ops(page["ops"])
        number = 0
        while not page["last"]:
            number += 1
            page = await self._control.request({"verb": "snapshot", "version": version, "page": number})
            fresh.apply_ops(page["ops"])
        self._become(fresh, epoch, version)

    def _become(self, fresh: Replica, epoch: int, version: int) -> None:
        """Switches to the new state, and on to what has changed since."""
        before, after = self.replica.queue_ids(), fresh.queue_ids()
        gone = [self.replica.queue_by_id(queue_id) for queue_id in before - after]
        ops = [changes.queue_delete(queue) for queue in gone if queue is not None]
        self.replica.become(fresh, version)
        came = [self.replica.queue_by_id(queue_id) for queue_id in sorted(after - before)]
        ops += [changes.queue_add(queue) for queue in came if queue is not None]
        self._epoch = epoch
        early, self._early = self._early or [], None
        self._changed({"version": version, "ops": ops, "snapshot": True})
        for change in early:
            if change["epoch"] == epoch:
                self.receive_push(change)       # where a gap is found, the rest waits for the next snapshot
        self._loaded.set()
