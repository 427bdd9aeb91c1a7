"""Reply queues: what direct reply-to consumes from. The catalog knows none of them.

Each has one consumer, without acks, for as long as it exists: it is opened together with it and ends
with it, or with its channel, connection or gateway. Its id is given here and told in the name by which
others reply (gateway/replies.py). After a restart of the shard the gateway opens it again under the
same id, so that names on their way stay good; what waited in it is gone, as with RabbitMQ.

Owns the ids above NAMED_QUEUE_ID_MAX. Never answers a request itself.
"""
from collections.abc import Sequence
from typing import Final

from amqp091.errors import InternalError, ResourceLocked
from log.store import Store
from shards.engine import Engine
from topology.model import NAMED_QUEUE_ID_MAX

FIRST_ID: Final = NAMED_QUEUE_ID_MAX + 1
ID_COUNT: Final = 1 << 31
IDS_PER_INCARNATION: Final = 1 << 27
"""Each incarnation of the shard gives ids of a part of its own, so it need not know what is opened again."""


class ReplyQueues:
    """The reply queues of one shard."""

    def __init__(self, engine: Engine, store: Store, incarnation: int) -> None:
        self._engine = engine
        self._store = store
        self._last = incarnation * IDS_PER_INCARNATION

    def open(self, gateway: int, queue_id: int | None, consumer: int, channel: int, connection: int) -> int:
        """A queue with this consumer: a new one, or one of before the restart. Returns its id."""
        if queue_id is None:
            queue_id = self._new_id()
        elif not FIRST_ID <= queue_id < FIRST_ID + ID_COUNT:
            raise InternalError(f"{queue_id} is no id of a reply queue")
        elif self._engine.has_queue(queue_id):
            raise ResourceLocked(f"the reply queue {queue_id} is another consumer's")
        self._engine.add_queue(queue_id, False, True, self._store.highest_number(queue_id))
        self._engine.consume(
            gateway, queue_id, consumer, channel, connection, no_ack=True, exclusive=False, prefetch=0
        )
        return queue_id

    def end(self, unused: Sequence[int]) -> list[int]:
        """Of the queues that lost their last consumer, ends those that are reply queues; returns the others."""
        for queue_id in unused:
            if queue_id >= FIRST_ID:
                self._engine.remove_queue(queue_id)
        return [queue_id for queue_id in unused if queue_id < FIRST_ID]

    def _new_id(self) -> int:
        while True:
            self._last += 1
            queue_id = FIRST_ID + self._last % ID_COUNT
            if not self._engine.has_queue(queue_id):
                return queue_id
