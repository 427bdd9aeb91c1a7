"""Direct reply-to: the consumer of replies of a channel, and questions about reply queues.

A channel that consumes from `amq.rabbitmq.reply-to` gets a queue of its own on a shard, without a declaration; the
compiled core writes that queue's name into the reply-to of what the channel publishes with it, and gateway/routes.py
routes replies by that name. As with RabbitMQ, no permission is asked for consuming: replying takes the right to
write to the default exchange.
"""
from typing import Any

from amqp091 import refusals
from amqp091.errors import ChannelError, NotAllowed, NotFound, PreconditionFailed
from amqp091.method_table import BasicConsume, BasicConsumeOk
from gateway.channel import Channel
from gateway.consumers import NO_QUEUE_ID, ReplyConsumer
from gateway.prefetch import NO_LIMIT
from gateway.replies import ReplyPlace
from topology.model import QUEUE, Queue
from topology.names import GENERATED_CONSUMER_PREFIX, REPLY_QUEUE, generated


async def consume(channel: Channel, method: BasicConsume) -> None:
    """consume-ok comes with the shard's answer; from then on the channel may publish with the reply-to."""
    _check(channel, method)
    gateway = channel.connection.gateway
    shard = _shard_for(channel)
    knew_shard = shard in channel.shards()
    tag = method.consumer_tag or generated(GENERATED_CONSUMER_PREFIX)
    consumer = ReplyConsumer(
        tag,
        Queue(NO_QUEUE_ID, REPLY_QUEUE, channel.connection.vhost, shard=shard),
        channel.add_consumer(tag.encode("utf-8", "surrogateescape"), shard, True),
        no_ack=True,
        exclusive=False,
        prefetch_count=NO_LIMIT,
    )
    channel.add(consumer)
    channel.reply_consumer = consumer
    if channel.restricted and not knew_shard:
        channel.tell_limits(shard)

    def granted(answer: dict[str, Any]) -> None:
        consumer.opened(answer["queue_id"])
        consumer.attached = True
        if channel.closed:
            return
        channel.reply_to = gateway.reply_names.name(ReplyPlace(shard, answer["queue_id"])).encode("ascii")
        if not method.nowait:
            channel.send(BasicConsumeOk(consumer_tag=tag))

    try:
        await gateway.requests.ask(
            shard, consumer.request(channel.handle, channel.connection.handle), on_answer=granted
        )
    except ChannelError:
        channel.forget(consumer)
        raise


def _check(channel: Channel, method: BasicConsume) -> None:
    namesake = channel.consumers.get(method.consumer_tag)
    if namesake is not None and namesake is not channel.reply_consumer:
        raise NotAllowed(f"attempt to reuse consumer tag '{method.consumer_tag}'")
    if not method.no_ack:
        raise PreconditionFailed("reply consumer cannot acknowledge")
    if channel.reply_consumer is not None:
        raise PreconditionFailed("reply consumer already set")


def _shard_for(channel: Channel) -> int:
    """One that is up, rather one that the channel has to take leave of anyway; channels spread over them."""
    gateway = channel.connection.gateway
    every = range(gateway.settings.shard_count)
    up = [shard for shard in every if gateway.shard_is_up(shard)]
    known = [shard for shard in channel.shards() if shard in up]
    choice = known or up or every
    return choice[channel.handle % len(choice)]


async def check_exists(channel: Channel, name: str) -> None:
    """NotFound unless replies to this name have somewhere to go. The name without a suffix always exists."""
    if name == REPLY_QUEUE:
        return
    place = channel.connection.gateway.reply_names.place(name)
    if place is not None:
        try:
            await channel.ask(place.shard, {"verb": "count", "queue_id": place.queue_id})
            return
        except NotFound:
            pass
    raise refusals.missing(QUEUE, name, channel.connection.vhost)
