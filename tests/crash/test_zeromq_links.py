"""The other kind of link: everything over ZeroMQ instead of shared memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.client import connect
from tests.harness.load import Consumer, Publisher, check_queue, drain
from tests.harness.warren import Warren, wait_until

QUEUES = [f"durable-{n}" for n in range(6)]


@pytest.fixture(scope="module")
def warren(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warren]:
    """Two gateways, two shards, ZeroMQ between them."""
    with Warren(tmp_path_factory.mktemp("zeromq"), gateways=2, shards=2, link="zeromq") as server:
        with connect(server.endpoint) as client:
            channel = client.channel()
            for queue in QUEUES:
                channel.declare(queue, durable=True)
        yield server


def test_the_links_are_of_that_kind(warren: Warren) -> None:
    assert warren.status()["link"] == "zeromq"


@pytest.mark.parametrize("delivery_mode", [1, 2])
def test_messages_flow_and_are_confirmed(warren: Warren, delivery_mode: int) -> None:
    count = 6000
    publishers = [
        Publisher(warren.endpoint, f"p{n}", QUEUES, window=500, count=count, delivery_mode=delivery_mode)
        for n in range(2)
    ]
    consumer = Consumer(warren.endpoint, QUEUES, prefetch=200, ack_every=20)
    for worker in (*publishers, consumer):
        worker.start()
    wait_until(lambda: len(consumer.received) == count * len(publishers), "all deliveries", 30)
    for worker in (*publishers, consumer):
        worker.finish()
        assert worker.error is None, worker.error
    bodies = [body for body, _ in consumer.received]
    assert len(bodies) == len(set(bodies))
    assert all(told.nacked == set() for publisher in publishers for told in publisher.told.values())
    for queue in QUEUES:
        drain(warren.endpoint, queue)                              # what was not acknowledged at the very end


def test_a_body_larger_than_any_buffer(warren: Warren) -> None:
    body = bytes(range(256)) * (16 << 12)
    with connect(warren.endpoint) as client:
        channel = client.channel()
        queues = [channel.exclusive_queue() for _ in range(4)]
        for queue in queues:
            channel.publish("", queue, body)
        for queue in queues:
            message = channel.get(queue, no_ack=True)
            assert message is not None and message.body == body


@pytest.mark.parametrize("role", ["shard", "gateway"])
def test_a_killed_process_is_joined_again(warren: Warren, role: str) -> None:
    publishers = [Publisher(warren.endpoint, f"{role}{n}", QUEUES) for n in range(3)]
    for publisher in publishers:
        publisher.start()
    wait_until(lambda: all(p.confirmed_count > 300 for p in publishers), "the load", 30)
    old = warren.kill(role, 0)
    warren.wait_back(role, 0, old)
    before = {p: p.confirmed_count for p in publishers}
    wait_until(
        lambda: all(p.confirmed_count > before[p] + 300 or not p.is_alive() for p in publishers), "the load", 30
    )
    for publisher in publishers:
        publisher.finish()
        assert publisher.error is None or role == "gateway", publisher.error
    for queue in QUEUES:
        check_queue(queue, drain(warren.endpoint, queue), publishers)
