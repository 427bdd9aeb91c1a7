"""pika over a live broker: the sequences that everyday programs are made of."""

from __future__ import annotations

import functools
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from tests.clients.conftest import parameters
from tests.conftest import Names
from tests.harness.client import Endpoint

Connect = Callable[..., BlockingConnection]

PERSISTENT = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)


def take(channel: BlockingChannel, queue: str, count: int, auto_ack: bool = False) -> list[tuple[Any, Any, bytes]]:
    """So many deliveries; the consumer is cancelled and what it holds goes back, but for those."""
    taken = []
    for method, properties, body in channel.consume(queue, auto_ack=auto_ack, inactivity_timeout=10):
        assert method is not None, f"{len(taken)} of {count} messages came"
        taken.append((method, properties, body))
        if len(taken) == count:
            break
    return taken


def test_publish_and_consume_with_a_direct_exchange_and_a_binding(connect: Connect, names: Names) -> None:
    publisher, consumer = connect().channel(), connect().channel()
    consumer.exchange_declare(names("e"), "direct", durable=True)
    consumer.queue_declare(names("q"), durable=True)
    consumer.queue_bind(names("q"), names("e"), "key")
    for number in range(100):
        publisher.basic_publish(names("e"), "key", str(number), PERSISTENT)
        publisher.basic_publish(names("e"), "other", b"dropped")
    taken = take(consumer, names("q"), 100)
    assert [body for _, _, body in taken] == [str(n).encode() for n in range(100)]
    consumer.basic_ack(taken[-1][0].delivery_tag, multiple=True)


CONSUMER_THAT_STALLS = """
import sys, time, pika
channel = pika.BlockingConnection(pika.URLParameters(sys.argv[1])).channel()
held = []
def on_message(ch, method, properties, body):
    held.append(body)
    if body == b"1":
        ch.basic_ack(method.delivery_tag)
    if len(held) == 5:
        print("held", flush=True)
channel.basic_consume(sys.argv[2], on_message)
channel.start_consuming()
"""


def test_messages_of_a_consumer_that_dies_are_delivered_again(connect: Connect, url: str, names: Names) -> None:
    channel = connect().channel()
    channel.queue_declare(names("q"))
    for number in range(5):
        channel.basic_publish("", names("q"), str(number))
    consumer = subprocess.Popen([sys.executable, "-c", CONSUMER_THAT_STALLS, url, names("q")], stdout=subprocess.PIPE)
    try:
        assert consumer.stdout is not None and consumer.stdout.readline() == b"held\n"
    finally:
        consumer.kill()
        consumer.communicate()
    again = take(channel, names("q"), 4)
    assert [(body, method.redelivered) for method, _, body in again] == [(str(n).encode(), True) for n in (0, 2, 3, 4)]


def test_prefetch_1_gives_the_next_message_to_the_idle_consumer(connect: Connect, names: Names) -> None:
    publisher = connect().channel()
    publisher.queue_declare(names("q"))
    slow, quick = connect(), connect()
    got: dict[str, list[bytes]] = {"slow": [], "quick": []}

    def on_message(name: str, ack: bool, ch: BlockingChannel, method: Any, properties: Any, body: bytes) -> None:
        got[name].append(body)
        if ack:
            ch.basic_ack(method.delivery_tag)

    for connection, name, ack in ((slow, "slow", False), (quick, "quick", True)):
        channel = connection.channel()
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(names("q"), functools.partial(on_message, name, ack))
    for number in range(30):
        publisher.basic_publish("", names("q"), str(number))
    while len(got["slow"]) + len(got["quick"]) < 30:
        quick.process_data_events(time_limit=0.05)
        slow.process_data_events(time_limit=0)
    assert len(got["slow"]) == 1 and len(got["quick"]) == 29


def test_a_transaction_with_an_exception_is_rolled_back(connect: Connect, names: Names) -> None:
    channel, reader = connect().channel(), connect().channel()
    channel.queue_declare(names("q"), durable=True)
    channel.tx_select()

    def work(fail: bool) -> None:
        for number in range(3):
            channel.basic_publish("", names("q"), str(number), PERSISTENT)
        if fail:
            raise ValueError("the business rule says no")

    with pytest.raises(ValueError):
        try:
            work(fail=True)
        except ValueError:
            channel.tx_rollback()
            raise
    assert reader.queue_declare(names("q"), passive=True).method.message_count == 0
    work(fail=False)
    channel.tx_commit()
    assert [body for _, _, body in take(reader, names("q"), 3, auto_ack=True)] == [b"0", b"1", b"2"]


def test_confirms_one_by_one(connect: Connect, names: Names) -> None:
    channel = connect().channel()
    channel.queue_declare(names("q"), durable=True)
    channel.confirm_delivery()
    for number in range(50):
        channel.basic_publish("", names("q"), str(number), PERSISTENT, mandatory=True)
    with pytest.raises(pika.exceptions.UnroutableError):
        channel.basic_publish("", "t-nobody", b"x", mandatory=True)
    channel.basic_publish("", names("q"), b"after", PERSISTENT)


def test_confirms_with_multiple(broker: Endpoint, names: Names) -> None:
    """pika's asynchronous connection: hundreds in flight, acks cover many at once."""
    count = 500
    state: dict[str, Any] = {"acks": [], "multiple": 0, "error": None}

    def on_confirm(frame: Any) -> None:
        state["acks"].append((frame.method.delivery_tag, frame.method.multiple, frame.method.NAME))
        confirmed = max(tag for tag, _, _ in state["acks"])
        if confirmed == count and covered(state["acks"]) == set(range(1, count + 1)):
            connection.close()

    def covered(acks: list[tuple[int, bool, str]]) -> set[int]:
        done: set[int] = set()
        for tag, multiple, _ in acks:
            done |= set(range(1, tag + 1)) if multiple else {tag}
        return done

    def on_declared(channel: Any, _frame: Any) -> None:
        channel.confirm_delivery(
            on_confirm, lambda _f: [channel.basic_publish("", names("q"), str(n), PERSISTENT) for n in range(count)]
        )

    connection = pika.SelectConnection(
        parameters(broker),
        on_open_callback=lambda c: c.channel(
            on_open_callback=lambda ch: ch.queue_declare(
                names("q"), durable=True, callback=lambda frame: on_declared(ch, frame)
            )
        ),
        on_close_callback=lambda c, _reason: c.ioloop.stop(),
        on_open_error_callback=lambda c, error: (state.update(error=error), c.ioloop.stop()),
    )
    connection.ioloop.call_later(20, connection.ioloop.stop)
    connection.ioloop.start()
    assert state["error"] is None
    assert covered(state["acks"]) == set(range(1, count + 1))
    assert all(name == "Basic.Ack" for _, _, name in state["acks"])
    assert any(multiple for _, multiple, _ in state["acks"]) and len(state["acks"]) < count


def test_rpc_over_reply_to_and_correlation_id(connect: Connect, names: Names) -> None:
    client, server = connect(), connect()
    requests = server.channel()
    requests.queue_declare(names("rpc"))
    requests.basic_consume(
        names("rpc"),
        lambda ch, m, p, body: (
            ch.basic_publish("", p.reply_to, body[::-1], pika.BasicProperties(correlation_id=p.correlation_id)),
            ch.basic_ack(m.delivery_tag),
        ),
    )
    channel = client.channel()
    reply_to = channel.queue_declare("", exclusive=True).method.queue
    answers: dict[str, bytes] = {}
    channel.basic_consume(reply_to, lambda ch, m, p, body: answers.update({p.correlation_id: body}), auto_ack=True)
    for number in range(20):
        channel.basic_publish(
            "", names("rpc"), f"request {number}", pika.BasicProperties(reply_to=reply_to, correlation_id=str(number))
        )
    while len(answers) < 20:
        server.process_data_events(time_limit=0.02)
        client.process_data_events(time_limit=0.02)
    assert answers == {str(n): f"request {n}".encode()[::-1] for n in range(20)}


def test_rpc_over_direct_reply_to(connect: Connect, names: Names) -> None:
    client, server = connect(), connect()
    requests = server.channel()
    requests.queue_declare(names("rpc"))
    requests.basic_consume(names("rpc"), lambda ch, m, p, body: (
        ch.basic_publish("", p.reply_to, body[::-1], pika.BasicProperties(correlation_id=p.correlation_id)),
        ch.basic_ack(m.delivery_tag)))
    channel = client.channel()
    answers: dict[str, bytes] = {}
    channel.basic_consume("amq.rabbitmq.reply-to", lambda ch, m, p, body: answers.update({p.correlation_id: body}),
                          auto_ack=True)
    for number in range(20):
        channel.basic_publish("", names("rpc"), f"request {number}", pika.BasicProperties(
            reply_to="amq.rabbitmq.reply-to", correlation_id=str(number)))
    while len(answers) < 20:
        server.process_data_events(time_limit=0.02)
        client.process_data_events(time_limit=0.02)
    assert answers == {str(n): f"request {n}".encode()[::-1] for n in range(20)}


def test_errors_are_raised_as_pika_knows_them(connect: Connect, names: Names) -> None:
    connection = connect()
    channel = connection.channel()
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as closed:
        channel.queue_declare("t-no-such-queue", passive=True)
    assert closed.value.reply_code == 404
    assert connection.is_open
    channel = connection.channel()
    channel.queue_declare(names("q"))
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as closed:
        channel.queue_declare(names("q"), durable=True)
    assert closed.value.reply_code == 406


def test_wrong_credentials_are_told(broker: Endpoint) -> None:
    wrong = parameters(broker)
    wrong.credentials = pika.PlainCredentials("guest", "wrong")
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        BlockingConnection(wrong)


def test_a_consumer_is_told_when_its_queue_goes(connect: Connect, names: Names) -> None:
    consumer, other = connect(), connect().channel()
    channel = consumer.channel()
    channel.queue_declare(names("q"))
    cancelled = threading.Event()
    channel.add_on_cancel_callback(lambda frame: cancelled.set())
    channel.basic_consume(names("q"), lambda *_: None)
    other.queue_delete(names("q"))
    while not cancelled.is_set():
        consumer.process_data_events(time_limit=0.05)
    assert channel.is_open


def test_big_messages_both_ways(connect: Connect, names: Names) -> None:
    channel = connect(frame_max=4096).channel()
    channel.queue_declare(names("q"))
    body = bytes(range(256)) * 4096
    channel.basic_publish("", names("q"), body)
    _, _, got = channel.basic_get(names("q"), auto_ack=True)
    assert got == body


def test_heartbeats_keep_an_idle_connection(connect: Connect, names: Names) -> None:
    connection = connect(heartbeat=1)
    channel = connection.channel()
    connection.process_data_events(time_limit=2.5)
    channel.queue_declare("", exclusive=True)
