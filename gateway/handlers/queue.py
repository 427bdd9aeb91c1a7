"""The class queue: declare, bind, purge, delete.

Rights and equivalence are checked on the replica, in RabbitMQ's order; the catalog decides, and the
queue's shard counts. What the same connection published before is counted: requests to a shard
travel behind its publishes.
"""
from typing import NamedTuple

from amqp091.errors import NotFound
from amqp091.method_table import (
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
    QueueUnbind,
    QueueUnbindOk,
)
from amqp091.refusals import not_supported_by_streams
from gateway.channel import Channel
from gateway.handlers import replies
from gateway.handlers.binding import Bind, change_binding
from gateway.replies import is_reply_name
from topology.arguments import (
    DEAD_LETTER_EXCHANGE,
    check_name_argument,
    check_server_named,
    is_stream,
    with_default_type,
)
from topology.equivalence import check_exclusive_access, check_queue_declare, check_queue_equivalent
from topology.limits import check_queue_limit
from topology.model import EXCHANGE, QUEUE, Queue
from topology.names import GENERATED_QUEUE_PREFIX, check_not_reserved, generated, stripped
from topology.permissions import CONFIGURE, READ, WRITE


class _Counts(NamedTuple):
    """What declare-ok says of a queue."""

    messages: int
    consumers: int


NEW = _Counts(0, 0)
REPLY_COUNTS = _Counts(0, 1)


async def declare(channel: Channel, method: QueueDeclare) -> None:
    name = stripped(method.queue)
    if is_reply_name(name):
        await replies.check_exists(channel, name)
        counts = REPLY_COUNTS
    elif method.passive:
        counts = await _counts(channel, channel.queue(name), method.nowait)
    else:
        method = _with_type(channel, method)
        generates = not name
        if generates:
            check_server_named(method.arguments)
            name = generated(GENERATED_QUEUE_PREFIX)
        counts = await _declare(channel, method, name, generates)
    channel.current_queue = name
    if not method.nowait:
        channel.send(QueueDeclareOk(queue=name, message_count=counts.messages, consumer_count=counts.consumers))


def _with_type(channel: Channel, method: QueueDeclare) -> QueueDeclare:
    """A vhost may have a default for the type of queues."""
    vhost = channel.connection.gateway.replica.vhost(channel.connection.vhost)
    if vhost is None or vhost.default_queue_type is None:
        return method
    arguments = with_default_type(
        method.arguments,
        vhost.default_queue_type,
        durable=method.durable,
        exclusive=method.exclusive,
        auto_delete=method.auto_delete,
    )
    return method._replace(arguments=arguments)


async def _declare(channel: Channel, method: QueueDeclare, name: str, generated_name: bool) -> _Counts:
    connection = channel.connection
    replica = connection.gateway.replica
    channel.require(CONFIGURE, QUEUE, name)
    missing_id: int | None = None
    while True:
        queue = replica.queue(connection.vhost, name)
        if queue is None or queue.queue_id == missing_id:
            if not generated_name:
                check_not_reserved(QUEUE, name)
            created = await _create(channel, method, name)
            queue = replica.queue(connection.vhost, name)
            if created or queue is None:
                return NEW
        try:
            return await _found(channel, method, queue)
        except NotFound:
            # Somebody deletes it: its shard has heard of that, this gateway perhaps not yet. Or the catalog has just
            # been restarted, and its shard has not heard of it yet. The catalog answers once everybody knows.
            if queue.queue_id == missing_id:
                raise
            missing_id = queue.queue_id


async def _found(channel: Channel, method: QueueDeclare, queue: Queue) -> _Counts:
    """A queue that is there already: it has to be the one that is declared."""
    check_queue_equivalent(
        queue,
        durable=method.durable,
        exclusive=method.exclusive,
        auto_delete=method.auto_delete,
        arguments=method.arguments,
        owner=channel.connection.id,
    )
    return await _counts(channel, queue, method.nowait)


async def _create(channel: Channel, method: QueueDeclare, name: str) -> bool:
    """False where someone else was faster: then the queue is an existing one."""
    connection = channel.connection
    vhost = connection.gateway.replica.vhosts.get(connection.vhost)
    if vhost is not None:
        check_queue_limit(connection.vhost, vhost, name)
    check_name_argument(method.arguments, DEAD_LETTER_EXCHANGE, QUEUE, name, connection.vhost)
    dead_letter_exchange = method.arguments.get(DEAD_LETTER_EXCHANGE)
    if dead_letter_exchange is not None:
        channel.require(READ, QUEUE, name)
        channel.require(WRITE, EXCHANGE, dead_letter_exchange)
    check_queue_declare(
        connection.vhost,
        name,
        durable=method.durable,
        exclusive=method.exclusive,
        auto_delete=method.auto_delete,
        arguments=method.arguments,
    )
    if method.exclusive:
        connection.owns_queues = True
    answer = await connection.gateway.ask_catalog(
        "queue.declare",
        vhost=connection.vhost,
        name=name,
        durable=method.durable,
        exclusive=method.exclusive,
        auto_delete=method.auto_delete,
        arguments=method.arguments,
        owner=connection.id if method.exclusive else None,
    )
    return bool(answer["created"])


async def _counts(channel: Channel, queue: Queue, nowait: bool) -> _Counts:
    if nowait:
        return NEW
    answer = await channel.ask(queue.shard, {"verb": "count", "queue_id": queue.queue_id})
    return _Counts(answer["message_count"], answer["consumer_count"])


async def bind(channel: Channel, method: QueueBind) -> None:
    await change_binding(channel, _binding(channel, method), adds=True)
    if not method.nowait:
        channel.send(QueueBindOk())


async def unbind(channel: Channel, method: QueueUnbind) -> None:
    await change_binding(channel, _binding(channel, method), adds=False)
    channel.send(QueueUnbindOk())


def _binding(channel: Channel, method: QueueBind | QueueUnbind) -> Bind:
    """With neither queue nor routing key, both are the current queue."""
    name = channel.expanded(method.queue)
    routing_key = method.routing_key if method.queue or method.routing_key else name
    return Bind(QUEUE, stripped(name), stripped(method.exchange), routing_key, method.arguments)


async def purge(channel: Channel, method: QueuePurge) -> None:
    """Ready messages go; what consumers hold stays theirs."""
    name = channel.expanded(method.queue)
    channel.require(READ, QUEUE, name)
    queue = channel.queue(name)
    if is_stream(queue):
        raise not_supported_by_streams("queue.purge", queue.name, queue.vhost)
    answer = await channel.ask(queue.shard, {"verb": "purge", "queue_id": queue.queue_id})
    if not method.nowait:
        channel.send(QueuePurgeOk(message_count=answer["message_count"]))


async def delete(channel: Channel, method: QueueDelete) -> None:
    """Deleting what is not there succeeds."""
    name = stripped(channel.expanded(method.queue))
    channel.require(CONFIGURE, QUEUE, name)
    connection = channel.connection
    queue = connection.gateway.replica.queue(connection.vhost, name)
    message_count = 0
    if queue is not None:
        check_exclusive_access(queue, connection.id)
        message_count = await _delete(channel, queue, method)
    if not method.nowait:
        channel.send(QueueDeleteOk(message_count=message_count))


async def _delete(channel: Channel, queue: Queue, method: QueueDelete) -> int:
    # Asked over the link, behind what was published before.
    answer = await channel.ask(
        queue.shard,
        {
            "verb": "delete_check",
            "queue_id": queue.queue_id,
            "if_unused": method.if_unused,
            "if_empty": method.if_empty,
        },
    )
    count: int = answer["message_count"]
    try:
        await channel.connection.gateway.ask_catalog(
            "queue.delete", vhost=queue.vhost, queue_id=queue.queue_id, message_count=count
        )
    except NotFound:
        return 0
    return count
