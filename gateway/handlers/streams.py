"""What streams refuse of the class basic and of queue.purge, and in which words. Checks only."""
from amqp091.errors import NotImplemented_, PreconditionFailed
from amqp091.method_table import BasicConsume
from gateway.channel import Channel
from topology.arguments import STREAM, queue_type_of
from topology.model import QUEUE, Queue
from topology.names import described


def is_stream(queue: Queue) -> bool:
    return queue_type_of(queue.arguments) == STREAM


def check_consume(channel: Channel, queue: Queue, method: BasicConsume) -> None:
    """A consumer of a stream says how far it may be ahead of its acks, and no channel-wide limit is in its way."""
    name = described(QUEUE, queue.name, queue.vhost)
    if channel.prefetch_count == 0:
        raise PreconditionFailed(f"consumer prefetch count is not set for '{name}'")
    if method.no_ack:
        raise NotImplemented_(f"automatic acknowledgement not supported by stream queues {name}")
    if channel.prefetch.active:
        raise NotImplemented_(f"{name} does not support global qos")


def check_supports(queue: Queue, method_name: str) -> None:
    """NotImplemented_ for what takes messages out of a queue: a stream keeps them."""
    if is_stream(queue):
        raise NotImplemented_(
            f"{method_name} not supported by stream queues {described(QUEUE, queue.name, queue.vhost)}"
        )
