"""The queues of one shard as the catalog knows them: added, loaded and removed as the topology changes.

Owns the entries that recovery found until their queues are known. What belongs to no
queue any more is acknowledged away.
"""
import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amqp091.tables import from_json
from log.store import Store
from shards.engine import Engine
from shards.requests import Requests
from topology.features import features_of

logger = logging.getLogger(__name__)

Entries = NDArray[np.void]


class ShardQueues:
    """Follows the replica. Queues of other shards are none of its business."""

    def __init__(
        self, index: int, engine: Engine, store: Store, requests: Requests, recovered: dict[int, Entries]
    ) -> None:
        self._index = index
        self._engine = engine
        self._store = store
        self._requests = requests
        self._recovered = recovered

    def on_change(self, change: dict[str, Any]) -> None:
        """A change of the topology, already in the replica."""
        for op in change["ops"]:
            if op.get("shard") != self._index:
                continue
            if op["op"] == "queue.add":
                self._add(op)
            elif op["op"] == "queue.delete":
                self._remove(op)

    def _add(self, op: dict[str, Any]) -> None:
        queue_id = op["queue_id"]
        if self._engine.has_queue(queue_id):
            return
        self._engine.add_queue(
            queue_id, op["durable"], op["auto_delete"], self._store.highest_number(queue_id),
            features_of(from_json(op["arguments"])),
        )
        entries = self._recovered.pop(queue_id, None)
        if entries is not None:
            self._engine.load(queue_id, entries)

    def _remove(self, op: dict[str, Any]) -> None:
        if self._engine.has_queue(op["queue_id"]):
            self._requests.remove_queue(op["queue_id"], op["name"], op["vhost"])

    def forget_orphans(self) -> int:
        """After the first snapshot: messages of queues that do not exist any more. Returns how many."""
        count = 0
        for entries in self._recovered.values():
            self._store.forget(entries)
            count += len(entries)
        self._recovered = {}
        if count:
            logger.info("%d messages of queues that do not exist any more were dropped", count)
        return count
