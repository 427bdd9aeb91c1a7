"""Queue class: declare, passive, equivalence, server-named, exclusive, auto-delete, purge, delete."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Names
from tests.harness.channel import ChannelClient
from tests.harness.client import Client
from tests.harness.methods import Basic, Channel, Queue

OpenClient = Callable[..., Client]

LOCKED = (
    "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{}' in vhost '/'. It could be originally "
    "declared on another connection or the exclusive property value does not match that of the original declaration."
)


@pytest.mark.oracle
def test_a_server_named_queue(channel: ChannelClient) -> None:
    name = channel.exclusive_queue()
    assert re.fullmatch(r"amq\.gen-[A-Za-z0-9_-]{22}", name)
    assert channel.exclusive_queue() != name


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("auto_delete", [False, True])
def test_declare_redeclare_and_delete(channel: ChannelClient, names: Names, durable: bool, auto_delete: bool) -> None:
    for _ in range(2):
        answer = channel.declare(names(), durable=durable, auto_delete=auto_delete)
        assert (answer.queue, answer.message_count, answer.consumer_count) == (names(), 0, 0)
    assert channel.delete(names()) == 0
    channel.send(Queue.Declare(queue=names(), passive=True))
    channel.expect_error(404, f"NOT_FOUND - no queue '{names()}' in vhost '/'")


def test_declare_ok_counts_ready_messages_and_consumers(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.confirm()
    channel.publish_many("", queue, [b"1", b"2", b"3"])
    channel.wait_confirms(3)
    assert channel.count(queue) == 3
    assert channel.get(queue) is not None
    assert channel.count(queue) == 2
    channel.qos(1)
    channel.consume(queue)
    channel.delivery()
    answer = channel.declare(queue, passive=True)
    assert (answer.message_count, answer.consumer_count) == (1, 1)


@pytest.mark.oracle
@pytest.mark.parametrize(
    "method",
    [
        Queue.Bind(queue="", exchange="amq.direct", routing_key="k"),
        Queue.Unbind(queue="", exchange="amq.direct", routing_key="k"),
        Queue.Purge(queue=""),
        Queue.Delete(queue=""),
        Basic.Consume(queue=""),
        Basic.Get(queue=""),
    ],
    ids=lambda m: m.name,
)
def test_an_empty_name_without_a_declaration_is_not_found(channel: ChannelClient, method: Any) -> None:
    channel.send(method)
    channel.expect_error(404, "NOT_FOUND - no previously declared queue")


def test_an_empty_name_is_the_queue_declared_last(channel: ChannelClient) -> None:
    channel.exclusive_queue()
    queue = channel.exclusive_queue()
    channel.bind("", "amq.direct", "")  # both names empty: the key is the queue's name
    channel.publish("amq.direct", queue, b"1")
    channel.publish("amq.direct", queue, b"2")
    message = channel.get("")
    assert message is not None and message.body == b"1"
    assert channel.purge("") == 1
    channel.consume("", "tag")
    channel.publish("amq.direct", queue, b"3")
    assert channel.delivery().body == b"3"
    channel.cancel("tag")
    channel.delete("")


@pytest.mark.oracle
def test_an_empty_name_with_a_key_binds_that_key(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.bind("", "amq.direct", queue + "-key")
    channel.publish("amq.direct", queue + "-key", b"1")
    assert channel.get_all(queue) == [b"1"]


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["amq.t-own", "amq.gen-own"])
def test_new_names_with_the_reserved_prefix_are_refused(channel: ChannelClient, name: str) -> None:
    channel.send(Queue.Declare(queue=name))
    channel.expect_error(403, f"ACCESS_REFUSED - queue name '{name}' contains reserved prefix 'amq.*'")


@pytest.mark.warren_only("RabbitMQ 3.10 refuses the prefix even for queues that exist")
def test_a_server_named_queue_may_be_declared_again_by_name(channel: ChannelClient) -> None:
    name = channel.exclusive_queue()
    assert channel.declare(name, exclusive=True).queue == name


@pytest.mark.oracle
@pytest.mark.parametrize(
    "changed, text",
    [
        (
            {"durable": True},
            "inequivalent arg 'durable' for queue '{}' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            {"auto_delete": True},
            "inequivalent arg 'auto_delete' for queue '{}' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            {"arguments": {"x-max-length": 10}},
            "inequivalent arg 'x-max-length' for queue '{}' in vhost '/': received the value '10' of type '",
        ),
    ],
    ids=["durable", "auto-delete", "argument"],
)
def test_an_inequivalent_declaration_fails(channel: ChannelClient, names: Names, changed: Any, text: str) -> None:
    channel.declare(names())
    channel.send(Queue.Declare(queue=names(), **changed))
    channel.expect_error(406, "PRECONDITION_FAILED - " + text.format(names()))


@pytest.mark.oracle
@pytest.mark.parametrize("arguments", [{"x-own": "anything"}, {"x-queue-type": "classic"}])
def test_arguments_that_mean_nothing_are_not_compared(channel: ChannelClient, names: Names, arguments: Any) -> None:
    channel.declare(names(), durable=True)
    channel.declare(names(), durable=True, arguments=arguments)


@pytest.mark.oracle
def test_integers_are_compared_by_value(channel: ChannelClient, names: Names) -> None:
    channel.declare(names(), arguments={"x-max-length": 100})
    channel.declare(names(), arguments={"x-max-length": 100, "other": 2**40})


@pytest.mark.oracle
def test_a_changed_argument_is_inequivalent(channel: ChannelClient, names: Names) -> None:
    channel.declare(names(), arguments={"x-max-length": 100})
    channel.send(Queue.Declare(queue=names(), arguments={"x-max-length": 200}))
    channel.expect_error(406, f"inequivalent arg 'x-max-length' for queue '{names()}' in vhost '/'")


@pytest.mark.oracle
@pytest.mark.parametrize(
    "arguments",
    [
        {"x-max-length": -1},
        {"x-max-length": "many"},
        {"x-message-ttl": -1},
        {"x-expires": 0},
        {"x-overflow": "explode"},
        {"x-dead-letter-exchange": 5},
        {"x-dead-letter-routing-key": "k"},
        {"x-max-priority": -1},
    ],
    ids=lambda a: "=".join(map(str, *a.items())),
)
def test_invalid_arguments_fail(channel: ChannelClient, names: Names, arguments: Any) -> None:
    channel.send(Queue.Declare(queue=names(), arguments=arguments))
    close = channel.expect_error(406, f"'{next(iter(arguments))}'")
    assert f"queue '{names()}' in vhost '/'" in close.reply_text


def test_passive_declare_looks_at_nothing_but_the_name(channel: ChannelClient, names: Names) -> None:
    channel.declare(names())
    channel.declare(names(), durable=True, auto_delete=True, arguments={"x-max-length": 1}, passive=True)


@pytest.mark.oracle
@pytest.mark.parametrize(
    "operation",
    [
        lambda q: Queue.Declare(queue=q, exclusive=True),
        lambda q: Queue.Declare(queue=q, passive=True),
        lambda q: Queue.Bind(queue=q, exchange="amq.direct", routing_key="k"),
        lambda q: Queue.Purge(queue=q),
        lambda q: Queue.Delete(queue=q),
        lambda q: Basic.Consume(queue=q),
        lambda q: Basic.Get(queue=q),
    ],
    ids=["declare", "passive", "bind", "purge", "delete", "consume", "get"],
)
def test_an_exclusive_queue_is_locked_for_other_connections(
    open_client: OpenClient, names: Names, operation: Callable[[str], Any]
) -> None:
    queue = open_client().channel().exclusive_queue(names())
    other = open_client().channel()
    other.send(operation(queue))
    other.expect_error(405, LOCKED.format(queue))


def test_publishing_to_the_exclusive_queue_of_another_connection_is_allowed(open_client: OpenClient) -> None:
    owner, other = open_client().channel(), open_client().channel()
    queue = owner.exclusive_queue()
    other.confirm()
    other.publish("", queue, b"hello")
    other.wait_confirms(1)
    assert owner.get_all(queue) == [b"hello"]


@pytest.mark.oracle
@pytest.mark.parametrize("exclusive", [False, True])
def test_the_exclusive_flag_must_match(channel: ChannelClient, names: Names, exclusive: bool) -> None:
    channel.declare(names(), exclusive=exclusive)
    channel.send(Queue.Declare(queue=names(), exclusive=not exclusive))
    channel.expect_error(405, LOCKED.format(names()))


@pytest.mark.parametrize("end", ["close", "drop", "reset", "error"])
@pytest.mark.parametrize("durable", [False, True])
def test_exclusive_queues_go_with_their_connection(
    open_client: OpenClient, names: Names, end: str, durable: bool
) -> None:
    owner, other = open_client(), open_client()
    channel = owner.channel()
    channel.declare(names(), exclusive=True, durable=durable)
    if end == "error":
        owner.send(9, Basic.Qos())
        owner.expect_connection_error(504)
    else:
        getattr(owner, end)()
    watcher = other.channel()
    while True:  # at once after close-ok and after an error, very soon when TCP ended
        watcher.send(Queue.Declare(queue=names(), passive=True))
        close = watcher.expect(Channel.Close)
        watcher.send(Channel.CloseOk())
        if close.reply_code == 404:
            break
        assert close.reply_code == 405 and end in ("drop", "reset"), close
        watcher = other.channel()


def test_an_auto_delete_queue_goes_with_its_last_consumer(channel: ChannelClient, names: Names) -> None:
    channel.declare(names(), auto_delete=True)
    channel.consume(names(), "1")
    channel.consume(names(), "2")
    channel.cancel("1")
    channel.declare(names(), passive=True)
    channel.cancel("2")
    channel.send(Queue.Declare(queue=names(), passive=True))
    channel.expect_error(404)


def test_an_auto_delete_queue_without_consumers_stays(open_client: OpenClient, names: Names) -> None:
    first = open_client()
    first.channel().declare(names(), auto_delete=True)
    first.close()
    open_client().channel().declare(names(), passive=True)


def test_an_auto_delete_queue_goes_with_the_channel_of_its_last_consumer(open_client: OpenClient, names: Names) -> None:
    first, other = open_client(), open_client().channel()
    channel = first.channel()
    channel.declare(names(), auto_delete=True)
    channel.consume(names())
    channel.close()
    other.send(Queue.Declare(queue=names(), passive=True))
    other.expect_error(404)


def test_an_auto_delete_queue_goes_with_the_connection_of_its_last_consumer(
    open_client: OpenClient, names: Names
) -> None:
    first, other = open_client(), open_client()
    channel = first.channel()
    channel.declare(names(), auto_delete=True)
    channel.consume(names())
    first.drop()
    while True:
        watcher = other.channel()
        watcher.send(Queue.Declare(queue=names(), passive=True))
        answer = watcher.expect((Queue.DeclareOk, Channel.Close))
        if isinstance(answer, Channel.Close):
            assert answer.reply_code == 404
            return
        watcher.close()


def test_purge_takes_ready_messages_alone(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.publish_many("", queue, [b"1", b"2", b"3"])
    held = channel.get(queue)
    assert held is not None
    assert channel.purge(queue) == 2
    assert channel.count(queue) == 0
    channel.reject(held.delivery_tag)
    assert channel.get_all(queue) == [b"1"]


@pytest.mark.oracle
@pytest.mark.parametrize(
    "method",
    [
        Queue.Purge(queue="t-missing"),
        Queue.Declare(queue="t-missing", passive=True),
        Basic.Consume(queue="t-missing"),
        Basic.Get(queue="t-missing"),
    ],
    ids=lambda m: m.name,
)
def test_a_missing_queue_is_not_found(channel: ChannelClient, method: Any) -> None:
    channel.send(method)
    close = channel.expect_error(404, "NOT_FOUND - no queue 't-missing' in vhost '/'")
    assert close.class_id << 16 | close.method_id == method.index


@pytest.mark.oracle
def test_deleting_a_missing_queue_is_fine(channel: ChannelClient) -> None:
    assert channel.delete("t-missing") == 0


def test_delete_returns_the_number_of_ready_messages(channel: ChannelClient, names: Names) -> None:
    channel.declare(names())
    channel.publish_many("", names(), [b"1", b"2"])
    assert channel.delete(names()) == 2


@pytest.mark.oracle
def test_delete_if_unused_keeps_a_queue_with_consumers(channel: ChannelClient, names: Names) -> None:
    channel.declare(names())
    channel.consume(names(), "tag")
    channel.send(Queue.Delete(queue=names(), if_unused=True))
    channel.expect_error(406, f"PRECONDITION_FAILED - queue '{names()}' in vhost '/' in use")
    assert channel.client.channel(2).delete(names(), if_unused=True) == 0


@pytest.mark.oracle
def test_delete_if_empty_keeps_a_queue_with_messages(channel: ChannelClient, names: Names) -> None:
    channel.declare(names())
    channel.publish("", names(), b"x")
    channel.send(Queue.Delete(queue=names(), if_empty=True))
    channel.expect_error(406, f"PRECONDITION_FAILED - queue '{names()}' in vhost '/' not empty")
    channel = channel.client.channel(2)
    channel.purge(names())
    channel.delete(names(), if_empty=True)


def test_a_deleted_queue_comes_back_empty_and_unbound(channel: ChannelClient, names: Names) -> None:
    channel.declare(names(), durable=True)
    channel.bind(names(), "amq.direct", names())
    channel.publish("amq.direct", names(), b"old")
    channel.delete(names())
    channel.declare(names(), durable=True)
    channel.publish("amq.direct", names(), b"unrouted")
    channel.publish("", names(), b"new")
    assert channel.get_all(names()) == [b"new"]


def test_deleting_a_queue_under_unacked_messages(channel: ChannelClient, names: Names) -> None:
    channel.declare(names())
    channel.publish_many("", names(), [b"1", b"2"])
    first = channel.get(names())
    assert first is not None
    channel.delete(names())
    channel.ack(first.delivery_tag)  # late, and harmless
    channel.exclusive_queue()


def test_nowait_declares_and_deletes_without_an_answer(channel: ChannelClient, names: Names) -> None:
    channel.confirm()
    channel.send(Queue.Declare(queue=names(), nowait=True))
    channel.publish("", names(), b"x")
    channel.wait_confirms(1)
    assert channel.count(names()) == 1
    channel.send(Queue.Purge(queue=names(), nowait=True))
    assert channel.count(names()) == 0
    channel.send(Queue.Delete(queue=names(), nowait=True), Queue.Declare(queue=names(), passive=True))
    channel.expect_error(404)


def test_a_queue_name_of_255_bytes(channel: ChannelClient, names: Names) -> None:
    name = (names() + "-" + "q" * 255)[:255]
    names.used.append(name)
    assert channel.declare(name).queue == name
    channel.publish("", name, b"x")
    assert channel.get_all(name) == [b"x"]


def test_queues_of_many_connections_are_seen_by_all(open_client: OpenClient, names: Names) -> None:
    channels = [open_client().channel() for _ in range(6)]
    for number in range(24):
        channels[number % 6].declare(names(str(number)))
        for channel in channels:
            channel.publish("", names(str(number)), b"x")
            assert channel.consumers(names(str(number))) == 0
    for number in range(24):
        assert len(channels[0].get_all(names(str(number)))) == 6


def test_a_declare_that_meets_a_deletion_declares(open_client: OpenClient, names: Names) -> None:
    """Before it, or after it: never is the queue missing to one that wants to have it."""
    declaring = [open_client().channel() for _ in range(2)]
    deleting = [open_client().channel() for _ in range(2)]
    for _ in range(100):
        for channel in (*deleting, *declaring, *deleting):
            is_deleting = channel in deleting
            channel.send(Queue.Delete(queue=names()) if is_deleting else Queue.Declare(queue=names()))
        for channel in declaring:
            channel.expect(Queue.DeclareOk)
        for channel in deleting:
            channel.expect(Queue.DeleteOk)
            channel.expect(Queue.DeleteOk)
