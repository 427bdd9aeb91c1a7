"""What a load needs to be there: its exchange, queues and bindings; made before a run, deleted after it."""
from __future__ import annotations

import itertools
from typing import Final

from amqp091.methods import (
    BasicConsume,
    BasicGet,
    BasicQos,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
    encode,
)
from bench.perf.client import CHANNEL, Client
from bench.perf.errors import LoadError
from bench.perf.load import STREAM, Load
from bench.perf.plan import bindings, declared_names, queue_name, queues_of_consumer, readers

STREAM_OFFSET: Final = "x-stream-offset"
UNANSWERED_MAX: Final = 500
"""Of deletions that are sent one behind the other."""


def declare(client: Client, load: Load) -> int:
    """Everything; returns how many deliveries wait in the queues, which is none but before a drain.

    Queues that exist and hold messages are somebody's: they are only emptied where the load says so.
    """
    if load.mode != "drain" and load.exchange_type is not None:
        declaration = ExchangeDeclare(exchange=load.exchange, type=load.exchange_type, durable=load.durable)
        client.call(declaration, ExchangeDeclareOk)
    waiting = 0
    for queue in range(load.queues):
        name = queue_name(load, queue)
        found = client.call(queue_declare(load, name, passive=load.mode == "drain"), QueueDeclareOk).message_count
        if found and load.mode != "drain":
            if not load.purge:
                option = "--queue-prefix" if load.queue is None else "--queue"
                raise LoadError(f"queue {name!r} exists and holds {found} messages: "
                                f"give another {option}, or --purge to empty it")
            client.call(QueuePurge(queue=name), QueuePurgeOk)
            found = 0
        waiting += found * readers(load, queue)
        if load.mode == "drain":
            continue
        for routing_key, arguments in bindings(load, queue):
            bind = QueueBind(queue=name, exchange=load.exchange, routing_key=routing_key, arguments=arguments)
            client.call(bind, QueueBindOk)
    return waiting


def clean_up(client: Client, load: Load) -> int:
    """Deletes what was declared, unless it is to stay; returns how many messages were left in the queues.

    A queue that was named by the user may be somebody's, and stays.
    """
    left = 0
    for queue in range(load.queues):
        name = queue_name(load, queue)
        left += client.call(QueueDeclare(queue=name, passive=True), QueueDeclareOk).message_count
        if not load.keep and load.queue is None:
            client.call(QueueDelete(queue=name), QueueDeleteOk)
    if not load.keep:
        _delete_declared(client, load)
    if load.exchange_type is not None and not load.keep:
        client.call(ExchangeDelete(exchange=load.exchange), ExchangeDeleteOk)
    return left


def _delete_declared(client: Client, load: Load) -> None:
    left = declared_names(load)
    while names := list(itertools.islice(left, UNANSWERED_MAX)):
        for name in names[:-1]:
            client.tell(QueueDelete(queue=name, nowait=True))
        client.call(QueueDelete(queue=names[-1]), QueueDeleteOk)


def consume_frames(load: Load, consumer: int) -> bytes:
    """basic.qos and basic.consume of a consumer. Its consumer tags are the places of its queues in its list.

    A drain of a stream reads it from the start, unless told otherwise.
    """
    arguments = dict(load.consume_arguments)
    if load.mode == "drain" and load.queue_type == STREAM:
        arguments.setdefault(STREAM_OFFSET, "first")
    frames = [encode(CHANNEL, BasicQos(0, load.prefetch, False))] if load.prefetch else []
    frames += [
        encode(CHANNEL, BasicConsume(
            queue=queue_name(load, queue), consumer_tag=str(place), no_ack=load.auto_ack,
            arguments=arguments,
        ))
        for place, queue in enumerate(queues_of_consumer(load, consumer))
    ]
    return b"".join(frames)


def get_frames(load: Load, consumer: int) -> list[bytes]:
    """basic.get of each of its queues."""
    return [encode(CHANNEL, BasicGet(queue=queue_name(load, queue), no_ack=load.auto_ack))
            for queue in queues_of_consumer(load, consumer)]


def queue_declare(load: Load, name: str, passive: bool = False) -> QueueDeclare:
    """With the arguments that the load asks for."""
    arguments = dict(load.queue_arguments)
    if load.queue_type is not None:
        arguments["x-queue-type"] = load.queue_type
    return QueueDeclare(queue=name, passive=passive, durable=load.durable, arguments=arguments)
