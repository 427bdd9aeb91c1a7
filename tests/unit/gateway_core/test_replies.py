"""Direct reply-to in the compiled core: the property that is rewritten, the checks around it, mandatory replies."""
import random

import pytest

from gateway.core import Route
from tests.unit.gateway_core import frames
from tests.unit.gateway_core.driver import Connection, Gateway

ASKS = b"amq.rabbitmq.reply-to"
NAME = b"amq.rabbitmq.reply-to.AAEAAAABsignature"


def consuming(name: bytes = NAME) -> tuple[Gateway, Connection]:
    gateway = Gateway()
    connection = Connection(gateway)
    connection.channels[1].reply_to = name
    return gateway, connection


@pytest.mark.parametrize("name", [NAME, b"x", b"y" * 255])
def test_the_property_is_rewritten_and_nothing_else(name: bytes) -> None:
    gateway, connection = consuming(name)
    others = {
        "headers": frames.table({b"k": b"v"}), "delivery_mode": 2, "priority": 7, "expiration": b"60000",
    }
    chosen = random.Random(1)
    for _ in range(50):
        some = {key: value for key, value in others.items() if chosen.random() < 0.5}
        asked, told = (frames.properties(reply_to=text, **some) for text in (ASKS, name))   # type: ignore[arg-type]
        connection.receive(frames.publish(1, b"body", asked))
        [record] = gateway.send()
        assert record.properties == told and record.body == b"body"
        assert record.priority == some.get("priority", 0)
    assert connection.errors == []


def test_content_in_pieces_is_rewritten_too() -> None:
    gateway, connection = consuming()
    data = frames.publish(1, b"b" * 5000, frames.properties(reply_to=ASKS), cut=1000)
    for at in range(0, len(data), 7):
        connection.receive(data[at : at + 7])
    [record] = gateway.send()
    assert record.properties == frames.properties(reply_to=NAME) and record.body == b"b" * 5000


@pytest.mark.parametrize("reply_to", [b"", b"q", ASKS[:-1], ASKS + b".", ASKS.upper(), NAME])
def test_any_other_reply_to_is_the_client_s(reply_to: bytes) -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    properties = frames.properties(reply_to=reply_to)
    connection.receive(frames.publish(1, b"", properties))
    assert [record.properties for record in gateway.send()] == [properties]


def test_without_a_consumer_of_replies_the_publish_is_refused() -> None:
    gateway, connection = consuming()
    connection.channels[1].reply_to = None
    wrong = frames.properties(reply_to=ASKS, expiration=b"soon", user_id=b"somebody")
    connection.receive(frames.publish(1, b"", wrong))
    assert connection.failed() == [(1, 406, "fast reply consumer does not exist")]
    assert gateway.send() == []


def test_an_exchange_that_is_missing_comes_first() -> None:
    _, connection = consuming()
    connection.channels[1].reply_to = None
    connection.receive(frames.publish(1, b"", frames.properties(reply_to=ASKS), routing_key=b"missing"))
    assert connection.failed() == [(1, 404, "no exchange")]


def test_a_returned_message_has_the_name() -> None:
    _, connection = consuming()
    connection.receive(
        frames.publish(1, b"x", frames.properties(reply_to=ASKS), routing_key=b"nowhere", mandatory=True))
    [returned] = connection.sees()
    assert (returned.name, returned.properties, returned.body) == ("return", frames.properties(reply_to=NAME), b"x")


@pytest.mark.parametrize("mandatory", [False, True])
def test_a_mandatory_reply_is_delivered_and_returned(mandatory: bool) -> None:
    gateway, connection = consuming()
    connection.routes[NAME] = Route([(1, 1 << 31, False)], returns_mandatory=True)
    connection.channels[1].confirm_select()
    connection.receive(frames.publish(1, b"answer", routing_key=NAME, mandatory=mandatory))
    assert [record.queues for record in gateway.send(1)] == [(1 << 31,)]
    assert [sent.name for sent in connection.sees()] == ["return"] * mandatory


def test_a_transaction_holds_the_rewritten_message() -> None:
    gateway, connection = consuming()
    channel = connection.channels[1]
    channel.tx_select()
    connection.receive(frames.publish(1, b"x", frames.properties(reply_to=ASKS)))
    channel.reply_to = None
    assert gateway.send() == []
    channel.tx_commit()
    assert [record.properties for record in gateway.send()] == [frames.properties(reply_to=NAME)]
