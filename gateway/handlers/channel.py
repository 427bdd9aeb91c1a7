"""The class channel: flow and the end of a channel. Opening one is the connection's business."""
from collections.abc import Coroutine
from typing import Any

from amqp091 import constants
from amqp091.constants import MethodId
from amqp091.method_table import ChannelClose, ChannelCloseOk, ChannelFlow, ChannelFlowOk
from gateway.channel import Channel


async def flow(channel: Channel, method: ChannelFlow) -> None:
    """active=false: no delivery after flow-ok until the client says active=true, and none before the answer to that."""
    if method.active:
        channel.send(ChannelFlowOk(active=True))
        await channel.set_limits(flowing=True)
    else:
        await channel.set_limits(flowing=False)
        channel.send(ChannelFlowOk(active=False))


def close(channel: Channel, method: ChannelClose) -> None:
    """The client's wish: what it has not settled is ready again before close-ok."""
    channel.closing = True
    if channel.lingers:
        channel.connection.gateway.spawn(_close(channel))
    else:
        channel.close()
        _confirm_close(channel)


async def _close(channel: Channel) -> None:
    await channel.leave()
    if not channel.connection.closed:
        _confirm_close(channel)
        channel.connection.gateway.wake()


def _confirm_close(channel: Channel) -> None:
    channel.send(ChannelCloseOk())
    channel.connection.end_channel(channel)


def while_closing(channel: Channel, key: MethodId) -> Coroutine[Any, None, None] | None:
    """Only the end of the closing counts now; a crossing close of the client is answered."""
    if key == constants.CHANNEL_CLOSE_OK:
        # one that comes before our own channel.close answers nothing
        if channel.refused and channel.closed and (channel.leaving is None or channel.leaving.done()):
            channel.connection.end_channel(channel)
    elif key == constants.CHANNEL_CLOSE:
        return _answer_crossing(channel)
    return None


async def _answer_crossing(channel: Channel) -> None:
    # behind our own channel.close, which waits for the shards
    if channel.leaving is not None and not channel.leaving.done():
        await channel.leaving
    if not channel.connection.closed:
        channel.send(ChannelCloseOk())
