"""Errors on their way to the client: with the method that caused them, as the method that closes."""
from typing import Any

from amqp091.constants import MethodId
from amqp091.errors import AMQPError
from amqp091.method_table import ChannelClose, ConnectionClose


def attributed(error: AMQPError, key: MethodId) -> AMQPError:
    """The error with the method that caused it, unless it names one."""
    if not error.class_id:
        error.class_id, error.method_id = key
    return error


def closing_method(kind: type[ChannelClose] | type[ConnectionClose], error: AMQPError) -> tuple[Any, ...]:
    """channel.close or connection.close with the error's code and text."""
    return kind(
        reply_code=error.reply_code,
        reply_text=error.reply_text(),
        class_id=error.class_id,
        method_id=error.method_id,
    )
