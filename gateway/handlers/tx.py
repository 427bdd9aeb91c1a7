"""The class tx: publishes and acks take effect together at the commit."""
from amqp091.errors import PreconditionFailed
from amqp091.method_table import TxCommit, TxCommitOk, TxRollback, TxRollbackOk, TxSelect, TxSelectOk
from gateway.channel import Channel


def select(channel: Channel, method: TxSelect) -> None:
    if channel.confirming:
        raise PreconditionFailed("cannot switch from confirm to tx mode")
    channel.tx_select()
    channel.send(TxSelectOk())


async def commit(channel: Channel, method: TxCommit) -> None:
    """commit-ok once every shard has what the transaction held, on its disk where it belongs there."""
    _check_transactional(channel)
    if not await channel.commit():
        raise PreconditionFailed("partial tx completion")
    channel.send(TxCommitOk())


def rollback(channel: Channel, method: TxRollback) -> None:
    _check_transactional(channel)
    channel.tx_rollback()
    channel.send(TxRollbackOk())


def _check_transactional(channel: Channel) -> None:
    if not channel.transactional:
        raise PreconditionFailed("channel is not transactional")
