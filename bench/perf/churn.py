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
    PROTOCOL_HEADER,
    QUEUE_DECLARE_OK,
    QUEUE_DELETE_OK,
    REPLY_SUCCESS,
    MethodId,
)
from amqp091.methods import ChannelClose, ChannelOpen, ConnectionClose, ConnectionOpen, QueueDelete, encode
from bench.perf.client import CHANNEL, Client
from bench.perf.load import Load
from bench.perf.topology import queue_declare

Script = list[tuple[bytes, MethodId]]

QUEUE_NAMES: Final = 64
"""Of each churner, used in turn: they spread over the parts of a broker."""
QUEUE_STEPS: Final = 2
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
            return [step for number in range(QUEUE_NAMES) for step in _queue(load, churner, number)], QUEUE_STEPS
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
    name = f"{load.queue_prefix}-{churner}-{number}"
    return [
        (encode(CHANNEL, queue_declare(load, name)), QUEUE_DECLARE_OK),
        (encode(CHANNEL, QueueDelete(queue=name)), QUEUE_DELETE_OK),
    ]
