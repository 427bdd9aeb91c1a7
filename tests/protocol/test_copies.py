"""The headers CC and BCC: further routing keys, one copy per queue, BCC gone before delivery."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Names
from tests.harness import wire
from tests.harness.accounts import TOPICAL
from tests.harness.channel import ChannelClient
from tests.harness.client import Client
from tests.harness.methods import Properties

OpenClient = Callable[..., Client]


def publish_raw(channel: ChannelClient, queue: str, *entries: bytes) -> None:
    """To a queue, with headers of these entries as they are."""
    header = b"\0\x3c\0\0" + (1).to_bytes(8, "big") + b"\x20\0" + wire.table(b"".join(entries))
    channel.client.send_bytes(
        wire.raw_method(1, 60, 40, wire.publish_arguments("", queue))
        + wire.frame(wire.FRAME_HEADER, 1, header)
        + wire.body(1, b"x")
    )


def array(*texts: str) -> bytes:
    items = b"".join(b"S" + len(text.encode()).to_bytes(4, "big") + text.encode() for text in texts)
    return len(items).to_bytes(4, "big") + items


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["CC", "BCC"])
def test_a_copy_goes_to_every_key(channel: ChannelClient, name: str) -> None:
    first, second, third, other = (channel.exclusive_queue() for _ in range(4))
    channel.publish("", first, b"x", Properties(headers={name: [second, third]}))
    assert [channel.get_all(queue) for queue in (first, second, third, other)] == [[b"x"], [b"x"], [b"x"], []]


@pytest.mark.oracle
def test_both_headers_count_and_each_queue_gets_one(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names(), "topic")
    first, second = channel.exclusive_queue(), channel.exclusive_queue()
    channel.bind(first, names(), "a.*")
    channel.bind(second, names(), "#")
    headers = {"CC": ["a.2", "a.3", "b"], "BCC": ["a.1", "a.4", "c", "c"]}
    channel.publish(names(), "a.1", b"x", Properties(headers=headers))
    assert channel.get_all(first) == channel.get_all(second) == [b"x"]


@pytest.mark.oracle
def test_bcc_is_removed_and_cc_stays(channel: ChannelClient) -> None:
    first, second = channel.exclusive_queue(), channel.exclusive_queue()
    properties = Properties(headers={"a": 1, "CC": [second], "BCC": [second], "z": "last"}, message_id="m", priority=3)
    channel.publish("", first, b"x", properties)
    for queue in (first, second):
        message = channel.get(queue, no_ack=True)
        assert message is not None
        assert message.properties.headers == {"a": 1, "CC": [second], "z": "last"}
        assert (message.properties.message_id, message.properties.priority) == ("m", 3)
        assert message.method.routing_key == first


@pytest.mark.oracle
def test_a_bcc_alone_leaves_an_empty_table(channel: ChannelClient) -> None:
    first, second = channel.exclusive_queue(), channel.exclusive_queue()
    channel.publish("", first, b"x", Properties(headers={"BCC": [second]}))
    message = channel.get(second, no_ack=True)
    assert message is not None and message.properties.headers == {}


@pytest.mark.oracle
def test_what_in_the_array_is_no_long_string_is_passed_over(channel: ChannelClient) -> None:
    first, second, third = (channel.exclusive_queue() for _ in range(3))
    odd = [True, 5, None, [third], {"k": third}, bytearray(third.encode()), "x" * 300, second]
    channel.publish("", first, b"x", Properties(headers={"CC": odd}))
    assert [channel.get_all(queue) for queue in (first, second, third)] == [[b"x"], [b"x"], []]


@pytest.mark.oracle
def test_of_two_headers_of_one_name_the_first_counts(channel: ChannelClient) -> None:
    first, second, third = (channel.exclusive_queue() for _ in range(3))
    publish_raw(channel, first, wire.field_entry("CC", b"A", array(second)), wire.field_entry("CC", b"A", array(third)))
    assert [channel.get_all(queue) for queue in (first, second, third)] == [[b"x"], [b"x"], []]


@pytest.mark.warren_only("RabbitMQ 3.10 takes out the first alone, and consumers see the others")
def test_no_second_bcc_is_delivered(channel: ChannelClient) -> None:
    first, second, third = (channel.exclusive_queue() for _ in range(3))
    entries = [wire.field_entry("BCC", b"A", array(name)) for name in (second, third)]
    publish_raw(channel, first, *entries)
    message = channel.get(second, no_ack=True)
    assert message is not None and message.properties.headers == {}
    assert channel.get_all(third) == []


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("headers", "kind"),
    [({"CC": "k"}, '"CC",longstr'), ({"BCC": {"a": 1}}, '"BCC",table'), ({"CC": None}, '"CC",void')],
)
def test_what_is_no_array_is_refused(channel: ChannelClient, headers: dict[str, Any], kind: str) -> None:
    queue = channel.exclusive_queue()
    channel.publish("", queue, b"x", Properties(headers=headers))
    channel.expect_error(406, f"PRECONDITION_FAILED - invalid message: {{unacceptable_type_in_header,{kind}}}")


@pytest.mark.oracle
def test_mandatory_counts_all_keys(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.confirm()
    channel.publish("", "t-nobody", b"1", Properties(headers={"CC": ["t-no-one", queue]}), mandatory=True)
    channel.wait_confirms(1)
    headers = {"CC": ["t-no-one"], "BCC": ["t-not-me"], "h": 1}
    channel.publish("", "t-nobody", b"2", Properties(headers=headers), mandatory=True)
    returned = channel.returned()
    assert returned.body == b"2" and returned.properties.headers == {"CC": ["t-no-one"], "h": 1}
    channel.wait_confirms(2, 2)
    assert channel.get_all(queue) == [b"1"]


@pytest.mark.oracle
def test_the_alternate_exchange_gets_what_no_key_routes(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names("rest"), "fanout")
    channel.declare_exchange(names(), "direct", arguments={"alternate-exchange": names("rest")})
    queue, rest = channel.exclusive_queue(), channel.exclusive_queue()
    channel.bind(queue, names(), "a")
    channel.bind(rest, names("rest"))
    channel.publish(names(), "unknown", b"1", Properties(headers={"CC": ["a"]}))
    channel.publish(names(), "unknown", b"2", Properties(headers={"CC": ["unknown too"]}))
    assert (channel.get_all(queue), channel.get_all(rest)) == ([b"1"], [b"2"])


@pytest.mark.oracle
def test_headers_are_matched_without_bcc(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue()
    channel.bind(queue, "amq.headers", "", {"x-match": "any", "BCC": None, "CC": None})
    channel.publish("amq.headers", "", b"1", Properties(headers={"BCC": ["a"]}))
    channel.publish("amq.headers", "", b"2", Properties(headers={"CC": ["a"]}))
    assert channel.get_all(queue) == [b"2"]


@pytest.mark.oracle
def test_copies_pass_bindings_between_exchanges(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names("first"), "topic")
    channel.declare_exchange(names("second"), "direct")
    queue, other = channel.exclusive_queue(), channel.exclusive_queue()
    channel.bind_exchange(names("second"), names("first"), "go.#")
    channel.bind(queue, names("second"), "b")
    channel.bind(other, names("second"), "c")
    channel.publish(names("first"), "a", b"1", Properties(headers={"CC": ["go", "b"]}))
    channel.publish(names("first"), "b", b"2", Properties(headers={"CC": ["a", "c"]}))
    assert (channel.get_all(queue), channel.get_all(other)) == ([b"1"], [])


@pytest.mark.oracle
def test_a_transaction_keeps_copies(channel: ChannelClient) -> None:
    first, second = channel.exclusive_queue(), channel.exclusive_queue()
    channel.tx_select()
    channel.publish("", first, b"lost", Properties(headers={"BCC": [second]}))
    channel.tx_rollback()
    channel.publish("", first, b"kept", Properties(headers={"BCC": [second]}))
    assert channel.count(second) == 0
    channel.tx_commit()
    assert channel.get_all(first) == channel.get_all(second) == [b"kept"]


@pytest.mark.oracle
def test_a_reply_may_be_a_copy(open_client: OpenClient) -> None:
    client, server = open_client().channel(), open_client().channel()
    requests = server.exclusive_queue()
    client.consume("amq.rabbitmq.reply-to", no_ack=True)
    client.publish("", requests, b"?", Properties(reply_to="amq.rabbitmq.reply-to"))
    server.wait_count(requests, 1)
    request = server.get(requests, no_ack=True)
    assert request is not None
    server.publish("", requests, b"!", Properties(headers={"CC": [request.properties.reply_to]}), mandatory=True)
    assert client.delivery().body == b"!"
    assert server.get_all(requests) == [b"!"]


@pytest.mark.warren_only("RabbitMQ 3.10 looks at the routing key alone, 4.x at every copy too")
@pytest.mark.parametrize("name", ["CC", "BCC"])
def test_topic_permissions_concern_every_key(open_client: OpenClient, name: str) -> None:
    channel = open_client(user=TOPICAL.name, password=TOPICAL.password).channel()
    channel.confirm()
    channel.publish("amq.topic", "topical.x", b"x", Properties(headers={name: ["topical.y", "topical.z"]}))
    channel.wait_confirms(1)
    channel.publish("amq.topic", "topical.x", b"x", Properties(headers={name: ["topical.y", "other.z"]}))
    channel.expect_error(403, "access to topic 'other.z' in exchange 'amq.topic' in vhost '/' refused")
