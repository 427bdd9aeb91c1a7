"""tx: nothing leaves before the commit; the commit waits for every shard; rollback undoes settles."""
import pytest

from tests.unit.gateway_core import frames, records
from tests.unit.gateway_core.driver import Connection, Gateway
from tests.unit.gateway_core.records import ACK, REJECT, Settled

PERSISTENT = frames.properties(delivery_mode=2)


def transactional(gateway: Gateway) -> Connection:
    connection = Connection(gateway)
    connection.channels[1].tx_select()
    connection.channels[1].tx_select()
    return connection


def test_publishes_wait_for_the_commit_and_keep_their_order() -> None:
    gateway = Gateway()
    connection = transactional(gateway)
    channel = connection.channels[1]
    for i in range(50):
        connection.receive(frames.publish(1, b"%d" % i * i))
    assert gateway.send() == [] and channel.uncommitted_publishes == 50
    assert channel.tx_commit() is False and channel.uncommitted_publishes == 0
    sent = gateway.send()
    assert [record.body for record in sent] == [b"%d" % i * i for i in range(50)]
    assert [record.publish_sequence for record in sent] == list(range(1, 51))
    assert all(record.flags == records.CONFIRM for record in sent)
    assert channel.committed == []
    gateway.on_batch(0, records.watermark(1))
    assert channel.committed == [True] and connection.sees() == []


def test_an_empty_commit_is_done_at_once() -> None:
    connection = transactional(Gateway())
    assert connection.channels[1].tx_commit() is True
    assert connection.channels[1].committed == []


def test_a_persistent_publish_waits_for_the_disk() -> None:
    gateway = Gateway()
    connection = transactional(gateway)
    channel = connection.channels[1]
    connection.receive(frames.publish(1, b"", PERSISTENT, routing_key=b"both") + frames.publish(1))
    channel.tx_commit()
    gateway.send(0)
    gateway.send(1)
    gateway.on_batch(0, records.watermark(1, 1))
    gateway.on_batch(1, records.watermark(1, 0))
    assert channel.committed == []
    gateway.on_batch(1, records.watermark(1, 1))
    assert channel.committed == [True]


def test_returns_come_with_the_commit() -> None:
    gateway = Gateway()
    connection = transactional(gateway)
    connection.receive(
        frames.publish(1, b"back", routing_key=b"nowhere", mandatory=True)
        + frames.publish(1, b"gone", routing_key=b"nowhere")
    )
    assert connection.sees() == []
    assert connection.channels[1].tx_commit() is True
    assert [(sent.name, sent.body) for sent in connection.sees()] == [("return", b"back")]


def test_settles_wait_for_the_commit() -> None:
    gateway = Gateway()
    connection = transactional(gateway)
    channel = connection.channels[1]
    consumers = [channel.add_consumer(b"t", shard, False) for shard in (0, 1)]
    for shard in (0, 1, 0, 1, 0):
        gateway.on_batch(shard, records.deliver(consumers[shard]))
    connection.receive(frames.ack(1, 3, multiple=True) + frames.reject(1, 5, requeue=False))
    assert gateway.pending_shards() == []
    assert (channel.unacked_count, channel.uncommitted_settles) == (1, 4)
    assert channel.tx_commit() is False
    assert gateway.send(0) == [
        Settled(channel.handle, ACK, 1, False),
        Settled(channel.handle, ACK, 2, False),
        Settled(channel.handle, REJECT, 3, False),
    ]
    assert gateway.send(1) == [Settled(channel.handle, ACK, 1, False)]
    gateway.on_batch(0, records.watermark(1))
    assert channel.committed == []
    gateway.on_batch(1, records.watermark(1))
    assert channel.committed == [True] and channel.unacked_count == 1


def test_a_settle_in_a_transaction_cannot_be_repeated() -> None:
    gateway = Gateway()
    connection = transactional(gateway)
    consumer = connection.channels[1].add_consumer(b"t", 0, False)
    gateway.on_batch(0, records.deliver(consumer))
    connection.receive(frames.ack(1, 1) * 2)
    assert connection.failed() == [(1, 406, "unknown delivery tag 1")]


def test_rollback_forgets_publishes_and_undoes_settles() -> None:
    gateway = Gateway()
    connection = transactional(gateway)
    channel = connection.channels[1]
    consumer = channel.add_consumer(b"t", 0, False)
    for _ in range(3):
        gateway.on_batch(0, records.deliver(consumer))
    connection.receive(frames.publish(1, b"never") + frames.ack(1, 2, multiple=True))
    channel.tx_rollback()
    assert channel.tx_commit() is True and gateway.send() == [] and channel.unacked_count == 3
    connection.receive(frames.reject(1, 2, requeue=False))
    channel.tx_commit()
    assert gateway.send() == [Settled(channel.handle, REJECT, 2, False)]


def test_recover_leaves_what_the_transaction_settled() -> None:
    gateway = Gateway()
    connection = transactional(gateway)
    channel = connection.channels[1]
    consumer = channel.add_consumer(b"t", 0, False)
    for _ in range(3):
        gateway.on_batch(0, records.deliver(consumer))
    connection.receive(frames.ack(1, 2))
    channel.recover()
    assert [record.delivery_sequence for record in gateway.send()] == [1, 3]
    channel.tx_commit()
    assert gateway.send() == [Settled(channel.handle, ACK, 2, False)]


def test_a_refused_publish_fails_the_commit() -> None:
    gateway = Gateway()
    connection = transactional(gateway)
    channel = connection.channels[1]
    connection.receive(frames.publish(1) * 3)
    channel.tx_commit()
    gateway.send()
    gateway.on_batch(0, records.refused(channel.handle, 2) + records.watermark(1))
    assert channel.committed == [False] and connection.sees() == []
    connection.receive(frames.publish(1))
    channel.tx_commit()
    gateway.send()
    gateway.on_batch(0, records.watermark(2))
    assert channel.committed == [False, True]


def test_a_shard_that_dies_fails_the_commit() -> None:
    gateway = Gateway()
    connection = transactional(gateway)
    channel = connection.channels[1]
    connection.receive(frames.publish(1, routing_key=b"both"))
    channel.tx_commit()
    gateway.send(0)
    gateway.send(1)
    gateway.on_batch(0, records.watermark(1))
    gateway.shard_down(1)
    assert channel.committed == [False]


def test_a_commit_to_a_shard_that_is_down_fails_at_the_end_of_the_read() -> None:
    gateway = Gateway()
    connection = transactional(gateway)
    channel = connection.channels[1]
    connection.receive(frames.publish(1))
    gateway.shard_down(0)

    def commit(connection: Connection, _number: int, _method: tuple[int, int]) -> None:
        assert channel.tx_commit() is False
        connection.pause()

    connection.on_method_do = commit
    connection.receive(frames.method(1, 90, 20))
    assert channel.committed == [False]


def test_modes_exclude_one_another() -> None:
    connection = Connection(Gateway(), 3)
    one, two, three = connection.channels.values()
    one.tx_select()
    two.confirm_select()
    with pytest.raises(RuntimeError):
        one.confirm_select()
    with pytest.raises(RuntimeError):
        two.tx_select()
    for call in (three.tx_commit, three.tx_rollback):
        with pytest.raises(RuntimeError):
            call()
    assert (one.transactional, two.confirming, three.transactional) == (True, True, False)


def test_a_closed_channel_forgets_its_transaction() -> None:
    gateway = Gateway()
    connection = transactional(gateway)
    channel = connection.channels[1]
    connection.receive(frames.publish(1))
    channel.tx_commit()
    gateway.send()
    channel.close()
    gateway.on_batch(0, records.watermark(1))
    assert channel.committed == [False], "who waits for the commit is told"


def test_a_commit_ends_while_its_connection_is_closing() -> None:
    gateway = Gateway()
    connection = transactional(gateway)
    channel = connection.channels[1]
    connection.receive(frames.publish(1))
    channel.tx_commit()
    gateway.send()
    connection.closing = True
    gateway.on_batch(0, records.watermark(1))
    assert channel.committed == [True]


def test_a_transaction_larger_than_the_limit_is_refused() -> None:
    gateway = Gateway()
    connection = transactional(gateway)
    body = bytes(32 << 20)
    message = frames.publish(1, body, cut=131_064)
    for _ in range(8):
        connection.receive(message)
    assert [(number, code) for number, code, _ in connection.failed()] == [(1, 406)]


def test_a_committed_record_is_what_a_plain_publish_would_be() -> None:
    plain, gateway = Gateway(), Gateway()
    message = frames.publish(1, b"body", frames.properties(delivery_mode=2, priority=3, expiration=b"5"), exchange=b"x")
    first = Connection(plain)
    first.channels[1].confirm_select()
    first.receive(message)
    second = transactional(gateway)
    second.receive(message)
    second.channels[1].tx_commit()
    assert plain.send() == gateway.send()
