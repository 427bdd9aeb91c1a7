"""What the connections of a churn say, again and again."""
from __future__ import annotations

from typing import Final

from amqp091.constants import (
    CHANNEL_CLOSE_OK,
    CHANNEL_OPEN_OK,
    CONNECTION_CLOSE_OK,
    CONNECTION_OPEN_OK,
    CONNECTION_START,
    CONNECTION_TUNE,
    EXCHANGE_DECLARE_OK,
    EXCHANGE_DELETE_OK,
    PROTOCOL_HEADER,
    QUEUE_BIND_OK,
    QUEUE_DECLARE_OK,
    QUEUE_DELETE_OK,
    QUEUE_UNBIND_OK,
    REPLY_SUCCESS,
    MethodId,
)
from amqp091.methods import (
    ChannelClose,
    ChannelOpen,
    ConnectionClose,
    ConnectionOpen,
    ExchangeDeclare,
    ExchangeDelete,
    QueueBind,
    QueueDelete,
    QueueUnbind,
    encode,
)
from bench.perf.client import CHANNEL, Client
from bench.perf.load import Load
from bench.perf.plan import churned_name, queue_name, quota
from bench.perf.topology import queue_declare

Step = tuple[bytes, MethodId]
Script = list[Step]

NAMES: Final = 64
"""Of queues, exchanges and routing keys, used in turn by each churner: they spread over the parts of a broker."""
THERE_AND_GONE: Final = 2
"""Steps of a cycle that makes something and deletes it."""
BOUND_TO: Final = "amq.direct"
EXCHANGE_TYPE: Final = "direct"
SECOND_CHANNEL: Final = 2


def script(load: Load, churner: int, client: Client) -> tuple[Script, int]:
    """Requests and what answers them, and how many of them are a cycle.

    `client` has, or had, a connection like those that will be made.
    """
    match load.churn:
        case "connection":
            steps = _connection(client)
            return steps, len(steps)
        case "queue":
            return [step for number in range(NAMES) for step in _queue(load, churner, number)], THERE_AND_GONE
        case "declare":
            return [_declare(load, churner, number) for number in range(quota(load, churner) or 1)], 1
        case "binding":
            return [step for number in range(NAMES) for step in _binding(load, churner, number)], THERE_AND_GONE
        case "exchange":
            return [step for number in range(NAMES) for step in _exchange(load, churner, number)], THERE_AND_GONE
        case _:
            return _channel(), len(_channel())


def _connection(client: Client) -> Script:
    """With a channel, as no client is there without one."""
    return [
        (PROTOCOL_HEADER, CONNECTION_START),
        (encode(0, client.start_ok()), CONNECTION_TUNE),
        (encode(0, client.tune_ok()) + encode(0, ConnectionOpen(client.address.vhost)), CONNECTION_OPEN_OK),
        (encode(CHANNEL, ChannelOpen()), CHANNEL_OPEN_OK),
        (encode(0, ConnectionClose(REPLY_SUCCESS, "", 0, 0)), CONNECTION_CLOSE_OK),
    ]


def _channel() -> Script:
    return [
        (encode(SECOND_CHANNEL, ChannelOpen()), CHANNEL_OPEN_OK),
        (encode(SECOND_CHANNEL, ChannelClose(REPLY_SUCCESS, "", 0, 0)), CHANNEL_CLOSE_OK),
    ]


def _queue(load: Load, churner: int, number: int) -> Script:
    deletion = QueueDelete(queue=churned_name(load, churner, number))
    return [_declare(load, churner, number), (encode(CHANNEL, deletion), QUEUE_DELETE_OK)]


def _declare(load: Load, churner: int, number: int) -> Step:
    return encode(CHANNEL, queue_declare(load, churned_name(load, churner, number))), QUEUE_DECLARE_OK


def _binding(load: Load, churner: int, number: int) -> Script:
    """Of the churner's own queue, which is durable where the load says so, and so are its bindings then."""
    queue, routing_key = queue_name(load, churner), f"key-{number}"
    return [
        (encode(CHANNEL, QueueBind(queue=queue, exchange=BOUND_TO, routing_key=routing_key)), QUEUE_BIND_OK),
        (encode(CHANNEL, QueueUnbind(queue=queue, exchange=BOUND_TO, routing_key=routing_key)), QUEUE_UNBIND_OK),
    ]


def _exchange(load: Load, churner: int, number: int) -> Script:
    name = churned_name(load, churner, number)
    declaration = ExchangeDeclare(exchange=name, type=EXCHANGE_TYPE, durable=load.durable)
    return [
        (encode(CHANNEL, declaration), EXCHANGE_DECLARE_OK),
        (encode(CHANNEL, ExchangeDelete(exchange=name)), EXCHANGE_DELETE_OK),
    ]
