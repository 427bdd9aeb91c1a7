"""SIGTERM under load: clients are told, and everything that was confirmed is there after the next start."""

from __future__ import annotations

import threading

from tests.harness.client import Closed, connect
from tests.harness.load import Consumer, Publisher, check_queue, drain
from tests.harness.warren import Warren, wait_until

QUEUES = [f"durable-{n}" for n in range(4)]
ROUNDS = 1


def test_stopped_under_load(warren: Warren) -> None:
    with connect(warren.endpoint) as client:
        channel = client.channel()
        for queue in QUEUES:
            channel.declare(queue, durable=True)
    publishers: list[Publisher] = []
    acked: list[bytes] = []
    for number in range(ROUNDS):
        load = [Publisher(warren.endpoint, f"p{number}-{n}", QUEUES, window=100, size=500) for n in range(2)]
        consumer = Consumer(warren.endpoint, QUEUES[:2], ack_every=5)
        for worker in (*load, consumer):
            worker.start()
        wait_until(lambda load=load: all(p.confirmed_count > 500 for p in load), "the load", 30)
        assert warren.stop() == 0
        for worker in (*load, consumer):
            worker.join(20)
            assert isinstance(worker.error, (Closed, OSError, AssertionError)), worker.error
            worker.finish()
        assert all("CONNECTION_FORCED" in str(p.error) or isinstance(p.error, (Closed, OSError)) for p in load)
        publishers += load
        acked += consumer.acked
        warren.start()
    for queue in QUEUES:
        messages = drain(warren.endpoint, queue)
        check_queue(queue, messages, publishers, acked)
        if queue not in QUEUES[:2]:
            assert not any(message.redelivered for message in messages)


def test_stopped_with_clients_that_do_not_hear_it(warren: Warren) -> None:
    """A client that reads nothing, and a backlog for it: the stop does not wait for either for long."""
    with connect(warren.endpoint) as deaf, connect(warren.endpoint) as publisher:
        channel = deaf.channel()
        channel.declare(QUEUES[0], durable=True)
        channel.consume(QUEUES[0])
        confirming = publisher.channel()
        confirming.confirm()
        confirming.persistent(QUEUES[0], [bytes([n]) * 500_000 for n in range(40)])
        confirming.wait_confirms(40)
        stopper = threading.Thread(target=warren.stop)
        stopper.start()
        stopper.join(20)
        assert not stopper.is_alive()
    warren.start()
    messages = drain(warren.endpoint, QUEUES[0])
    assert [message.body[:1] for message in messages] == [bytes([n]) for n in range(40)]
