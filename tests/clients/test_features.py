"""What queues and exchanges do beyond core AMQP, as an application with pika uses it; administration by `warren`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.exceptions import ChannelClosedByBroker, NackError

from tests.conftest import Names
from tests.harness.warren import Warren

Connect = Callable[..., BlockingConnection]
Command = Callable[..., str]
PATIENCE_S = 10


@pytest.fixture
def warren(warren_session: Warren) -> Warren:
    """For commands: the broker that the clients talk to."""
    return warren_session


def persistent(**properties: Any) -> pika.BasicProperties:
    return pika.BasicProperties(delivery_mode=2, **properties)


def wait_for(channel: BlockingChannel, queue: str) -> tuple[Any, Any, bytes]:
    """The next message of a queue, taken without an ack."""
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        method, properties, body = channel.basic_get(queue, auto_ack=True)
        if method is not None:
            return method, properties, body
        time.sleep(0.01)
    raise AssertionError(f"nothing came to {queue}")


def bodies(channel: BlockingChannel, queue: str) -> list[bytes]:
    taken = []
    while True:
        method, _, body = channel.basic_get(queue, auto_ack=True)
        if method is None:
            return taken
        taken.append(body)


def test_work_queue_with_retries_and_a_parking_lot(channel: BlockingChannel, names: Names) -> None:
    """The usual pattern: rejected work waits in a retry queue, comes back when its TTL is over, is parked at last."""
    work, retry, parked = names("work"), names("retry"), names("parked")
    channel.queue_declare(parked, durable=True)
    channel.queue_declare(work, durable=True, arguments={
        "x-dead-letter-exchange": "", "x-dead-letter-routing-key": retry})
    channel.queue_declare(retry, durable=True, arguments={
        "x-message-ttl": 50, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": work})
    channel.confirm_delivery()
    channel.basic_publish("", work, b"job", persistent(headers={"kept": True}))
    counts = []
    for method, properties, body in channel.consume(work, inactivity_timeout=PATIENCE_S):
        assert method is not None and body == b"job" and properties.headers["kept"]
        deaths = properties.headers.get("x-death", [])
        counts.append([(death["queue"], death["reason"], death["count"]) for death in deaths])
        if len(counts) == 4:
            channel.basic_publish("", parked, body, properties)
            channel.basic_ack(method.delivery_tag)
            break
        channel.basic_reject(method.delivery_tag, requeue=False)
    channel.cancel()
    assert counts[0] == []
    assert counts[3] == [(retry, "expired", 3), (work, "rejected", 3)]
    _, properties, _ = wait_for(channel, parked)
    assert properties.headers["x-first-death-queue"] == work
    assert properties.headers["x-first-death-reason"] == "rejected"


def test_full_queues(channel: BlockingChannel, names: Names) -> None:
    channel.queue_declare(names("dropped"), durable=True)
    channel.queue_declare(names("latest"), arguments={
        "x-max-length": 2, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": names("dropped")})
    channel.queue_declare(names("full"), arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    channel.confirm_delivery()
    for number in range(4):
        channel.basic_publish("", names("latest"), b"%d" % number)
    assert bodies(channel, names("latest")) == [b"2", b"3"]
    assert [wait_for(channel, names("dropped"))[2] for _ in range(2)] == [b"0", b"1"]
    channel.basic_publish("", names("full"), b"fits")
    with pytest.raises(NackError):
        channel.basic_publish("", names("full"), b"does not")


def test_priorities_and_one_active_consumer(connect: Connect, names: Names) -> None:
    channel = connect().channel()
    channel.queue_declare(names(), arguments={"x-max-priority": 9, "x-single-active-consumer": True})
    for priority in (1, 9, 5):
        channel.basic_publish("", names(), b"%d" % priority, pika.BasicProperties(priority=priority))
    first, second = connect(), connect()
    taken: list[tuple[str, bytes]] = []

    def consume(connection: BlockingConnection, name: str) -> BlockingChannel:
        own = connection.channel()
        own.basic_consume(names(), lambda ch, method, props, body: taken.append((name, body)), auto_ack=True)
        return own

    consume(first, "first")
    consume(second, "second")
    deadline_s = time.monotonic() + PATIENCE_S
    while len(taken) < 3 and time.monotonic() < deadline_s:
        first.process_data_events(0.01)
        second.process_data_events(0.01)
    assert taken == [("first", b"9"), ("first", b"5"), ("first", b"1")]
    first.close()
    channel.basic_publish("", names(), b"next")
    while len(taken) < 4 and time.monotonic() < deadline_s:
        second.process_data_events(0.01)
    assert taken[3] == ("second", b"next")


def test_who_holds_a_message_too_long_is_cancelled(connect: Connect, names: Names) -> None:
    connection = connect()
    channel = connection.channel()
    channel.queue_declare(names(), arguments={"x-consumer-timeout": 300})
    channel.basic_publish("", names(), b"slow")
    cancelled: list[Any] = []
    channel.add_on_cancel_callback(cancelled.append)
    channel.basic_consume(names(), lambda *_: None)
    deadline_s = time.monotonic() + PATIENCE_S
    while not cancelled and time.monotonic() < deadline_s:
        connection.process_data_events(0.05)
    assert cancelled
    method, _, body = wait_for(connect().channel(), names())
    assert body == b"slow" and method.redelivered


def test_a_quorum_queue_limits_deliveries(channel: BlockingChannel, names: Names) -> None:
    channel.queue_declare(names("poison"), durable=True)
    channel.queue_declare(names("q"), durable=True, arguments={
        "x-queue-type": "quorum", "x-delivery-limit": 2, "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": names("poison")})
    channel.confirm_delivery()
    channel.basic_publish("", names("q"), b"bad")
    seen = []
    for method, properties, _ in channel.consume(names("q"), inactivity_timeout=PATIENCE_S):
        assert method is not None
        seen.append((properties.headers or {}).get("x-delivery-count", 0))
        channel.basic_reject(method.delivery_tag, requeue=True)
        if len(seen) == 3:
            break
    channel.cancel()
    assert seen == [0, 1, 2]
    _, properties, _ = wait_for(channel, names("poison"))
    assert properties.headers["x-first-death-reason"] == "delivery_limit"


def test_copies_hashes_and_delays(channel: BlockingChannel, names: Names) -> None:
    for number in range(3):
        channel.queue_declare(names(f"q{number}"), durable=True)
    channel.exchange_declare(names("hash"), "x-consistent-hash")
    channel.exchange_declare(names("later"), "x-delayed-message", arguments={"x-delayed-type": "topic"})
    for number in range(3):
        channel.queue_bind(names(f"q{number}"), names("hash"), "1")
    channel.queue_bind(names("q0"), names("later"), "a.#")
    channel.confirm_delivery()
    channel.basic_publish("", names("q0"), b"copies", pika.BasicProperties(
        headers={"CC": [names("q1")], "BCC": [names("q2")]}))
    for number in range(3):
        _, properties, body = wait_for(channel, names(f"q{number}"))
        assert body == b"copies" and "CC" in properties.headers and "BCC" not in properties.headers
    for number in range(60):
        channel.basic_publish(names("hash"), str(number), b"x")
    counts = [len(bodies(channel, names(f"q{number}"))) for number in range(3)]
    assert sum(counts) == 60 and all(counts)
    began_s = time.time()
    channel.basic_publish(names("later"), "a.b", b"400 ms", pika.BasicProperties(headers={"x-delay": 400}))
    channel.basic_publish("", names("q0"), b"at a time", pika.BasicProperties(
        headers={"x-deliver-at": int((began_s + 0.2) * 1000)}))
    assert wait_for(channel, names("q0"))[2] == b"at a time" and time.time() - began_s >= 0.2
    assert wait_for(channel, names("q0"))[2] == b"400 ms" and time.time() - began_s >= 0.4


def test_a_message_that_comes_twice_is_kept_once(channel: BlockingChannel, names: Names) -> None:
    channel.queue_declare(names(), durable=True, arguments={"x-message-deduplication": True, "x-cache-size": 1000})
    channel.confirm_delivery()
    for _ in range(3):
        channel.basic_publish("", names(), b"order", persistent(message_id="4711"))
    assert bodies(channel, names()) == [b"order"]
    channel.basic_publish("", names(), b"order", persistent(message_id="4711"))
    assert bodies(channel, names()) == []


def test_what_comes_back_waits(channel: BlockingChannel, names: Names) -> None:
    channel.queue_declare(names(), arguments={"x-redelivery-backoff-min": 100, "x-redelivery-backoff-factor": 3})
    channel.basic_publish("", names(), b"again")
    times_s = []
    for method, _, _ in channel.consume(names(), inactivity_timeout=PATIENCE_S):
        assert method is not None
        times_s.append(time.monotonic())
        if len(times_s) == 3:
            channel.basic_ack(method.delivery_tag)
            break
        channel.basic_nack(method.delivery_tag, requeue=True)
    channel.cancel()
    assert times_s[1] - times_s[0] >= 0.09 and times_s[2] - times_s[1] >= 0.29


def test_policies_change_queues_that_are_in_use(channel: BlockingChannel, names: Names, warren: Warren) -> None:
    channel.queue_declare(names())
    for number in range(5):
        channel.basic_publish("", names(), b"%d" % number)
    try:
        warren.command("set-policy", "short", f"^{names()}$", '{"max-length": 2}', "--apply-to", "queues")
        warren.command("set-policy", "--priority", "5", "quick", f"^{names()}$", '{"message-ttl": 60000}')
        assert bodies(channel, names()) == [b"3", b"4"]
        shown = warren.command("show-policy", names())
        assert "short" in shown and "quick" in shown
    finally:
        warren.command("clear-policy", "short")
        warren.command("clear-policy", "quick")


def test_messages_are_looked_at_moved_and_deleted(channel: BlockingChannel, names: Names, warren: Warren) -> None:
    for name in ("from", "to"):
        channel.queue_declare(names(name), durable=True)
    channel.confirm_delivery()
    for number in range(5):
        channel.basic_publish("", names("from"), b"message %d" % number, persistent())
    shown = json.loads(warren.command("queue", "browse", names("from"), "--format", "json"))
    rows = shown["messages"] if isinstance(shown, dict) else shown
    positions = [str(row["position"]) for row in rows]
    assert len(positions) == 5
    warren.command("queue", "delete-message", names("from"), positions[1])
    warren.command("queue", "move", names("from"), "--to", names("to"), positions[3])
    assert bodies(channel, names("from")) == [b"message 0", b"message 2", b"message 4"]
    assert wait_for(channel, names("to"))[2] == b"message 3"


def test_definitions_go_out_and_come_in(
    channel: BlockingChannel, names: Names, warren: Warren, tmp_path: Path
) -> None:
    channel.queue_declare(names("q"), durable=True, arguments={"x-max-length": 7})
    channel.exchange_declare(names("e"), "topic", durable=True)
    channel.queue_bind(names("q"), names("e"), "a.#")
    file = tmp_path / "definitions.json"
    warren.command("export-definitions", str(file))
    exported = json.loads(file.read_text())
    assert {"name": names("q"), "vhost": "/", "durable": True, "auto_delete": False,
            "arguments": {"x-max-length": 7}} in [
        {key: queue[key] for key in ("name", "vhost", "durable", "auto_delete", "arguments")}
        for queue in exported["queues"]]
    channel.queue_delete(names("q"))
    channel.exchange_delete(names("e"))
    warren.command("import-definitions", str(file))
    channel.basic_publish(names("e"), "a.b", b"routed")
    assert wait_for(channel, names("q"))[2] == b"routed"


def test_limits_are_kept(connect: Connect, names: Names, warren: Warren) -> None:
    warren.command("set-vhost-limits", "--vhost", "/", '{"max-queues": 0}')
    try:
        with pytest.raises(ChannelClosedByBroker) as refused:
            connect().channel().queue_declare(names())
        assert refused.value.reply_code == 406
    finally:
        warren.command("clear-vhost-limits", "--vhost", "/")
