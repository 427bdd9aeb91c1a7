"""What the catalog and the command line ask a shard: may a queue be deleted, what is in the queues, purge one.

Changes nothing itself, but for purge_queue; what is asked about single messages is in messages.py. Fields are named as
rabbitmqctl names them.
"""
import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from amqp091.errors import AMQPError
from amqp091.refusals import not_supported_by_streams
from bus.control import ControlError
from shards.engine import UnknownQueue
from shards.messages import Messages
from shards.shard import Shard
from topology.arguments import is_stream
from topology.replica import Replica

NOT_FOUND: Final = 404
UNKNOWN_VERB: Final = 503
LISTED_AT_ONCE_MAX: Final = 1000
"""Queues described before messages have their turn again."""

Message = dict[str, Any]


class Control:
    """The verbs of one shard. They wait until its queues are there."""

    def __init__(self, shard: Shard, replica: Replica) -> None:
        self.loaded = asyncio.Event()
        self._shard = shard
        self._replica = replica
        messages = Messages(shard.engine, replica, shard.set_clock, lambda: shard.links.schedule())
        self._verbs: dict[str, Callable[[Message], Awaitable[Message]]] = {
            "queue.delete_check": self._delete_check,
            "list_queues": self._list_queues,
            "purge_queue": self._purge_queue,
            "queue.browse": messages.browse,
            "queue.delete_messages": messages.delete,
            "queue.move_messages": messages.move,
            "statistics": self._statistics,
        }

    async def handle(self, message: Message) -> Message:
        verb = self._verbs.get(message.get("verb", ""))
        if verb is None:
            raise ControlError(UNKNOWN_VERB, f"a shard does not know the verb {message.get('verb')!r}")
        await self.loaded.wait()
        try:
            return await verb(message)
        except UnknownQueue as error:
            raise ControlError(NOT_FOUND, f"no queue with the id {error.args[0]}") from None
        except AMQPError as error:
            raise ControlError(error.reply_code, error.text) from None

    async def _delete_check(self, message: Message) -> Message:
        """For deletions that no client asked for: those of clients are checked on their way over the link."""
        ready = self._shard.requests.check_deletion(
            message["queue_id"], bool(message.get("if_unused")), bool(message.get("if_empty"))
        )
        return {"message_count": ready}

    async def _list_queues(self, message: Message) -> Message:
        engine = self._shard.engine
        rows = []
        for queue_id in engine.queue_ids():
            try:
                row: Message = dict(engine.describe(queue_id))
            except UnknownQueue:
                continue            # it went in one of the pauses
            tag = self._shard.requests.active_consumers.tag_of(queue_id)
            if tag is not None:
                row["single_active_consumer_tag"] = tag
            rows.append(row)
            if len(rows) % LISTED_AT_ONCE_MAX == 0:
                await asyncio.sleep(0)
        return {"queues": rows}

    async def _purge_queue(self, message: Message) -> Message:
        queue = self._replica.queue_by_id(message["queue_id"])
        if queue is not None and is_stream(queue):
            raise not_supported_by_streams("queue.purge", queue.name, queue.vhost)
        return {"message_count": self._shard.engine.purge(message["queue_id"])}

    async def _statistics(self, message: Message) -> Message:
        return self._shard.statistics()
