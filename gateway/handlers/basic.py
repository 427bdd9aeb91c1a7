"""The class basic, but for publish, ack, nack and reject, which are the compiled core's."""
from typing import Any

from amqp091.errors import ChannelError, NotAllowed, NotImplemented_
from amqp091.method_table import (
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicGet,
    BasicQos,
    BasicQosOk,
    BasicRecover,
    BasicRecoverAsync,
    BasicRecoverOk,
)
from amqp091.refusals import missing, not_supported_by_streams
from gateway.channel import Channel
from gateway.consumers import Consumer
from gateway.handlers import quorum, replies, streams
from gateway.prefetch import NO_LIMIT
from topology.arguments import is_stream
from topology.consumer_arguments import check_consume
from topology.model import QUEUE
from topology.names import GENERATED_CONSUMER_PREFIX, REPLY_QUEUE, generated
from topology.permissions import READ


async def qos(channel: Channel, method: BasicQos) -> None:
    """global: a limit for the channel. Otherwise none for the channel, and one for each consumer, now and later."""
    if method.prefetch_size:
        raise NotImplemented_(f"prefetch_size!=0 ({method.prefetch_size})")
    count = method.prefetch_count
    consumers = list(channel.consumers.values())
    # What a looser limit lets through comes behind qos-ok, what a tighter one still let through before it.
    if method.global_:
        looser = _is_looser(channel.prefetch.limit, count)
    else:
        looser = all(_is_looser(consumer.prefetch_count, count) for consumer in consumers)
    if looser:
        channel.send(BasicQosOk())
    if method.global_:
        await channel.set_limits(count=count)
    else:
        channel.set_prefetch(count)
        await channel.set_limits(count=NO_LIMIT, consumer_prefetch=count)
    if not looser:
        channel.send(BasicQosOk())


def _is_looser(before: int, now: int) -> bool:
    return now == NO_LIMIT or (before != NO_LIMIT and now >= before)


async def consume(channel: Channel, method: BasicConsume) -> None:
    """consume-ok precedes the first delivery: the shard answers before it delivers."""
    connection = channel.connection
    name = channel.expanded(method.queue)
    if name == REPLY_QUEUE:
        return await replies.consume(channel, method)
    if method.consumer_tag in channel.consumers:
        raise NotAllowed(f"attempt to reuse consumer tag '{method.consumer_tag}'")
    channel.require(READ, QUEUE, name)
    queue = channel.queue(name)
    check_consume(queue, method.arguments)
    of_stream = is_stream(queue)
    if of_stream:
        streams.check_consume(channel, queue, method)
    quorum.check_consume(channel, queue)
    limit = connection.gateway.settings.consumer_max_per_channel
    if limit and len(channel.consumers) >= limit:
        raise NotAllowed(f"reached maximum ({limit}) of consumers per channel")
    tag = method.consumer_tag or generated(GENERATED_CONSUMER_PREFIX)
    knew_shard = queue.shard in channel.shards()
    consumer = Consumer(
        tag,
        queue,
        channel.add_consumer(tag.encode("utf-8", "surrogateescape"), queue.shard, method.no_ack),
        method.no_ack,
        method.exclusive and not of_stream,     # every consumer of a stream has it for itself
        channel.prefetch_count,
        method.arguments,
    )
    channel.add(consumer)
    if channel.restricted and not knew_shard:
        channel.tell_limits(queue.shard)

    def granted(answer: dict[str, Any]) -> None:
        consumer.granted(answer)
        if not method.nowait and not channel.closed:
            channel.send(BasicConsumeOk(consumer_tag=tag))

    try:
        await connection.gateway.requests.ask(
            queue.shard, consumer.request(channel.handle, connection.handle), on_answer=granted
        )
    except ChannelError:
        channel.forget(consumer)
        raise


async def cancel(channel: Channel, method: BasicCancel) -> None:
    """No delivery after cancel-ok; what was delivered stays the client's to settle. An unknown tag is no error."""
    consumer = channel.consumers.get(method.consumer_tag)
    if consumer is not None:
        await channel.ask(consumer.queue.shard, {"verb": "cancel", "consumer": consumer.handle})
        channel.forget(consumer)
    if not method.nowait:
        channel.send(BasicCancelOk(consumer_tag=method.consumer_tag))


async def get(channel: Channel, method: BasicGet) -> None:
    """get-ok with its content, or get-empty, is written by the core when it comes."""
    name = channel.expanded(method.queue)
    channel.require(READ, QUEUE, name)
    queue = channel.queue(name)
    if is_stream(queue):
        raise not_supported_by_streams("basic.get", queue.name, queue.vhost)
    quorum.check_get(queue)
    answer = await channel.get_from(queue, method.no_ack)
    if answer.get("gone"):
        raise missing(QUEUE, queue.name, queue.vhost)


def recover(channel: Channel, method: BasicRecover) -> None:
    _recover(channel, method.requeue)
    channel.send(BasicRecoverOk())


def recover_async(channel: Channel, method: BasicRecoverAsync) -> None:
    _recover(channel, method.requeue)


def _recover(channel: Channel, requeue: bool) -> None:
    if not requeue:
        raise NotImplemented_("requeue=false")
    channel.recover()
    channel.grant()
