"""Topic permissions: which routing keys a user may publish and bind with at a topic exchange."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Names
from tests.harness.accounts import SILENT, TOPICAL, Account
from tests.harness.channel import ChannelClient
from tests.harness.client import Client
from tests.harness.methods import Exchange, Properties, Queue
from tests.harness.warren import Warren

OpenClient = Callable[..., Client]


def channel_of(open_client: OpenClient, account: Account, number: int = 1) -> ChannelClient:
    return open_client(user=account.name, password=account.password).channel(number)


def refusal(close: Any, right: str, key: str, user: str = TOPICAL.name) -> None:
    """RabbitMQ names the right since 4.0."""
    text = f"access to topic '{key}' in exchange 'amq.topic' in vhost '/' refused for user '{user}'"
    assert close.reply_text in (f"ACCESS_REFUSED - {text}", f"ACCESS_REFUSED - {right} {text}")


@pytest.mark.oracle
@pytest.mark.parametrize("key", ["other.x", "", "topical", "xtopical.y", "topicalx"])
def test_a_key_that_the_pattern_does_not_cover_is_refused(open_client: OpenClient, key: str) -> None:
    channel = channel_of(open_client, TOPICAL)
    channel.publish("amq.topic", key, b"x")
    refusal(channel.expect_error(403), "write", key)


@pytest.mark.warren_only("RabbitMQ checks the keys of copies since 4.0")
@pytest.mark.parametrize("name", ["CC", "BCC"])
def test_every_key_of_a_message_is_checked(open_client: OpenClient, name: str) -> None:
    channel = channel_of(open_client, TOPICAL)
    channel.confirm()
    channel.publish("amq.topic", "topical.x", b"x", Properties(headers={name: ["topical.y", "topical.z"]}))
    channel.wait_confirms(1)
    channel.publish("amq.topic", "topical.x", b"x", Properties(headers={name: ["topical.y", "other.z"]}))
    refusal(channel.expect_error(403), "write", "other.z")


@pytest.mark.oracle
@pytest.mark.parametrize("key", ["topical.x", "/.x", "{client_id}.x"])
def test_variables_stand_for_the_user_and_the_vhost(open_client: OpenClient, key: str) -> None:
    """{client_id} is MQTT's: over AMQP it is text like any other."""
    channel = channel_of(open_client, TOPICAL)
    channel.confirm()
    channel.publish("amq.topic", key, b"x")
    channel.wait_confirms(1)


@pytest.mark.oracle
def test_only_topic_exchanges_restrict_keys(open_client: OpenClient) -> None:
    channel = channel_of(open_client, TOPICAL)
    channel.confirm()
    channel.publish("amq.direct", "anything", b"x")
    channel.publish("amq.fanout", "anything", b"x")
    channel.wait_confirms(2)


@pytest.mark.oracle
def test_an_empty_pattern_covers_the_empty_key_alone(open_client: OpenClient) -> None:
    channel = channel_of(open_client, SILENT)
    channel.confirm()
    channel.publish("amq.topic", "", b"x")
    channel.wait_confirms(1)
    channel.publish("amq.topic", "a", b"x")
    refusal(channel.expect_error(403), "write", "a", SILENT.name)


@pytest.mark.oracle
@pytest.mark.parametrize(
    "method",
    [
        Queue.Bind(queue="", exchange="amq.topic", routing_key="private.#"),
        Queue.Unbind(queue="", exchange="amq.topic", routing_key="private.#"),
        Exchange.Bind(destination="amq.fanout", source="amq.topic", routing_key="private.#"),
        Exchange.Unbind(destination="amq.fanout", source="amq.topic", routing_key="private.#"),
    ],
    ids=lambda method: method.name,
)
def test_the_key_of_a_binding_needs_the_right_to_read(open_client: OpenClient, method: Any) -> None:
    channel = channel_of(open_client, TOPICAL)
    channel.exclusive_queue()
    channel.send(method)
    refusal(channel.expect_error(403), "read", "private.#")


@pytest.mark.oracle
def test_a_key_that_is_covered_binds(open_client: OpenClient, names: Names) -> None:
    channel = channel_of(open_client, TOPICAL)
    queue = channel.exclusive_queue()
    channel.bind(queue, "amq.topic", "news.#")
    channel.declare_exchange(names(), "fanout")
    channel.bind_exchange(names(), "amq.topic", "news.#")
    admin = open_client().channel()
    admin.confirm()
    admin.publish("amq.topic", "news.today", b"x")
    admin.wait_confirms(1)
    assert channel.get_all(queue) == [b"x"]


@pytest.mark.warren_only("RabbitMQ keeps what a channel was allowed last")
def test_a_change_holds_for_open_channels_at_once(
    open_client: OpenClient, names: Names, warren_session: Warren
) -> None:
    admin = open_client().channel()
    admin.declare_exchange(names(), "topic")
    queue = admin.exclusive_queue()
    admin.bind(queue, names(), "#")
    channel = channel_of(open_client, TOPICAL)
    channel.confirm()
    channel.publish(names(), "any.key", b"1")
    channel.wait_confirms(1)
    warren_session.command("set-topic-permissions", TOPICAL.name, names(), "^my", "")
    channel.publish(names(), "my.key", b"2")
    channel.wait_confirms(2, 2)
    channel.publish(names(), "any.key", b"3")
    channel.expect_error(403, f"write access to topic 'any.key' in exchange '{names()}' in vhost '/' refused")
    warren_session.command("clear-topic-permissions", TOPICAL.name, names())
    channel = channel.client.channel(1)
    channel.confirm()
    channel.publish(names(), "any.key", b"4")
    channel.wait_confirms(1)
    assert admin.get_all(queue) == [b"1", b"2", b"4"]


@pytest.mark.warren_only("by Warren's commands")
def test_a_name_in_a_variable_is_not_a_pattern(open_client: OpenClient, names: Names, warren_session: Warren) -> None:
    user = "a.b|.*"
    warren_session.command("add-user", user, "--password", "p")
    warren_session.command("set-permissions", user, ".*", ".*", ".*")
    warren_session.command("set-topic-permissions", user, "amq.topic", "^{username}$", "")
    try:
        channel = open_client(user=user, password="p").channel()
        channel.confirm()
        channel.publish("amq.topic", user, b"x")
        channel.wait_confirms(1)
        channel.publish("amq.topic", "axb", b"x")
        channel.expect_error(403)
    finally:
        warren_session.command("delete-user", user)
