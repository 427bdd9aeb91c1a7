"""The class confirm: publishes of the channel are acknowledged from here on."""
from amqp091.errors import PreconditionFailed
from amqp091.method_table import ConfirmSelect, ConfirmSelectOk
from gateway.channel import Channel


def select(channel: Channel, method: ConfirmSelect) -> None:
    if channel.transactional:
        raise PreconditionFailed("cannot switch from tx to confirm mode")
    channel.confirm_select()
    if not method.nowait:
        channel.send(ConfirmSelectOk())
