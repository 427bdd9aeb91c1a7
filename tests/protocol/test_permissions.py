"""Rights of users: configure, write and read patterns, per operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Names
from tests.harness.accounts import LIMITED, NO_RIGHTS
from tests.harness.channel import ChannelClient
from tests.harness.client import Client
from tests.harness.methods import Basic, Exchange, Queue

OpenClient = Callable[..., Client]

LIMITED_NAMES = ("conf-q", "write-q", "read-q", "none-q")
LIMITED_EXCHANGES = ("conf-e", "write-e", "read-e", "none-e")


@pytest.fixture
def prepared(open_client: OpenClient, names: Names) -> ChannelClient:
    """Queues and exchanges for which `limited` has one right each; made and removed by guest."""
    admin = open_client().channel()
    for name in LIMITED_NAMES:
        admin.declare(name)
    for name in LIMITED_EXCHANGES:
        admin.declare_exchange(name, "fanout")
    names.used += [*LIMITED_NAMES, *LIMITED_EXCHANGES]
    return open_client(user=LIMITED.name, password=LIMITED.password).channel()


def refused(channel: ChannelClient, method: Any, right: str, kind: str, name: str) -> None:
    channel.send(method)
    close = channel.expect_error(403)
    assert close.reply_text in (
        f"ACCESS_REFUSED - {right} access to {kind} '{name}' in vhost '/' refused for user '{LIMITED.name}'",
        f"ACCESS_REFUSED - access to {kind} '{name}' in vhost '/' refused for user '{LIMITED.name}'",
    ), close.reply_text


@pytest.mark.oracle
@pytest.mark.parametrize(
    "method, right, kind, name",
    [
        (Queue.Declare(queue="none-new"), "configure", "queue", "none-new"),
        (Queue.Declare(queue="none-q"), "configure", "queue", "none-q"),
        (Queue.Delete(queue="none-q"), "configure", "queue", "none-q"),
        (Exchange.Declare(exchange="none-new"), "configure", "exchange", "none-new"),
        (Exchange.Delete(exchange="none-e"), "configure", "exchange", "none-e"),
        (Queue.Bind(queue="none-q", exchange="read-e"), "write", "queue", "none-q"),
        (Queue.Bind(queue="write-q", exchange="none-e"), "read", "exchange", "none-e"),
        (Queue.Unbind(queue="none-q", exchange="read-e"), "write", "queue", "none-q"),
        (Exchange.Bind(destination="none-e", source="read-e"), "write", "exchange", "none-e"),
        (Exchange.Bind(destination="write-e", source="none-e"), "read", "exchange", "none-e"),
        (Queue.Purge(queue="write-q"), "read", "queue", "write-q"),
        (Basic.Get(queue="write-q"), "read", "queue", "write-q"),
        (Basic.Consume(queue="conf-x-none"), "read", "queue", "conf-x-none"),
        (Basic.Consume(queue="write-q"), "read", "queue", "write-q"),
        (
            Queue.Declare(queue="conf-dlx", arguments={"x-dead-letter-exchange": "none-e"}),
            "write",
            "exchange",
            "none-e",
        ),
        (
            Exchange.Declare(exchange="conf-ae", arguments={"alternate-exchange": "none-e"}),
            "write",
            "exchange",
            "none-e",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refused(prepared: ChannelClient, method: Any, right: str, kind: str, name: str) -> None:
    if name == "conf-x-none":
        prepared.send(method)
        prepared.expect_error(404)  # conf-* may be read, and is missing
    else:
        refused(prepared, method, right, kind, name)


@pytest.mark.parametrize("exchange", ["none-e", "read-e"])
def test_publishing_needs_the_right_to_write(prepared: ChannelClient, exchange: str) -> None:
    prepared.publish(exchange, "k", b"x")
    prepared.expect_error(403, f"access to exchange '{exchange}' in vhost '/' refused for user '{LIMITED.name}'")


def test_allowed(prepared: ChannelClient) -> None:
    prepared.declare("conf-q")
    prepared.bind("conf-q", "read-e", "k")
    prepared.bind("write-q", "read-e", "k")
    prepared.bind_exchange("write-e", "read-e", "k")
    prepared.publish("", "read-q", b"by the default exchange")
    assert prepared.get_all("read-q") == [b"by the default exchange"]
    prepared.publish("write-e", "k", b"x")
    prepared.purge("conf-q")
    prepared.consume("read-q")
    prepared.delete("conf-q")
    prepared.delete_exchange("conf-e")


def test_passive_declarations_need_no_rights_of_their_own(prepared: ChannelClient) -> None:
    prepared.declare("read-q", passive=True)
    prepared.declare_exchange("read-e", passive=True)


@pytest.mark.oracle
def test_the_default_exchange_is_checked_as_amq_default(open_client: OpenClient) -> None:
    channel = open_client(user=NO_RIGHTS.name, password=NO_RIGHTS.password).channel()
    channel.publish("", "t-nobody", b"x")
    channel.expect_error(403, "access to exchange 'amq.default' in vhost '/' refused for user 'no-rights'")


@pytest.mark.oracle
def test_empty_patterns_deny_everything(open_client: OpenClient) -> None:
    client = open_client(user=NO_RIGHTS.name, password=NO_RIGHTS.password)
    for method in (Queue.Declare(queue="x"), Queue.Declare(queue="", exclusive=True), Exchange.Declare(exchange="x")):
        channel = client.channel()
        channel.send(method)
        channel.expect_error(403)


def test_a_refusal_costs_the_channel_alone(prepared: ChannelClient) -> None:
    prepared.send(Queue.Declare(queue="none-new"))
    prepared.expect_error(403)
    prepared.client.channel(1).declare("conf-q")
