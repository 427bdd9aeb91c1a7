"""kill -9 of the whole broker under load, and what is there after a restart."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.accounts import OTHER_VHOST, PLAIN_USER
from tests.harness.channel import PERSISTENT
from tests.harness.client import connect
from tests.harness.load import Consumer, Publisher, check_queue, drain
from tests.harness.methods import Channel, Exchange, Properties, Queue
from tests.harness.warren import Warren, wait_until

QUEUES = [f"durable-{n}" for n in range(6)]


def declare_durable(server: Warren, queues: list[str] = QUEUES) -> None:
    with connect(server.endpoint) as client:
        channel = client.channel()
        for queue in queues:
            channel.declare(queue, durable=True)
        client.close()


def test_the_queues_of_these_tests_lie_on_both_shards(warren: Warren) -> None:
    declare_durable(warren)
    assert {row["shard"] for row in warren.listing("queues")} == {0, 1}


def test_a_start_says_that_the_broker_was_not_stopped_before_and_what_was_recovered(tmp_path: Path) -> None:
    def warnings() -> list[str]:
        """Since the last start, of the supervisor."""
        lines = server.log_path.read_text().splitlines()[read:]
        return [line for line in lines if " warning supervisor " in line or " error supervisor " in line]

    read = 0
    with Warren(tmp_path / "unclean", gateways=1, shards=2) as server:
        assert warnings() == []
        declare_durable(server, QUEUES[:3])
        with connect(server.endpoint) as client:
            channel = client.channel()
            channel.confirm()
            channel.persistent(QUEUES[0], [b"1", b"2"])
            channel.persistent(QUEUES[1], [b"3"])
            channel.wait_confirms(3)
            channel.delete(QUEUES[1])
        server.kill_all()
        read = len(server.log_path.read_text().splitlines())
        server.start()
        (warning,) = warnings()
        assert warning.endswith(
            "the last run of the broker did not end by a stop (it was killed); "
            "recovered from its logs: messages 2, queues 1"
        )
        assert server.stop() == 0
        read = len(server.log_path.read_text().splitlines())
        server.start()
        assert warnings() == []


@pytest.mark.parametrize("size", [40, 5000])
def test_confirmed_persistent_messages_survive(warren: Warren, size: int) -> None:
    declare_durable(warren)
    publishers = [Publisher(warren.endpoint, f"p{n}", QUEUES, window=50 * (n + 1), size=size) for n in range(3)]
    for publisher in publishers:
        publisher.start()
    wait_until(lambda: all(p.confirmed_count > 2000 for p in publishers), "the load", 30)
    warren.kill_all()
    for publisher in publishers:
        publisher.join(20)  # until it has read all that was said to it
        assert publisher.error is not None
        publisher.finish()
    warren.start()
    for queue in QUEUES:
        messages = drain(warren.endpoint, queue)
        check_queue(queue, messages, publishers)


def test_acknowledged_messages_do_not_come_back(warren: Warren) -> None:
    declare_durable(warren)
    first = [Publisher(warren.endpoint, "first", QUEUES, count=1200)]
    consumer = Consumer(warren.endpoint, QUEUES)
    for worker in (*first, consumer):
        worker.start()
    wait_until(lambda: len(consumer.acked) == 1200, "the acknowledgements", 20)
    with connect(warren.endpoint) as client:  # a round trip through each shard: acks of old
        channel = client.channel()
        wait_until(lambda: all(row["messages"] == 0 for row in warren.listing("queues")), "empty queues")
        channel.expect_nothing(*QUEUES)
    acked_for_sure = list(consumer.acked)
    second = [Publisher(warren.endpoint, f"second-{n}", QUEUES, window=200) for n in range(2)]
    for worker in second:
        worker.start()
    wait_until(lambda: all(p.confirmed_count > 1500 for p in second), "the load", 30)
    warren.kill_all()
    for worker in (*first, *second, consumer):
        worker.finish()
    warren.start()
    for queue in QUEUES:
        check_queue(queue, drain(warren.endpoint, queue), [*first, *second], consumer.acked, acked_for_sure)


def test_killed_again_and_again(warren: Warren) -> None:
    declare_durable(warren)
    publishers: list[Publisher] = []
    acked: list[bytes] = []
    for turn in range(4):
        publisher = Publisher(warren.endpoint, f"turn{turn}", QUEUES, window=300)
        consumer = Consumer(warren.endpoint, QUEUES[:3], ack_every=7)
        publishers.append(publisher)
        publisher.start()
        consumer.start()
        enough = 500 * (turn + 1)
        wait_until(lambda p=publisher, enough=enough: p.confirmed_count > enough, "the load", 30)
        warren.kill_all()
        publisher.finish()
        consumer.finish()
        acked += consumer.acked
        warren.start()
    for queue in QUEUES:
        check_queue(queue, drain(warren.endpoint, queue), publishers, acked)


def test_unacked_messages_come_back_marked_and_in_order(warren: Warren) -> None:
    declare_durable(warren, QUEUES[:1])
    with connect(warren.endpoint) as client:
        channel = client.channel()
        channel.confirm()
        channel.persistent(QUEUES[0], [str(n).encode() for n in range(20)])
        channel.wait_confirms(20)
        channel.qos(10)
        channel.consume(QUEUES[0])
        for message in channel.deliveries(10):
            if int(message.body) % 2:
                channel.ack(message.delivery_tag)
        channel.deliveries(5)
        channel.expect_nothing(QUEUES[0])
        warren.kill_all()
    warren.start()
    messages = drain(warren.endpoint, QUEUES[0])
    assert [int(m.body) for m in messages] == [0, 2, 4, 6, 8, *range(10, 20)]
    assert [m.redelivered for m in messages] == [int(m.body) < 15 for m in messages]


def test_durable_names_stay_and_transient_ones_go(warren: Warren) -> None:
    warren.create_accounts()
    with connect(warren.endpoint) as client:
        channel = client.channel()
        channel.declare_exchange("durable-e", "topic", durable=True)
        channel.declare_exchange("durable-inner", "fanout", durable=True)
        channel.declare_exchange("transient-e", "fanout")
        channel.declare("durable-q", durable=True, arguments={"x-max-length": 1000, "own": "argument"})
        channel.declare("transient-q")
        channel.declare("exclusive-q", durable=True, exclusive=True)
        channel.bind("durable-q", "durable-inner", "k", {"h": 1})
        channel.bind_exchange("durable-inner", "durable-e", "a.*")
        channel.bind("durable-q", "transient-e")
        channel.bind("transient-q", "durable-e", "#")
        channel.confirm()
        channel.publish("durable-e", "a.b", b"persistent", Properties(delivery_mode=PERSISTENT))
        channel.publish("durable-e", "a.b", b"transient", Properties(delivery_mode=1))
        channel.publish("transient-e", "", b"persistent too", Properties(delivery_mode=PERSISTENT))
        channel.wait_confirms(3)
        warren.kill_all()
    warren.start()
    with connect(warren.endpoint, user=PLAIN_USER.name, password=PLAIN_USER.password) as client:
        channel = client.channel()
        assert channel.get_all("durable-q") == [b"persistent", b"persistent too"]
        channel.declare_exchange("durable-e", "topic", durable=True)
        channel.declare("durable-q", durable=True, arguments={"x-max-length": 1000, "own": "argument"})
        channel.publish("durable-e", "a.b", b"new")
        message = channel.get("durable-q")
        assert message is not None and message.body == b"new"
        for method in (
            Exchange.Declare(exchange="transient-e", passive=True),
            Queue.Declare(queue="transient-q", passive=True),
            Queue.Declare(queue="exclusive-q", passive=True),
        ):
            channel.send(method)
            channel.expect_error(404)
            channel = client.channel()
        channel.call(Channel.Close(200, "", 0, 0), Channel.CloseOk)
    connect(warren.endpoint, vhost=OTHER_VHOST).close()


def test_everything_is_there_after_an_orderly_stop_too(warren: Warren) -> None:
    declare_durable(warren)
    publisher = Publisher(warren.endpoint, "p", QUEUES, count=3000, window=500)
    publisher.start()
    publisher.join(20)
    assert publisher.confirmed_count == 3000
    assert warren.stop() == 0
    publisher.finish()
    warren.start()
    for queue in QUEUES:
        messages = drain(warren.endpoint, queue)
        check_queue(queue, messages, [publisher])
        assert not any(message.redelivered for message in messages)


def test_a_purged_and_a_deleted_queue_stay_empty(warren: Warren) -> None:
    declare_durable(warren)
    publisher = Publisher(warren.endpoint, "p", QUEUES, count=600)
    publisher.start()
    publisher.join(20)
    publisher.finish()
    with connect(warren.endpoint) as client:
        channel = client.channel()
        assert channel.purge(QUEUES[0]) == 100
        assert channel.delete(QUEUES[1]) == 100
        channel.declare(QUEUES[1], durable=True)
        channel.expect_nothing(*QUEUES)
        warren.kill_all()
    warren.start()
    assert drain(warren.endpoint, QUEUES[0]) == []
    assert drain(warren.endpoint, QUEUES[1]) == []
    assert len(drain(warren.endpoint, QUEUES[2])) == 100


def test_clients_are_told_when_the_broker_stops(warren: Warren) -> None:
    with connect(warren.endpoint) as client:
        client.channel()
        stopper = threading.Thread(target=warren.stop)
        stopper.start()
        client.expect_connection_error(320, "CONNECTION_FORCED")
        stopper.join(20)


def test_a_restart_with_a_backlog_is_quick(make_warren: Callable[..., Warren]) -> None:
    server = make_warren()
    declare_durable(server)
    publishers = [Publisher(server.endpoint, f"p{n}", QUEUES, count=15_000, window=2000, size=200) for n in range(2)]
    for publisher in publishers:
        publisher.start()
    for publisher in publishers:
        publisher.join(60)
        assert publisher.confirmed_count == 15_000
    server.kill_all()
    began = time.monotonic()
    server.start()
    assert time.monotonic() - began < 6
    assert sum(row["messages"] for row in server.listing("queues")) == 30_000
