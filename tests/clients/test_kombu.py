"""kombu over a live broker."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import kombu
import pytest

from tests.conftest import Names
from tests.harness.warren import wait_until

WAIT_S = 10


@pytest.fixture
def connection(url: str) -> Iterator[kombu.Connection]:
    """A connection by py-amqp."""
    with kombu.Connection(url) as opened:
        yield opened


def test_producer_and_consumer_declare_and_exchange(connection: kombu.Connection, names: Names) -> None:
    exchange = kombu.Exchange(names("e"), type="direct", durable=True)
    queue = kombu.Queue(names("q"), exchange=exchange, routing_key="video")
    got = []
    with connection.Producer(serializer="json") as producer:
        for number in range(20):
            producer.publish({"number": number}, exchange=exchange, routing_key="video", declare=[queue], retry=True)
    with connection.Consumer(queue, callbacks=[lambda body, message: (got.append(body), message.ack())]):
        while len(got) < 20:
            connection.drain_events(timeout=WAIT_S)
    assert got == [{"number": n} for n in range(20)]


def test_a_simple_queue(connection: kombu.Connection, names: Names) -> None:
    queue = connection.SimpleQueue(names("q"))
    for number in range(10):
        queue.put({"n": number})
    wait_until(lambda: queue.qsize() == 10, "ten messages")
    for number in range(10):
        message = queue.get(timeout=WAIT_S)
        assert message.payload == {"n": number}
        message.ack()
    with pytest.raises(queue.Empty):
        queue.get(block=False)
    queue.close()


def test_reject_and_requeue(connection: kombu.Connection, names: Names) -> None:
    queue = kombu.Queue(names("q"), routing_key=names("q"))
    seen: list[bool] = []

    def handle(body: object, message: kombu.Message) -> None:
        seen.append(bool(message.delivery_info["redelivered"]))
        if len(seen) == 1:
            message.requeue()
        else:
            message.reject()

    with connection.Producer() as producer:
        producer.publish("x", routing_key=names("q"), declare=[queue])
    with connection.Consumer(queue, callbacks=[handle]):
        while len(seen) < 2:
            connection.drain_events(timeout=WAIT_S)
        with pytest.raises(socket.timeout):
            connection.drain_events(timeout=0.1)
    assert seen == [False, True]


def test_qos_is_changed_while_consuming(connection: kombu.Connection, names: Names) -> None:
    """What Celery does with ETA tasks: raise the prefetch count of live consumers."""
    queue = kombu.Queue(names("q"), routing_key=names("q"))
    held: list[kombu.Message] = []
    with connection.Producer() as producer:
        for number in range(10):
            producer.publish(number, routing_key=names("q"), declare=[queue])
    consumer = connection.Consumer(queue, callbacks=[lambda body, message: held.append(message)], auto_declare=True)
    connection.connect()
    apply_global = not connection.transport.qos_semantics_matches_spec(connection.connection)
    consumer.qos(prefetch_count=2, apply_global=apply_global)
    with consumer:
        while len(held) < 2:
            connection.drain_events(timeout=WAIT_S)
        with pytest.raises(socket.timeout):
            connection.drain_events(timeout=0.1)
        consumer.qos(prefetch_count=5, apply_global=apply_global)
        while len(held) < 5:
            connection.drain_events(timeout=WAIT_S)
        with pytest.raises(socket.timeout):
            connection.drain_events(timeout=0.1)
        for message in held:
            message.ack()


def test_publisher_confirms(url: str, names: Names) -> None:
    with kombu.Connection(url, transport_options={"confirm_publish": True}) as connection:
        queue = kombu.Queue(names("q"), routing_key=names("q"))
        with connection.Producer() as producer:
            for number in range(20):
                producer.publish(number, routing_key=names("q"), declare=[queue], delivery_mode="persistent")
        simple = connection.SimpleQueue(queue)
        assert simple.qsize() == 20
        simple.close()


def test_the_broker_is_told_apart_from_old_rabbitmq(connection: kombu.Connection) -> None:
    """Whatever product and version the broker names, kombu must find a prefetch that works on live consumers."""
    connection.connect()
    properties = connection.connection.server_properties
    assert properties["product"] in ("Warren", "RabbitMQ")
