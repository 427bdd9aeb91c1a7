"""RabbitMQ's six tutorials, as programs that run side by side and whose results are checked."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from tests.clients.conftest import parameters
from tests.conftest import Names
from tests.harness.client import Endpoint

Connect = Callable[..., BlockingConnection]

WAIT_S = 20


@pytest.fixture
def run(broker: Endpoint) -> Iterator[Callable[..., Future[Any]]]:
    """Runs a program in a thread with a connection of its own."""
    with ThreadPoolExecutor(8) as pool:

        def start(program: Callable[..., Any], *arguments: Any) -> Future[Any]:
            def body() -> Any:
                connection = BlockingConnection(parameters(broker))
                try:
                    return program(connection.channel(), *arguments)
                finally:
                    if connection.is_open:
                        connection.close()

            return pool.submit(body)

        yield start


def receive(
    channel: BlockingChannel, queue: str, count: int, *, auto_ack: bool = True, ready: threading.Barrier | None = None
) -> list[bytes]:
    """Consume until so many messages have come."""
    bodies: list[bytes] = []

    def callback(ch: BlockingChannel, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        bodies.append(body)
        if not auto_ack:
            ch.basic_ack(delivery_tag=method.delivery_tag)
        if len(bodies) == count:
            ch.stop_consuming()

    channel.basic_consume(queue=queue, on_message_callback=callback, auto_ack=auto_ack)
    if ready is not None:
        ready.wait(WAIT_S)
    if count:
        channel.start_consuming()
    return bodies


def test_1_hello_world(connect: Connect, run: Callable[..., Future[Any]], names: Names) -> None:
    def send(channel: BlockingChannel) -> None:
        channel.queue_declare(queue=names("hello"))
        channel.basic_publish(exchange="", routing_key=names("hello"), body="Hello World!")

    def receiver(channel: BlockingChannel) -> list[bytes]:
        channel.queue_declare(queue=names("hello"))
        return receive(channel, names("hello"), 1)

    result = run(receiver)
    run(send).result(WAIT_S)
    assert result.result(WAIT_S) == [b"Hello World!"]


def test_2_work_queues(connect: Connect, run: Callable[..., Future[Any]], names: Names) -> None:
    queue = names("task_queue")
    tasks = [f"task {n}{'.' * (n % 4)}".encode() for n in range(40)]
    done: list[bytes] = []
    all_done = threading.Event()

    def new_task(channel: BlockingChannel) -> None:
        channel.queue_declare(queue=queue, durable=True)
        for task in tasks:
            channel.basic_publish(
                exchange="",
                routing_key=queue,
                body=task,
                properties=pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent),
            )

    def worker(channel: BlockingChannel) -> int:
        channel.queue_declare(queue=queue, durable=True)
        channel.basic_qos(prefetch_count=1)
        count = 0
        for method, _properties, body in channel.consume(queue, inactivity_timeout=0.05):
            if method is not None:
                channel.basic_ack(method.delivery_tag)
                done.append(body)
                count += 1
            if len(done) == len(tasks):
                all_done.set()
            if all_done.is_set():
                break
        channel.cancel()
        return count

    workers = [run(worker) for _ in range(3)]
    run(new_task).result(WAIT_S)
    counts = [one.result(WAIT_S) for one in workers]
    assert sorted(done) == sorted(tasks)
    assert sum(counts) == len(tasks)


def test_3_publish_subscribe(connect: Connect, run: Callable[..., Future[Any]], names: Names) -> None:
    ready = threading.Barrier(4)

    def receive_logs(channel: BlockingChannel) -> list[bytes]:
        channel.exchange_declare(exchange=names("logs"), exchange_type="fanout")
        queue = channel.queue_declare(queue="", exclusive=True).method.queue
        channel.queue_bind(exchange=names("logs"), queue=queue)
        return receive(channel, queue, 10, ready=ready)

    def emit_log(channel: BlockingChannel) -> None:
        channel.exchange_declare(exchange=names("logs"), exchange_type="fanout")
        ready.wait(WAIT_S)
        for number in range(10):
            channel.basic_publish(exchange=names("logs"), routing_key="", body=f"info: {number}")

    subscribers = [run(receive_logs) for _ in range(3)]
    run(emit_log).result(WAIT_S)
    for one in subscribers:
        assert one.result(WAIT_S) == [f"info: {n}".encode() for n in range(10)]


def routed(
    run: Callable[..., Future[Any]],
    exchange: str,
    kind: str,
    messages: list[str],
    wanted: dict[tuple[str, ...], list[str]],
) -> None:
    """Tutorials 4 and 5: subscribers bind keys, an emitter publishes `messages` as key and body."""
    ready = threading.Barrier(len(wanted) + 1)

    def receive_logs(channel: BlockingChannel, keys: tuple[str, ...], count: int) -> list[bytes]:
        channel.exchange_declare(exchange=exchange, exchange_type=kind)
        queue = channel.queue_declare(queue="", exclusive=True).method.queue
        for key in keys:
            channel.queue_bind(exchange=exchange, queue=queue, routing_key=key)
        return receive(channel, queue, count, ready=ready)

    def emit_log(channel: BlockingChannel) -> None:
        channel.exchange_declare(exchange=exchange, exchange_type=kind)
        ready.wait(WAIT_S)
        for message in messages:
            channel.basic_publish(exchange=exchange, routing_key=message, body=message)

    subscribers = {keys: run(receive_logs, keys, len(expected)) for keys, expected in wanted.items()}
    run(emit_log).result(WAIT_S)
    for keys, one in subscribers.items():
        assert [body.decode() for body in one.result(WAIT_S)] == wanted[keys]


def test_4_routing(run: Callable[..., Future[Any]], names: Names) -> None:
    severities = ["info", "warning", "error", "debug", "error"]
    routed(
        run,
        names("direct_logs"),
        "direct",
        severities,
        {
            ("warning", "error"): ["warning", "error", "error"],
            ("info", "warning", "error"): ["info", "warning", "error", "error"],
            ("error",): ["error", "error"],
        },
    )


def test_5_topics(run: Callable[..., Future[Any]], names: Names) -> None:
    routed(
        run,
        names("topic_logs"),
        "topic",
        ["kern.critical", "kern.info", "cron.critical", "mail", "lazy.a.b"],
        {
            ("#",): ["kern.critical", "kern.info", "cron.critical", "mail", "lazy.a.b"],
            ("kern.*",): ["kern.critical", "kern.info"],
            ("*.critical",): ["kern.critical", "cron.critical"],
            ("kern.*", "*.critical"): ["kern.critical", "kern.info", "cron.critical"],
            ("lazy.#",): ["lazy.a.b"],
        },
    )


def fibonacci(n: int) -> int:
    first, second = 0, 1
    for _ in range(n):
        first, second = second, first + second
    return first


def test_6_rpc(connect: Connect, run: Callable[..., Future[Any]], names: Names) -> None:
    calls = 30

    def server(channel: BlockingChannel) -> None:
        channel.queue_declare(queue=names("rpc_queue"))
        served = 0

        def on_request(ch: BlockingChannel, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
            nonlocal served
            ch.basic_publish(
                exchange="",
                routing_key=properties.reply_to,
                body=str(fibonacci(int(body))),
                properties=pika.BasicProperties(correlation_id=properties.correlation_id),
            )
            ch.basic_ack(delivery_tag=method.delivery_tag)
            served += 1
            if served == calls:
                ch.stop_consuming()

        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(queue=names("rpc_queue"), on_message_callback=on_request)
        channel.start_consuming()

    connection = connect()
    channel = connection.channel()
    channel.queue_declare(queue=names("rpc_queue"))
    callback_queue = channel.queue_declare(queue="", exclusive=True).method.queue
    answers: dict[str, bytes] = {}
    channel.basic_consume(
        queue=callback_queue,
        auto_ack=True,
        on_message_callback=lambda ch, method, props, body: answers.update({props.correlation_id: body}),
    )
    result = run(server)
    for n in range(calls):
        correlation_id = str(uuid.uuid4())
        channel.basic_publish(
            exchange="",
            routing_key=names("rpc_queue"),
            body=str(n),
            properties=pika.BasicProperties(reply_to=callback_queue, correlation_id=correlation_id),
        )
        while correlation_id not in answers:
            connection.process_data_events(time_limit=WAIT_S)
        assert int(answers[correlation_id]) == fibonacci(n)
    result.result(WAIT_S)
