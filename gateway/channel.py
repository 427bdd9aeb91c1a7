"""One channel: its consumers, its current queue, its prefetch, and its end.

The compiled core under it has the messages; this has what clients say about queues. The handlers in
gateway/handlers/ call it. Never touches a message, never writes to a socket.
"""
import asyncio
from typing import TYPE_CHECKING, Any, Final

from amqp091 import methods, refusals
from amqp091.constants import BASIC_PUBLISH
from amqp091.errors import AMQPError, ChannelError, PreconditionFailed
from amqp091.method_table import BasicCancel
from gateway.consumers import Consumer, ReplyConsumer
from gateway.core import ChannelCore, Way
from gateway.prefetch import ChannelPrefetch
from gateway.refusal import attributed
from topology import permissions
from topology.equivalence import check_exclusive_access
from topology.model import EXCHANGE, QUEUE, Exchange, Kind, Queue

if TYPE_CHECKING:
    from gateway.connection import Connection

NO_SLACK_LIMIT: Final = 0xFFFFFFFF
"""No consumer has a prefetch: none waits for acknowledgements."""
CONSUMER_CANCEL_NOTIFY = "consumer_cancel_notify"


class Channel(ChannelCore):
    """An open channel, or one that waits for its close-ok."""

    connection: "Connection"

    def __init__(self, connection: "Connection", number: int) -> None:
        super().__init__(connection, number)
        self.current_queue = ""
        self.consumers: dict[str, Consumer] = {}
        self.reply_consumer: ReplyConsumer | None = None
        self.prefetch_count = 0         # for consumers, from basic.qos without global
        self.prefetch = ChannelPrefetch()
        self.flowing = True             # the client's word of channel.flow
        self.leaving: asyncio.Future[list[dict[str, Any] | None]] | None = None
        self.refused = False            # this side closes it
        self.counted = False            # the catalog counts it, as its user's channels are limited
        self._commit: asyncio.Future[bool] | None = None
        self._attaching: set[asyncio.Future[dict[str, Any]]] = set()    # consumers on their way to a restarted shard

    def send(self, method: tuple[Any, ...]) -> None:
        """A method to the client, behind everything written before."""
        self.connection.write(methods.encode(self.number, method))

    # names and rights

    def expanded(self, queue_name: str) -> str:
        """The name, or the current queue for an empty one."""
        if queue_name:
            return queue_name
        if not self.current_queue:
            raise refusals.no_previously_declared_queue()
        return self.current_queue

    def queue(self, name: str) -> Queue:
        """The queue, if it is there and not another connection's own."""
        queue = self.connection.gateway.replica.queue(self.connection.vhost, name)
        if queue is None:
            raise refusals.missing(QUEUE, name, self.connection.vhost)
        check_exclusive_access(queue, self.connection.id)
        return queue

    def exchange(self, name: str) -> Exchange:
        """The exchange, if it is there."""
        exchange = self.connection.gateway.replica.exchange(self.connection.vhost, name)
        if exchange is None:
            raise refusals.missing(EXCHANGE, name, self.connection.vhost)
        return exchange

    def require(self, right: permissions.Right, kind: Kind, name: str) -> None:
        """AccessRefused unless the user has the right on the resource."""
        connection = self.connection
        permissions.require(connection.gateway.replica, connection.user_name, connection.vhost, right, kind, name)

    def check_topic_write(self, exchange: str, routing_key: str) -> None:
        """AccessRefused where the user may not publish to the topic exchange with this key."""
        connection = self.connection
        connection.gateway.replica.check_topic_write(
            connection.user_name, connection.vhost, exchange, routing_key
        )

    # publishing: hooks of the core, on a route not remembered

    def route_scope(self, exchange: bytes) -> int:
        return self.connection.gateway.replica.scope(self.connection.vhost, _text(exchange))

    def route(
        self, exchange: bytes, routing_keys: tuple[bytes, ...], headers: bytes | None, has_delay: bool,
        path: tuple[int, ...],
    ) -> Way:
        try:
            return self._route(_text(exchange), tuple(map(_text, routing_keys)), headers, has_delay, path)
        except AMQPError as error:
            raise attributed(error, BASIC_PUBLISH) from None

    def _route(
        self, exchange: str, routing_keys: tuple[str, ...], headers: bytes | None, has_delay: bool,
        path: tuple[int, ...],
    ) -> Way:
        connection = self.connection
        self.require(permissions.WRITE, EXCHANGE, exchange)
        if self.exchange(exchange).internal:
            raise refusals.internal_exchange(exchange, connection.vhost)
        for routing_key in routing_keys:
            self.check_topic_write(exchange, routing_key)
        return connection.gateway.routes.find(connection.vhost, exchange, routing_keys, headers, has_delay, path)

    # consuming

    def add(self, consumer: Consumer) -> None:
        """The consumer is known from here on, before its shard has answered."""
        self.consumers[consumer.tag] = consumer
        if consumer.prefetch_count:
            self.ack_slack = min(self.ack_slack, consumer.prefetch_count // 2)

    def set_prefetch(self, count: int) -> None:
        """The limit of each consumer, now and later; 0: none."""
        self.prefetch_count = count
        for consumer in self.consumers.values():
            consumer.prefetch_count = count
        self.ack_slack = count // 2 if count and self.consumers else NO_SLACK_LIMIT

    def forget(self, consumer: Consumer) -> None:
        """After the shard's answer to cancel, a refused consume, or a cancellation by the shard."""
        if self.consumers.get(consumer.tag) is consumer:
            del self.consumers[consumer.tag]
            if not self.consumers:
                self.ack_slack = NO_SLACK_LIMIT
        if consumer is self.reply_consumer:
            self.reply_consumer = None
            self.reply_to = None
        if not self.closed:
            self.remove_consumer(consumer.handle)

    def cancelled(self, tag: str) -> None:
        """The queue has gone, and with it the consumer: the client is told if it can take it."""
        consumer = self.consumers.get(tag)
        if consumer is None:
            return
        self.forget(consumer)
        if self.connection.can(CONSUMER_CANCEL_NOTIFY):
            self.connection.notify(self, BasicCancel(consumer_tag=tag, nowait=True))

    def timed_out(self, handle: int | None, timeout_ms: int) -> None:
        """The client has not settled a delivery in time, and the shard has taken its consumer's messages back. A client
        that cannot be told so, or that has got the message without a consumer, loses the channel."""
        if handle is not None:
            found = self.connection.gateway.consumer(handle)
            if found is None:
                return                  # the client has cancelled it meanwhile
            if self.connection.can(CONSUMER_CANCEL_NOTIFY):
                self.cancelled(_text(found[1]))
                return
        self.connection.refuse(self, PreconditionFailed(
            f"delivery acknowledgement on channel {self.number} timed out. Timeout value used: {timeout_ms} ms. "
            "This timeout value can be configured, see consumers doc guide to learn more"
        ))

    def reattach(self, shard: int) -> None:
        """The shard has been restarted: it learns of the limit and of each consumer again."""
        self.prefetch.stopped(shard)
        consumers = [item for item in self.consumers.values() if item.queue.shard == shard]
        if consumers and self.restricted:
            self.tell_limits(shard)
        for consumer in consumers:
            if not consumer.attached:
                continue                # its request waits, and is sent behind this
            consumer.attached = False
            if consumer.stream_offset is not None:
                consumer.stream_offset = max(consumer.stream_offset, self.next_offset(consumer.handle))
            request = consumer.request(self.handle, self.connection.handle)
            answer = self.connection.gateway.requests.ask(shard, request, on_answer=consumer.granted)
            self._attaching.add(answer)
            answer.add_done_callback(self._attaching.discard)
            self.connection.gateway.spawn(self._attached_again(consumer, answer))

    async def _attached_again(self, consumer: Consumer, answer: "asyncio.Future[dict[str, Any]]") -> None:
        try:
            await answer
        except ChannelError:
            if not self.closed:
                self.cancelled(consumer.tag)
                self.connection.gateway.wake()

    # prefetch over all shards

    @property
    def restricted(self) -> bool:
        """Whether shards have to know more than each consumer's own prefetch."""
        return self.prefetch.active or not self.flowing

    async def set_limits(
        self, *, count: int | None = None, flowing: bool | None = None, consumer_prefetch: int | None = None
    ) -> None:
        """New words of basic.qos or channel.flow; returns when all shards keep to them."""
        before = (self.prefetch.active, self.flowing)
        if count is not None:
            self.prefetch.limit = count
        if flowing is not None:
            self.flowing = flowing
        self.notify_settled = self.prefetch.active
        if before != (self.prefetch.active, self.flowing) or consumer_prefetch is not None:
            await asyncio.gather(*(self.tell_limits(shard, consumer_prefetch) for shard in self.shards()))
        else:
            self.grant()

    def tell_limits(self, shard: int, consumer_prefetch: int | None = None) -> "asyncio.Future[dict[str, Any]]":
        """Tells one shard, ahead of whatever is asked of it next. Its credit starts from nothing."""
        if self.prefetch.active:
            self.prefetch.starting(shard)
        else:
            self.prefetch.stopped(shard)
        message = {
            "verb": "qos",
            "channel": self.handle,
            "connection": self.connection.handle,
            "consumer_prefetch": consumer_prefetch,
            "limited": self.prefetch.active,
            "paused": not self.flowing,
        }
        return self.connection.gateway.requests.ask(
            shard, message, moot_when_down=True, on_answer=lambda _: self._limited(shard)
        )

    def _limited(self, shard: int) -> None:
        if not self.closed:
            self.prefetch.started(shard, self.delivered_from(shard))
            self.grant()

    def grant(self, asking: int | None = None) -> None:
        """Gives the shards that ask for it what credit is free. One that has just asked hears also that none is: until
        then it keeps messages from consumers of lower priority."""
        grants = self.prefetch.grants(self.delivered_from, self.consumer_unacked_count)
        if asking is not None and all(shard != asking for shard, _ in grants):
            grants.append((asking, 0))
        for shard, count in grants:
            self.connection.gateway.send_event(shard, {"event": "credit", "channel": self.handle, "count": count})

    def on_settled(self) -> None:
        self.grant()

    # requests and answers

    def ask(
        self, shard: int, message: dict[str, Any], *, moot_when_down: bool = False
    ) -> "asyncio.Future[dict[str, Any]]":
        return self.connection.gateway.requests.ask(shard, message, moot_when_down=moot_when_down)

    def get_from(self, queue: Queue, no_ack: bool) -> "asyncio.Future[dict[str, Any]]":
        """Asks for one message. What comes is the core's to write, but for a queue that is gone: {"gone": True}."""
        gateway = self.connection.gateway

        def send(request_id: int) -> None:
            self.ask_get(queue.shard, request_id, queue.queue_id, no_ack)
            gateway.wake()

        return gateway.requests.ask_by_record(queue.shard, send)

    def on_get_ok(self, request_id: int) -> None:
        self.connection.gateway.requests.completed(request_id)

    def on_get_gone(self, request_id: int) -> None:
        self.connection.gateway.requests.completed(request_id, {"gone": True})

    async def commit(self) -> bool:
        """Ends the transaction once every shard has it; False where one could not take all of it."""
        if self.tx_commit():
            return True
        self._commit = self.connection.gateway.loop.create_future()
        return await self._commit

    def on_tx_committed(self, ok: bool) -> None:
        if self._commit is not None and not self._commit.done():
            self._commit.set_result(ok)
        self._commit = None

    # the end

    def close(self) -> None:
        """A shard that is down again must not hear of its consumers when it is back: nobody would take them away."""
        for answer in list(self._attaching):
            answer.cancel()
        super().close()

    @property
    def lingers(self) -> bool:
        """Whether others have to hear of its end before the client does."""
        return self.counted or bool(self.shards())

    async def leave(self) -> None:
        """Nothing is delivered any more; unsettled deliveries are ready again when this returns."""
        shards = self.shards()
        self.close()
        self.consumers.clear()
        self.leaving = asyncio.gather(
            self.connection.gateway.quotas.close_channel(self),
            *(self.ask(shard, {"verb": "close_channel", "channel": self.handle}, moot_when_down=True)
              for shard in shards),
        )
        await self.leaving


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
