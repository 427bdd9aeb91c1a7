"""What gateways ask a shard in JSON: consume, cancel, purge, and the other rare things.

Each handler calls the engine and returns the document to answer, or None where the answer
comes later. Refusals are AMQP errors, turned into {"error": [code, text]} in one place.
Owns the names of queues that went a moment ago, for the texts, the deletions of unused
queues under way, and which queues are closed for one.
"""
import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, Final

import orjson

from amqp091.errors import AMQPError, InternalError
from amqp091.refusals import in_exclusive_use, in_use, missing, not_empty
from amqp091.table_json import from_json
from shards.active_consumers import ActiveConsumers
from shards.consumed import ConsumedQueues
from shards.engine import EVENT, REQUEST, BadRecord, Engine, ExclusiveConflict, UnknownQueue
from shards.reply_queues import ReplyQueues
from shards.streams import reading
from topology.consumer_arguments import CONSUMER_PRIORITY
from topology.model import QUEUE
from topology.replica import Replica

logger = logging.getLogger(__name__)

FORMER_QUEUES_MAX: Final = 1024
"""Names kept of deleted queues: a gateway that has not heard of it yet asks within moments."""

CLOSED_S_MAX: Final = 2.0
"""A deletion that was allowed comes within milliseconds; after this it is not expected any more."""

Document = dict[str, Any]
EMPTY: Final = b"{}"


class Requests:
    """The requests and events of all gateways to one shard."""

    def __init__(
        self,
        engine: Engine,
        replica: Replica,
        delete_unused: Callable[[int, bool], Awaitable[bool]],
        wake: Callable[[], None],
        consumed: ConsumedQueues,
        reply_queues: ReplyQueues,
    ) -> None:
        """`delete_unused` has the catalog delete a queue that is auto-delete, or that has expired; `wake`: there is
        something to send."""
        self._engine = engine
        self._replica = replica
        self._delete_unused = delete_unused
        self._wake = wake
        self._consumed = consumed
        self._reply_queues = reply_queues
        self.active_consumers = ActiveConsumers(engine)
        self._attaching: set[int] = set()           # gateways that are to say which consumers they have
        self._links: dict[int, int] = {}            # gateway: how many of its links have gone
        self._former: OrderedDict[int, tuple[str, str]] = OrderedDict()    # name and vhost
        self._ending: set[int] = set()              # auto-delete queues that the catalog was asked to delete
        self._closed: dict[int, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._verbs: dict[str, Callable[[int, int, Document], Document | None]] = {
            "consume": self._consume,
            "reply_queue.open": self._open_reply_queue,
            "cancel": self._cancel,
            "purge": self._purge,
            "count": self._count,
            "delete_check": self._delete_check,
            "barrier": self._barrier,
            "qos": self._qos,
            "recover": self._recover,
            "close_channel": self._close_channel,
            "close_connection": self._close_connection,
        }

    def handle(self, gateway: int, kind: int, request_id: int, raw: bytes) -> None:
        """One JSON record, in its place among the others of its batch."""
        try:
            document = orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise BadRecord("a JSON record that is not JSON") from None
        if not isinstance(document, dict):
            raise BadRecord("a JSON record that is not an object")
        if kind == EVENT:
            self._on_event(gateway, document)
        elif kind == REQUEST:
            self._on_request(gateway, request_id, document)
        else:
            raise BadRecord("an answer to nothing that was asked")

    def _on_event(self, gateway: int, event: Document) -> None:
        name = event.get("event")
        if name == "credit":
            self._engine.grant(gateway, event["channel"], event["count"])
        elif name == "room_end":
            self._end_room(gateway, event.get("file"), event.get("body"), event.get("back") is True)
        elif name == "attached":
            self._attached(gateway)
        else:
            raise BadRecord(f"an unknown event {name!r}")

    def _end_room(self, gateway: int, number: Any, body_bytes: Any, back: bool) -> None:
        if not all(isinstance(one, int) and 0 <= one < 1 << 64 for one in (number, body_bytes)):
            raise BadRecord(f"a gateway cannot end a room {number!r} for a body of {body_bytes!r} bytes")
        if not self._engine.end_room(gateway, number, body_bytes, back):
            raise BadRecord(f"a gateway has no room {number!r}")

    def _on_request(self, gateway: int, request_id: int, message: Document) -> None:
        try:
            answer = self._answer(gateway, request_id, message)
        except AMQPError as error:
            answer = {"error": [error.reply_code, error.text]}
        if answer is not None:
            self._engine.respond(gateway, request_id, orjson.dumps(answer))

    def _answer(self, gateway: int, request_id: int, message: Document) -> Document | None:
        verb = message.get("verb")
        handler = self._verbs.get(verb) if isinstance(verb, str) else None
        if handler is None:
            raise InternalError(f"a shard does not know the request {verb!r}")
        try:
            return handler(gateway, request_id, message)
        except UnknownQueue as error:
            raise missing(QUEUE, *self._name(error.args[0])) from None
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            logger.exception("the request %r of gateway %d could not be handled", message, gateway)
            raise InternalError(f"{verb}: {type(error).__name__}: {error}") from None

    # queues

    def _purge(self, gateway: int, request_id: int, message: Document) -> Document:
        return {"message_count": self._engine.purge(message["queue_id"])}

    def _count(self, gateway: int, request_id: int, message: Document) -> Document:
        """What declare-ok says. A declaration is a use of the queue, which puts off its x-expires."""
        self._engine.used(message["queue_id"])
        ready, consumers = self._engine.count(message["queue_id"])
        return {"message_count": ready, "consumer_count": consumers}

    def _delete_check(self, gateway: int, request_id: int, message: Document) -> Document:
        """Behind what the client published before. A queue that went meanwhile may be deleted once more."""
        try:
            ready = self.check_deletion(message["queue_id"], message["if_unused"], message["if_empty"])
        except UnknownQueue:
            ready = 0
        return {"message_count": ready}

    def check_deletion(self, queue_id: int, if_unused: bool, if_empty: bool) -> int:
        """How many messages are ready, where the conditions of queue.delete hold; the catalog deletes.

        From here on a queue that is to be unused counts as deleted. Whoever wants to consume from it is told so: a
        consumer that was accepted would show that it was not unused. A message that still comes is kept and goes with
        the queue, as it would have nowhere to go after the deletion; it must not be refused or dropped sooner, as it
        is confirmed, and the catalog may die before it has deleted anything.
        """
        # what gateways have sent so far counts
        self._engine.dispatch()
        ready, consumers = self._engine.count(queue_id)
        if if_empty and ready:
            raise not_empty(*self._name(queue_id))
        if if_unused and consumers:
            raise in_use(QUEUE, *self._name(queue_id))
        if if_unused:
            self.close_queue(queue_id)
        return ready

    def _barrier(self, gateway: int, request_id: int, message: Document) -> Document:
        """Everything before it has been applied."""
        return {}

    # consumers and channels

    def _consume(self, gateway: int, request_id: int, message: Document) -> Document:
        queue_id = message["queue_id"]
        if queue_id in self._ending or queue_id in self._closed:
            raise missing(QUEUE, *self._name(queue_id))
        arguments = from_json(message.get("arguments", {}))
        consumer = message["consumer"]
        try:
            self._engine.consume(
                gateway, queue_id, consumer, message["channel"], message["connection"],
                no_ack=message["no_ack"], exclusive=message["exclusive"], prefetch=message["prefetch"],
                priority=arguments.get(CONSUMER_PRIORITY, 0),
                arrival=message.get("arrival", 0), was_active=message.get("active", False),
                **reading(arguments, message, self._engine.now_ms),
            )
        except ExclusiveConflict:
            raise in_exclusive_use(*self._name(queue_id)) from None
        queue = self._replica.queue_by_id(queue_id)
        if queue is not None and queue.auto_delete:
            self._consumed.add(queue_id)
        offset = self._engine.read_next(gateway, consumer)
        if offset is not None:
            return {"stream_offset": offset}
        standing = self._engine.standing(gateway, consumer)
        if standing is None:
            return {}
        self.active_consumers.came(queue_id, (gateway, consumer), message["tag"])
        return {"arrival": standing[0], "active": standing[1]}

    def _open_reply_queue(self, gateway: int, request_id: int, message: Document) -> Document:
        queue_id = self._reply_queues.open(
            gateway, message["queue_id"], message["consumer"], message["channel"], message["connection"]
        )
        return {"queue_id": queue_id}

    def _cancel(self, gateway: int, request_id: int, message: Document) -> Document | None:
        return self._left(gateway, request_id, self._engine.cancel(gateway, message["consumer"]))

    def _qos(self, gateway: int, request_id: int, message: Document) -> Document:
        self._engine.qos(
            gateway, message["channel"], limited=message["limited"], prefetch=message["consumer_prefetch"],
            paused=message.get("paused", False), connection=message.get("connection"),
        )
        return {}

    def _recover(self, gateway: int, request_id: int, message: Document) -> Document:
        self._engine.recover(gateway, message["channel"])
        return {}

    def _close_channel(self, gateway: int, request_id: int, message: Document) -> Document | None:
        return self._left(gateway, request_id, self._engine.close_channel(gateway, message["channel"]))

    def _close_connection(self, gateway: int, request_id: int, message: Document) -> Document | None:
        return self._left(gateway, request_id, self._engine.close_connection(gateway, message["connection"]))

    # auto-delete

    def _left(self, gateway: int, request_id: int, unused: Sequence[int]) -> Document | None:
        """Consumers have left; where that ends queues, the answer waits until they are deleted."""
        unused = self._reply_queues.end(unused)
        if not unused:
            return {}
        self._run(self._answer_when_deleted(gateway, request_id, self._links.get(gateway, 0), unused))
        return None

    async def _answer_when_deleted(self, gateway: int, request_id: int, link: int, unused: Sequence[int]) -> None:
        await self._delete_all(unused)
        if self._links.get(gateway, 0) == link:
            self._engine.respond(gateway, request_id, EMPTY)
            self._wake()

    def delete_expired(self) -> None:
        """Queues that nobody has used for as long as their x-expires, and those that lost their last consumer to a
        consumer timeout."""
        expired = [queue_id for queue_id in self._engine.take_expired_queues() if queue_id not in self._ending]
        if expired:
            self._run(self._delete_all(expired, expired=True))
        deserted = self._engine.take_deserted_queues()
        if deserted:
            self._run(self._delete_all(deserted))

    async def _delete_all(self, unused: Sequence[int], *, expired: bool = False) -> None:
        await asyncio.gather(*(self._delete(queue_id, expired) for queue_id in unused))

    async def _delete(self, queue_id: int, expired: bool) -> None:
        """Nobody can consume from it any more, unless the catalog keeps it."""
        self._ending.add(queue_id)
        deleted = False
        try:
            deleted = await self._delete_unused(queue_id, expired)
        finally:
            if not deleted:
                self._ending.discard(queue_id)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("an unused queue could not be deleted", exc_info=task.exception())

    def close(self) -> None:
        """Answers that wait are not given any more."""
        for task in list(self._tasks):
            task.cancel()
        for queue_id in list(self._closed):
            self.open_queue(queue_id)

    # what happens elsewhere

    def gateway_down(self, gateway: int) -> None:
        """Everything it had here goes; answers that wait have nobody to go to."""
        self._links[gateway] = self._links.get(gateway, 0) + 1
        unused = self._reply_queues.end(self._engine.gateway_down(gateway))
        if unused:
            self._run(self._delete_all(unused))

    def await_attachments(self, gateways: Iterable[int]) -> None:
        """After a restart: these have consumers from before. Until all have attached them, nobody else is made a single
        active consumer in the place of one."""
        self._attaching = set(gateways)
        self._engine.await_attachments()

    def _attached(self, gateway: int) -> None:
        self._attaching.discard(gateway)
        if not self._attaching:
            self._engine.all_attached()

    def attached_late(self) -> None:
        """Gateways have had the time to attach what they have: consumers that are not here by now went meanwhile."""
        self._attaching.clear()
        self._engine.all_attached()
        self._delete_deserted()
        self._wake()

    def _delete_deserted(self) -> None:
        """Auto-delete queues whose consumers went while this process was down."""
        deserted = []
        for queue_id in self._consumed:
            if not self._engine.has_queue(queue_id):
                self._consumed.discard(queue_id)
            elif self._engine.count(queue_id)[1] == 0 and queue_id not in self._ending:
                deserted.append(queue_id)
        if deserted:
            self._run(self._delete_all(deserted))

    def close_queue(self, queue_id: int) -> None:
        """It is to be deleted because it has no consumer: it gets none until then, or until that is overdue."""
        self.open_queue(queue_id)
        self._closed[queue_id] = asyncio.get_running_loop().call_later(CLOSED_S_MAX, self.open_queue, queue_id)

    def open_queue(self, queue_id: int) -> None:
        """It may have consumers again."""
        timer = self._closed.pop(queue_id, None)
        if timer is not None:
            timer.cancel()

    def remove_queue(self, queue_id: int, name: str, vhost: str) -> None:
        """The catalog has deleted it: its consumers are told."""
        self._ending.discard(queue_id)
        self.open_queue(queue_id)
        self._consumed.discard(queue_id)
        self.active_consumers.queue_went(queue_id)
        self._former[queue_id] = (name, vhost)
        if len(self._former) > FORMER_QUEUES_MAX:
            self._former.popitem(last=False)
        for gateway, consumer in self._engine.remove_queue(queue_id):
            self._engine.event(gateway, orjson.dumps({"event": "cancelled", "consumer": consumer}))

    def _name(self, queue_id: int) -> tuple[str, str]:
        """Name and vhost, for texts."""
        queue = self._replica.queue_by_id(queue_id)
        if queue is not None:
            return queue.name, queue.vhost
        return self._former.get(queue_id, (str(queue_id), "?"))
