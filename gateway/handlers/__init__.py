"""Which function handles which method of a client. One module per AMQP class.

A handler takes the connection (channel 0) or the channel, and the decoded method. It returns None when it
is done, or a coroutine: then the connection handles nothing further until that has ended. It raises an
AMQPError to refuse; what the refusal closes is the error's business. basic.publish, ack, nack and reject
on an open channel never come here: the compiled core has them.
"""
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from amqp091 import constants
from amqp091.constants import MethodId
from amqp091.errors import ChannelErrorHard, CommandInvalid
from amqp091.method_table import ChannelOpenOk
from gateway.channel import Channel
from gateway.handlers import access, basic, channel, confirm, connection, exchange, queue, tx
from gateway.handshake import State, next_state

if TYPE_CHECKING:
    from gateway.connection import Connection

Work = Coroutine[Any, None, None] | None

CONNECTION_METHODS: Final[dict[MethodId, Callable[[Any, Any], Work]]] = {
    constants.CONNECTION_START_OK: connection.start_ok,
    constants.CONNECTION_TUNE_OK: connection.tune_ok,
    constants.CONNECTION_OPEN: connection.open_vhost,
    constants.CONNECTION_UPDATE_SECRET: connection.update_secret,
    constants.CONNECTION_CLOSE: connection.close,
    constants.CONNECTION_CLOSE_OK: connection.close_ok,
}

CHANNEL_METHODS: Final[dict[MethodId, Callable[[Channel, Any], Work]]] = {
    constants.CHANNEL_FLOW: channel.flow,
    constants.CHANNEL_CLOSE: channel.close,
    constants.ACCESS_REQUEST: access.request,
    constants.EXCHANGE_DECLARE: exchange.declare,
    constants.EXCHANGE_DELETE: exchange.delete,
    constants.EXCHANGE_BIND: exchange.bind,
    constants.EXCHANGE_UNBIND: exchange.unbind,
    constants.QUEUE_DECLARE: queue.declare,
    constants.QUEUE_BIND: queue.bind,
    constants.QUEUE_PURGE: queue.purge,
    constants.QUEUE_DELETE: queue.delete,
    constants.QUEUE_UNBIND: queue.unbind,
    constants.BASIC_QOS: basic.qos,
    constants.BASIC_CONSUME: basic.consume,
    constants.BASIC_CANCEL: basic.cancel,
    constants.BASIC_GET: basic.get,
    constants.BASIC_RECOVER: basic.recover,
    constants.BASIC_RECOVER_ASYNC: basic.recover_async,
    constants.CONFIRM_SELECT: confirm.select,
    constants.TX_SELECT: tx.select,
    constants.TX_COMMIT: tx.commit,
    constants.TX_ROLLBACK: tx.rollback,
}


def on_connection_method(client: "Connection", key: MethodId, method: Any) -> Work:
    """A method on channel 0."""
    following = next_state(client.state, key)
    if following is None:
        return None
    work = CONNECTION_METHODS[key](client, method)
    if work is not None:
        return _lead(client, following, work)
    client.state = following
    return None


async def _lead(client: "Connection", following: State, work: Coroutine[Any, None, None]) -> None:
    """To the next state once the handler has ended, unless the connection is ending by then."""
    await work
    if not client.closing:
        client.state = following


def on_channel_method(target: Channel, key: MethodId, method: Any) -> Work:
    """A method on a channel that is open, or not closed to the end."""
    if key == constants.CHANNEL_OPEN:
        raise ChannelErrorHard("second 'channel.open' seen")
    if target.closing:
        return channel.while_closing(target, key)
    handler = CHANNEL_METHODS.get(key)
    if handler is None:
        raise CommandInvalid("unimplemented method")
    return handler(target, method)


def opened(target: Channel) -> None:
    """channel.open on a number that was free."""
    target.send(ChannelOpenOk())
