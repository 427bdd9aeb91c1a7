"""Exchange class: declare, passive, equivalence, delete, bind, unbind, and names."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Names
from tests.harness import wire
from tests.harness.channel import ChannelClient
from tests.harness.client import Client
from tests.harness.methods import Channel, Connection, Exchange, Queue

OpenClient = Callable[..., Client]


@pytest.mark.parametrize(
    "name, kind",
    [
        ("amq.direct", "direct"),
        ("amq.fanout", "fanout"),
        ("amq.topic", "topic"),
        ("amq.headers", "headers"),
        ("amq.match", "headers"),
    ],
)
def test_predeclared_exchanges_may_be_declared_as_they_are(channel: ChannelClient, name: str, kind: str) -> None:
    channel.declare_exchange(name, kind, durable=True)
    channel.declare_exchange(name, passive=True)


@pytest.mark.parametrize("kind", ["direct", "fanout", "topic", "headers"])
@pytest.mark.parametrize("durable", [False, True])
def test_declare_redeclare_and_delete(channel: ChannelClient, names: Names, kind: str, durable: bool) -> None:
    channel.declare_exchange(names(), kind, durable=durable)
    channel.declare_exchange(names(), kind, durable=durable)
    channel.declare_exchange(names(), kind, passive=True)
    channel.delete_exchange(names())
    channel.send(Exchange.Declare(exchange=names(), passive=True))
    channel.expect_error(404)


@pytest.mark.oracle
def test_passive_declare_of_a_missing_exchange_is_not_found(channel: ChannelClient) -> None:
    channel.send(Exchange.Declare(exchange="t-missing", passive=True))
    close = channel.expect_error(404, "NOT_FOUND - no exchange 't-missing' in vhost '/'")
    assert (close.class_id, close.method_id) == (40, 10)


def test_passive_declare_looks_at_nothing_but_the_name(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names(), "direct", durable=False)
    channel.declare_exchange(names(), "fanout", durable=True, internal=True, auto_delete=True, passive=True)


@pytest.mark.oracle
@pytest.mark.parametrize(
    "changed, text",
    [
        (
            {"kind": "fanout"},
            "inequivalent arg 'type' for exchange '{}' in vhost '/': received 'fanout' but current is 'direct'",
        ),
        (
            {"durable": True},
            "inequivalent arg 'durable' for exchange '{}' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            {"auto_delete": True},
            "inequivalent arg 'auto_delete' for exchange '{}' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            {"internal": True},
            "inequivalent arg 'internal' for exchange '{}' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            {"arguments": {"alternate-exchange": "amq.fanout"}},
            "inequivalent arg 'alternate-exchange' for exchange '{}' in vhost '/': received "
            "the value 'amq.fanout' of type 'longstr' but current is none",
        ),
    ],
    ids=["type", "durable", "auto-delete", "internal", "alternate-exchange"],
)
def test_an_inequivalent_declaration_fails(channel: ChannelClient, names: Names, changed: dict, text: str) -> None:
    channel.declare_exchange(names(), "direct")
    options = {"kind": "direct", **changed}
    kind = options.pop("kind")
    channel.send(Exchange.Declare(exchange=names(), exchange_type=kind, **options))
    channel.expect_error(406, "PRECONDITION_FAILED - " + text.format(names()))


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["amq.t-own", "amq."])
def test_new_names_with_the_reserved_prefix_are_refused(channel: ChannelClient, name: str) -> None:
    channel.send(Exchange.Declare(exchange=name, exchange_type="direct"))
    channel.expect_error(403, f"ACCESS_REFUSED - exchange name '{name}' contains reserved prefix 'amq.*'")


@pytest.mark.oracle
@pytest.mark.parametrize(
    "method",
    [
        Exchange.Declare(exchange="", exchange_type="direct"),
        Exchange.Delete(exchange=""),
        Exchange.Bind(destination="", source="amq.direct"),
        Exchange.Bind(destination="amq.direct", source=""),
        Exchange.Unbind(destination="", source="amq.direct"),
    ],
    ids=["declare", "delete", "bind-destination", "bind-source", "unbind"],
)
def test_the_default_exchange_is_out_of_reach(channel: ChannelClient, method: object) -> None:
    channel.send(method)
    channel.expect_error(403, "ACCESS_REFUSED - operation not permitted on the default exchange")


def test_a_queue_cannot_be_bound_to_the_default_exchange(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.send(Queue.Bind(queue=queue, exchange="", routing_key="k"))
    channel.expect_error(403, "operation not permitted on the default exchange")


def test_an_unknown_type_fails(channel: ChannelClient, names: Names) -> None:
    channel.send(Exchange.Declare(exchange=names(), exchange_type="x-no-such-type"))
    if channel.client.endpoint.broker == "rabbitmq":
        channel.client.expect_connection_error(503, "unknown exchange type 'x-no-such-type'")
    else:
        channel.expect_error(406, "PRECONDITION_FAILED - unknown exchange type 'x-no-such-type'")


@pytest.mark.oracle
def test_deleting_a_missing_exchange_is_fine(channel: ChannelClient) -> None:
    channel.delete_exchange("t-missing")


@pytest.mark.oracle
def test_a_predeclared_exchange_cannot_be_deleted(channel: ChannelClient) -> None:
    channel.send(Exchange.Delete(exchange="amq.direct"))
    channel.expect_error(403, "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed")


@pytest.mark.oracle
def test_delete_if_unused_keeps_an_exchange_with_bindings(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names())
    queue = channel.exclusive_queue()
    channel.bind(queue, names(), "k")
    channel.send(Exchange.Delete(exchange=names(), if_unused=True))
    channel.expect_error(406, f"PRECONDITION_FAILED - exchange '{names()}' in vhost '/' in use")
    channel = channel.client.channel(2)
    channel.unbind(queue, names(), "k")
    channel.delete_exchange(names(), if_unused=True)


def test_an_auto_delete_exchange_goes_with_its_last_binding(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names(), auto_delete=True)
    queue = channel.exclusive_queue()
    channel.declare_exchange(names(), passive=True)  # without any binding so far, it stays
    channel.bind(queue, names(), "1")
    channel.bind(queue, names(), "2")
    channel.unbind(queue, names(), "1")
    channel.declare_exchange(names(), passive=True)
    channel.unbind(queue, names(), "2")
    channel.send(Exchange.Declare(exchange=names(), passive=True))
    channel.expect_error(404)


def test_an_auto_delete_exchange_goes_with_the_queue_that_it_was_bound_to(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names(), auto_delete=True)
    queue = channel.exclusive_queue()
    channel.bind(queue, names(), "1")
    channel.delete(queue)
    channel.send(Exchange.Declare(exchange=names(), passive=True))
    channel.expect_error(404)


def test_auto_delete_cascades_over_exchange_bindings(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names("source"), auto_delete=True)
    channel.declare_exchange(names("middle"), auto_delete=True)
    queue = channel.exclusive_queue()
    channel.bind(queue, names("middle"), "k")
    channel.bind_exchange(names("middle"), names("source"), "k")
    channel.delete(queue)
    for name in ("source", "middle"):
        channel.send(Exchange.Declare(exchange=names(name), passive=True))
        channel.expect_error(404)
        channel = channel.client.channel(1)


def test_an_internal_exchange_takes_messages_from_exchanges_alone(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names("outer"), "fanout")
    channel.declare_exchange(names("inner"), "fanout", internal=True)
    channel.bind_exchange(names("inner"), names("outer"))
    queue = channel.exclusive_queue()
    channel.bind(queue, names("inner"))
    channel.publish(names("outer"), "", b"through")
    assert channel.get_all(queue) == [b"through"]
    channel.publish(names("inner"), "", b"refused")
    close = channel.expect_error(
        403, f"ACCESS_REFUSED - cannot publish to internal exchange '{names('inner')}' in vhost '/'"
    )
    assert (close.class_id, close.method_id) == (60, 40)


@pytest.mark.oracle
@pytest.mark.parametrize(
    "method, text",
    [
        (Exchange.Bind(destination="t-missing", source="amq.direct"), "no exchange 't-missing' in vhost '/'"),
        (Exchange.Bind(destination="amq.direct", source="t-missing"), "no exchange 't-missing' in vhost '/'"),
        (Queue.Bind(queue="t-missing", exchange="amq.direct"), "no queue 't-missing' in vhost '/'"),
    ],
    ids=["destination", "source", "queue"],
)
def test_binding_what_is_missing_is_not_found(channel: ChannelClient, method: object, text: str) -> None:
    channel.send(method)
    channel.expect_error(404, "NOT_FOUND - " + text)


@pytest.mark.oracle
def test_binding_a_queue_to_a_missing_exchange_is_not_found(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.send(Queue.Bind(queue=queue, exchange="t-missing", routing_key=""))
    channel.expect_error(404, "NOT_FOUND - no exchange 't-missing' in vhost '/'")


@pytest.mark.oracle
def test_unbinding_what_is_not_bound_is_fine(channel: ChannelClient, names: Names) -> None:
    queue = channel.exclusive_queue()
    channel.unbind(queue, "amq.direct", "never-bound")
    channel.unbind_exchange("amq.fanout", "amq.direct", "never-bound")


@pytest.mark.oracle
def test_unbinding_from_what_is_missing(channel: ChannelClient) -> None:
    channel.unbind("t-missing", "t-missing-too", "k")
    channel.unbind_exchange("t-missing", "t-missing-too", "k")


def test_a_binding_is_told_apart_by_key_and_arguments(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names())
    queue = channel.exclusive_queue()
    for _ in range(2):  # the second time changes nothing
        channel.bind(queue, names(), "k")
        channel.bind(queue, names(), "k", {"a": 1})
    channel.publish(names(), "k", b"one copy")
    assert channel.get_all(queue) == [b"one copy"]
    channel.unbind(queue, names(), "k")
    channel.publish(names(), "k", b"by the other")
    assert channel.get_all(queue) == [b"by the other"]
    channel.unbind(queue, names(), "k", {"a": 1})
    channel.publish(names(), "k", b"nowhere")
    assert channel.get_all(queue) == []


def test_names_may_have_255_bytes_and_any_letters(channel: ChannelClient, names: Names) -> None:
    for name in ("ü" * 127, "e" * 255, "a b/c:d", "汉字"):
        full = (names("") + name).encode()[:255].decode("utf-8", "ignore")
        names.used.append(full)
        channel.declare_exchange(full, "fanout")
        queue = channel.exclusive_queue()
        channel.bind(queue, full)
        channel.publish(full, "ключ", b"x")
        message = channel.get(queue)
        assert message is not None and message.method.exchange == full and message.method.routing_key == "ключ"


def test_nowait_declares_without_an_answer(channel: ChannelClient, names: Names) -> None:
    channel.send(Exchange.Declare(exchange=names(), exchange_type="fanout", nowait=True))
    queue = channel.exclusive_queue()
    channel.send(Queue.Bind(queue=queue, exchange=names(), routing_key="", nowait=True))
    channel.publish(names(), "", b"x")
    assert channel.get_all(queue) == [b"x"]
    channel.send(Exchange.Delete(exchange=names(), nowait=True))
    channel.send(Exchange.Declare(exchange=names(), passive=True))
    channel.expect_error(404)


def test_an_alternate_exchange_need_not_exist(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names(), "direct", arguments={"alternate-exchange": "t-missing"})
    channel.publish(names(), "k", b"dropped")
    channel.exclusive_queue()


def test_a_declare_on_one_connection_holds_on_every_other(open_client: OpenClient, names: Names) -> None:
    """Connections land on different gateways: what was answered is known to all."""
    channels = [open_client().channel() for _ in range(8)]
    for number in range(20):
        name = names(str(number))
        channels[number % 8].declare_exchange(name, "fanout")
        for channel in channels:
            channel.publish(name, "", b"x")
            channel.declare_exchange(name, passive=True)


@pytest.mark.parametrize("method_id", [13, 41, 50, 52])
@pytest.mark.warren_only("RabbitMQ 3.10 resets the connection")
def test_unknown_methods_of_the_class_are_refused(channel: ChannelClient, method_id: int) -> None:
    channel.client.send_bytes(wire.raw_method(1, 40, method_id))
    close = channel.client.next().method
    assert isinstance(close, Connection.Close) and close.reply_code in (503, 540), close


def test_carriage_returns_are_taken_out_of_names(channel: ChannelClient, names: Names) -> None:
    channel.call(Exchange.Declare(exchange=names() + "\r\n", exchange_type="direct"), Exchange.DeclareOk)
    answer = channel.call(Exchange.Declare(exchange=names(), passive=True), (Exchange.DeclareOk, Channel.Close))
    assert isinstance(answer, Exchange.DeclareOk)
