"""The queues of one shard as the catalog knows them: added, loaded, changed and removed as the topology changes.

Owns the features that each queue was given last, so that a policy touches those queues alone whose features it
changes, and the entries that recovery found until their queues are known. What belongs to no
queue any more is acknowledged away.
"""
import logging
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from amqp091.tables import from_json
from log.formats import ENTRY_DTYPE
from log.store import Store
from shards.engine import Engine
from shards.requests import Requests
from topology.deduplication import window_queue_id
from topology.features import QueueFeatures, features_of
from topology.model import Queue
from topology.replica import Replica

logger = logging.getLogger(__name__)

Entries = NDArray[np.void]

NO_ENTRIES: Final[Entries] = np.empty(0, ENTRY_DTYPE)
POLICY_OPS: Final = frozenset({"policy.set", "policy.clear"})


class ShardQueues:
    """Follows the replica. Queues of other shards are none of its business."""

    def __init__(
        self, index: int, engine: Engine, store: Store, requests: Requests, replica: Replica,
        recovered: dict[int, Entries],
    ) -> None:
        self._index = index
        self._engine = engine
        self._store = store
        self._requests = requests
        self._replica = replica
        self._recovered = recovered
        self._features: dict[int, QueueFeatures] = {}

    def on_change(self, change: dict[str, Any]) -> None:
        """A change of the topology, already in the replica."""
        vhosts = set()
        for op in change["ops"]:
            if op["op"] in POLICY_OPS:
                vhosts.add(op["vhost"])
            elif op.get("shard") != self._index:
                continue
            elif op["op"] == "queue.add":
                self._add(op)
            elif op["op"] == "queue.delete":
                self._remove(op)
        if vhosts or change["snapshot"]:
            self._configure(None if change["snapshot"] else vhosts)

    def _add(self, op: dict[str, Any]) -> None:
        queue_id = op["queue_id"]
        if self._engine.has_queue(queue_id):
            return
        features = self._features_of(op)
        entries = self._recovered.pop(queue_id, NO_ENTRIES)
        if features.deduplication is None:
            self._engine.add_queue(
                queue_id, op["durable"], op["auto_delete"], self._store.highest_number(queue_id), features
            )
        else:
            self._add_deduplicating(op, features, entries)
        self._features[queue_id] = features
        if len(entries):
            self._engine.load(queue_id, entries)

    def _add_deduplicating(self, op: dict[str, Any], features: QueueFeatures, entries: Entries) -> None:
        """With the ids that it remembers. Its next message gets a number that neither a message nor an id has had."""
        queue_id = op["queue_id"]
        window = window_queue_id(queue_id)
        highest = self._store.highest_number(window)
        self._engine.add_queue(
            queue_id, op["durable"], op["auto_delete"], max(self._store.highest_number(queue_id), highest), features
        )
        self._engine.load_identifiers(queue_id, self._recovered.pop(window, NO_ENTRIES), entries, highest)

    def _features_of(self, op: dict[str, Any]) -> QueueFeatures:
        queue_id = op["queue_id"]
        queue = self._replica.queue_by_id(queue_id)
        # One that the replica does not know is deleted by a later operation of the same change.
        return features_of(from_json(op["arguments"])) if queue is None else self._features_now(queue)

    def _features_now(self, queue: Queue) -> QueueFeatures:
        features = self._replica.features(queue)
        if features.deduplication is not None:
            other = self._replica.queue_by_id(window_queue_id(queue.queue_id))
            if other is not None:
                logger.error(
                    "queue %r in vhost %r was declared before there was deduplication, and does without; "
                    "declare it anew to have it", queue.name, queue.vhost)
                return replace(features, deduplication=None)
        return features

    def _configure(self, vhosts: set[str] | None) -> None:
        """After policies changed in some vhosts (None: perhaps in all): the queues that are to behave otherwise."""
        for queue_id, before in self._features.items():
            queue = self._replica.queue_by_id(queue_id)
            if queue is None or (vhosts is not None and queue.vhost not in vhosts):
                continue
            features = self._features_now(queue)
            if features != before:
                self._features[queue_id] = features
                self._engine.configure(queue_id, features)

    def _remove(self, op: dict[str, Any]) -> None:
        self._features.pop(op["queue_id"], None)
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
