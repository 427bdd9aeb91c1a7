"""What quorum queues refuse of the class basic, and in which words. Checks only."""
from amqp091.errors import NotImplemented_, ResourceLocked
from gateway.channel import Channel
from topology.arguments import QUORUM, SINGLE_ACTIVE_CONSUMER, queue_type_of
from topology.model import QUEUE, Queue
from topology.names import described


def is_quorum(queue: Queue) -> bool:
    return queue_type_of(queue.arguments) == QUORUM


def check_consume(channel: Channel, queue: Queue) -> None:
    """No channel-wide limit is in a consumer's way."""
    if is_quorum(queue) and channel.prefetch.active:
        raise NotImplemented_(f"{described(QUEUE, queue.name, queue.vhost)} does not support global qos")


def check_get(queue: Queue) -> None:
    """Where one consumer has all messages, nobody takes one past it."""
    if is_quorum(queue) and queue.arguments.get(SINGLE_ACTIVE_CONSUMER):
        raise ResourceLocked(
            f"cannot obtain access to locked {described(QUEUE, queue.name, queue.vhost)}. basic.get operations are not "
            "supported by quorum queues with single active consumer"
        )
