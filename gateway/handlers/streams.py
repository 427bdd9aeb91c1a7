"""What a consumer of a stream has to say, and in which words it is refused otherwise. Checks only."""
from amqp091.errors import NotImplemented_, PreconditionFailed
from amqp091.method_table import BasicConsume
from gateway.channel import Channel
from topology.model import QUEUE, Queue
from topology.names import described


def check_consume(channel: Channel, queue: Queue, method: BasicConsume) -> None:
    """How far it may be ahead of its acks; and no channel-wide limit is in its way."""
    name = described(QUEUE, queue.name, queue.vhost)
    if channel.prefetch_count == 0:
        raise PreconditionFailed(f"consumer prefetch count is not set for '{name}'")
    if method.no_ack:
        raise NotImplemented_(f"automatic acknowledgement not supported by stream queues {name}")
    if channel.prefetch.active:
        raise NotImplemented_(f"{name} does not support global qos")
