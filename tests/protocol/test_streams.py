"""Stream queues: declaring them, reading them from any offset, what they refuse."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import Names
from tests.harness.channel import ChannelClient
from tests.harness.client import Client
from tests.harness.methods import Basic, Properties, Queue, Tx
from tests.harness.policies import Policies

OpenClient = Callable[..., Client]

FIRST = {"x-stream-offset": "first"}


def stream(channel: ChannelClient, name: str, count: int = 0, properties: Any = None, **arguments: Any) -> str:
    """A stream with so many numbered messages; its name. Each is confirmed before the next one is published: RabbitMQ
    delivers what was written together, whatever the prefetch."""
    channel.declare(name, durable=True, arguments={"x-queue-type": "stream", **arguments})
    publisher = channel.client.channel(1000)
    publisher.confirm()
    for number in range(count):
        publisher.publish("", name, b"%d" % number, properties)
        publisher.wait_confirms(number + 1, number + 1)
    publisher.close()
    return name


def publish(channel: ChannelClient, name: str, *bodies: bytes, properties: Any = None) -> None:
    """Confirmed, on a channel of its own."""
    publisher = channel.client.channel(1000)
    publisher.confirm()
    publisher.publish_many("", name, list(bodies), properties)
    assert publisher.wait_confirms(len(bodies)) == set()
    publisher.close()


def offset_of(message: Any) -> Any:
    return message.properties.headers["x-stream-offset"]


def offsets(channel: ChannelClient, count: int) -> list[int]:
    return [offset_of(message) for message in channel.deliveries(count)]


def consume_quietly(channel: ChannelClient, name: str, tag: str, offset: Any) -> None:
    """Without an answer, where deliveries are under way."""
    channel.send(Basic.Consume(queue=name, consumer_tag=tag, nowait=True, arguments={"x-stream-offset": offset}))


def expect_silence(channel: ChannelClient, name: str) -> None:
    """Nothing more is on its way: what the queue's shard would have sent comes before its answer."""
    for _ in range(3):
        channel.declare(name, passive=True)


@pytest.fixture
def other_channel(open_client: OpenClient) -> Iterator[ChannelClient]:
    yield open_client().channel(1)


# -- declaring --------------------------------------------------------------------------------------------------------


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ({"durable": False}, "invalid property 'non-durable'"),
        ({"durable": True, "exclusive": True}, "invalid property 'exclusive-owner'"),
        ({"durable": True, "auto_delete": True}, "invalid property 'auto-delete'"),
    ],
)
def test_a_stream_is_durable_and_belongs_to_nobody(
    channel: ChannelClient, names: Names, flags: dict[str, bool], text: str
) -> None:
    name = names()
    channel.send(Queue.Declare(queue=name, arguments={"x-queue-type": "stream"}, **flags))
    channel.expect_error(406, f"PRECONDITION_FAILED - {text} for queue '{name}' in vhost '/'")


@pytest.mark.oracle
def test_a_stream_has_a_name(channel: ChannelClient) -> None:
    channel.send(Queue.Declare(queue="", durable=True, arguments={"x-queue-type": "stream"}))
    channel.expect_error(406, "Cannot declare a server-named queue for type rabbit_stream_queue")


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"x-max-age": "5x"}, ": invalid_max_age"),
        ({"x-max-age": "1Y 7D 12h"}, ": invalid_max_age"),
        ({"x-max-length-bytes": -1}, ": {value_negative,-1}"),
        ({"x-stream-max-segment-size-bytes": "a"}, ': "expected integer, got longstr"'),
        ({"x-initial-cluster-size": 0}, ": {value_zero,0}"),
        ({"x-max-length": 5}, " of queue type rabbit_stream_queue"),
        ({"x-message-ttl": 5}, " of queue type rabbit_stream_queue"),
        ({"x-expires": 5}, " of queue type rabbit_stream_queue"),
        ({"x-dead-letter-exchange": "x"}, " of queue type rabbit_stream_queue"),
        ({"x-overflow": "drop-head"}, " of queue type rabbit_stream_queue"),
        ({"x-max-priority": 3}, " of queue type rabbit_stream_queue"),
        ({"x-single-active-consumer": True}, " of queue type rabbit_stream_queue"),
        ({"x-delivery-limit": 3}, " of queue type rabbit_stream_queue"),
    ],
)
def test_arguments_that_a_stream_refuses(
    channel: ChannelClient, names: Names, arguments: dict[str, Any], reason: str
) -> None:
    name = names()
    (key,) = arguments
    channel.send(Queue.Declare(queue=name, durable=True, arguments={"x-queue-type": "stream", **arguments}))
    channel.expect_error(406, f"PRECONDITION_FAILED - invalid arg '{key}' for queue '{name}' in vhost '/'{reason}")


@pytest.mark.oracle
def test_segments_have_a_largest_size(channel: ChannelClient, names: Names) -> None:
    arguments = {"x-queue-type": "stream", "x-stream-max-segment-size-bytes": 3_000_000_001}
    channel.send(Queue.Declare(queue=names(), durable=True, arguments=arguments))
    channel.expect_error(406, "PRECONDITION_FAILED - Exceeded max value for x-stream-max-segment-size-bytes")


@pytest.mark.oracle
def test_arguments_that_a_stream_takes(channel: ChannelClient, names: Names) -> None:
    name = names()
    arguments = {
        "x-queue-type": "stream", "x-max-age": "7D", "x-max-length-bytes": 1_000_000, "x-initial-cluster-size": 1,
        "x-stream-max-segment-size-bytes": 100_000, "x-queue-leader-locator": "client-local", "x-unknown": True,
    }  # fmt: skip
    channel.declare(name, durable=True, arguments=arguments)
    channel.declare(name, durable=True, arguments={**arguments, "x-unknown": False})
    channel.send(Queue.Declare(queue=name, durable=True, arguments={**arguments, "x-max-age": "1h"}))
    channel.expect_error(406, "inequivalent arg 'x-max-age'")


@pytest.mark.oracle
def test_another_type_is_not_equivalent(channel: ChannelClient, names: Names) -> None:
    name = stream(channel, names())
    channel.send(Queue.Declare(queue=name, durable=True))
    channel.expect_error(
        406,
        f"PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue '{name}' in vhost '/': "
        "received none but current is the value 'stream' of type 'longstr'",
    )


@pytest.mark.warren_only("RabbitMQ shows the count of some seconds ago, and never counts consumers here")
def test_declare_ok_counts_messages_and_consumers(channel: ChannelClient, names: Names) -> None:
    name = stream(channel, names(), 3)
    channel.qos(5)
    channel.consume(name, arguments=FIRST)
    channel.deliveries(3)
    channel.ack(3, multiple=True)
    answer = channel.declare(name, passive=True)
    assert (answer.message_count, answer.consumer_count) == (3, 1)


# -- what a consumer has to say ---------------------------------------------------------------------------------------


@pytest.mark.oracle
@pytest.mark.parametrize("prefetch", [None, 0])
def test_a_consumer_needs_a_prefetch(channel: ChannelClient, names: Names, prefetch: int | None) -> None:
    name = stream(channel, names())
    if prefetch is not None:
        channel.qos(prefetch)
    channel.send(Basic.Consume(queue=name))
    channel.expect_error(406, f"consumer prefetch count is not set for 'queue '{name}' in vhost '/''")


@pytest.mark.oracle
def test_a_channel_wide_prefetch_is_none(channel: ChannelClient, names: Names) -> None:
    name = stream(channel, names())
    channel.qos(5, global_=True)
    channel.send(Basic.Consume(queue=name))
    channel.expect_error(406, f"consumer prefetch count is not set for 'queue '{name}' in vhost '/''")


@pytest.mark.oracle
def test_a_channel_wide_prefetch_is_not_supported(channel: ChannelClient, names: Names) -> None:
    name = stream(channel, names())
    channel.qos(5)
    channel.qos(5, global_=True)
    channel.send(Basic.Consume(queue=name))
    channel.client.expect_connection_error(540, f"queue '{name}' in vhost '/' does not support global qos")


@pytest.mark.oracle
def test_a_consumer_acknowledges(channel: ChannelClient, names: Names) -> None:
    name = stream(channel, names())
    channel.qos(5)
    channel.send(Basic.Consume(queue=name, no_ack=True))
    channel.client.expect_connection_error(
        540, f"automatic acknowledgement not supported by stream queues queue '{name}' in vhost '/'"
    )


@pytest.mark.oracle
@pytest.mark.parametrize("offset", ["5x", "0s", "1Y 7D 12h"])
def test_an_offset_that_is_none_is_refused(channel: ChannelClient, names: Names, offset: str) -> None:
    name = stream(channel, names())
    channel.send(Basic.Consume(queue=name, arguments={"x-stream-offset": offset}))
    channel.expect_error(
        406,
        f"PRECONDITION_FAILED - invalid arg 'x-stream-offset' for queue '{name}' in vhost '/': "
        f'{{invalid_stream_offset_arg,{{longstr,<<"{offset}">>}}}}',
    )


@pytest.mark.warren_only("RabbitMQ 3.10 ends the connection with 541")
@pytest.mark.parametrize("offset", ["", "FIRST", 1.5, True, None, [1], {"a": 1}])
def test_an_offset_of_another_type_is_refused(channel: ChannelClient, names: Names, offset: Any) -> None:
    name = stream(channel, names())
    channel.send(Basic.Consume(queue=name, arguments={"x-stream-offset": offset}))
    channel.expect_error(406, "{invalid_stream_offset_arg,")


@pytest.mark.oracle
@pytest.mark.parametrize("key", ["x-priority", "x-cancel-on-ha-failover"])
def test_arguments_of_consumers_of_other_queues_are_refused(channel: ChannelClient, names: Names, key: str) -> None:
    name = stream(channel, names())
    channel.qos(5)
    channel.send(Basic.Consume(queue=name, arguments={key: 3}))
    channel.expect_error(406, f"invalid arg '{key}' for queue '{name}' in vhost '/' of queue type rabbit_stream_queue")


@pytest.mark.oracle
@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_other_queues_have_no_offsets(channel: ChannelClient, names: Names, queue_type: str) -> None:
    name = names()
    channel.declare(name, durable=True, arguments={"x-queue-type": queue_type})
    channel.send(Basic.Consume(queue=name, arguments=FIRST))
    channel.expect_error(
        406, f"invalid arg 'x-stream-offset' for queue '{name}' in vhost '/' of queue type rabbit_{queue_type}_queue"
    )


# -- where it begins --------------------------------------------------------------------------------------------------


def in_an_hour() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


def an_hour_ago() -> datetime:
    return datetime.now(UTC) - timedelta(hours=1)


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        ("first", [0, 1, 2, 3, 4]),
        ("last", [4]),
        ("next", []),
        (0, [0, 1, 2, 3, 4]),
        (3, [3, 4]),
        (4, [4]),
        (5, []),
        (-1, [0, 1, 2, 3, 4]),
        ("5m", [0, 1, 2, 3, 4]),
        (an_hour_ago, [0, 1, 2, 3, 4]),
        (in_an_hour, []),
        (None, []),
    ],
)
def test_where_a_consumer_begins(channel: ChannelClient, names: Names, offset: Any, expected: list[int]) -> None:
    name = stream(channel, names(), 5)
    channel.qos(10)
    value = offset() if callable(offset) else offset
    channel.consume(name, arguments=None if value is None else {"x-stream-offset": value})
    assert offsets(channel, len(expected)) == expected
    publish(channel, name, b"5")
    assert offsets(channel, 1) == [5]


@pytest.mark.oracle
def test_an_offset_that_is_not_there_yet_is_waited_for(channel: ChannelClient, names: Names) -> None:
    name = stream(channel, names(), 2)
    channel.qos(10)
    channel.consume(name, arguments={"x-stream-offset": 4})
    publish(channel, name, b"2", b"3", b"4", b"5")
    assert offsets(channel, 2) == [4, 5]


@pytest.mark.oracle
def test_in_an_empty_stream_all_begin_with_the_first_message(channel: ChannelClient, names: Names) -> None:
    name = stream(channel, names())
    channel.qos(10)
    for offset in ("first", "last", "next", 0, "5m"):
        channel.consume(name, str(offset), arguments={"x-stream-offset": offset})
    publish(channel, name, b"a")
    deliveries = channel.deliveries(5)
    assert {message.method.consumer_tag for message in deliveries} == {"first", "last", "next", "0", "5m"}
    assert {offset_of(message) for message in deliveries} == {0}


def test_a_timestamp_is_a_place_between_messages(channel: ChannelClient, names: Names) -> None:
    """In whole seconds, as AMQP has it."""
    name = stream(channel, names(), 2)
    time.sleep(1.01 - time.time() % 1)
    between = datetime.now(UTC).replace(microsecond=0)
    publish(channel, name, b"2")
    channel.qos(10)
    channel.consume(name, arguments={"x-stream-offset": between})
    assert offsets(channel, 1) == [2]


# -- deliveries and acks ----------------------------------------------------------------------------------------------


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("properties", "headers"),
    [
        (None, {}),
        (Properties(headers={}), {}),
        (Properties(headers={"a": 1, "b": "c"}), {"a": 1, "b": "c"}),
        (Properties(headers={"x-stream-offset": "mine", "z": 2}), {"z": 2}),
    ],
)
def test_a_delivery_says_its_offset(
    channel: ChannelClient, names: Names, properties: Any, headers: dict[str, Any]
) -> None:
    name = stream(channel, names(), 2, properties)
    channel.qos(10)
    channel.consume(name, arguments=FIRST)
    for number, message in enumerate(channel.deliveries(2)):
        assert message.properties.headers == {**headers, "x-stream-offset": number}
        assert message.body == b"%d" % number
        assert not message.redelivered


@pytest.mark.oracle
def test_properties_are_kept(channel: ChannelClient, names: Names) -> None:
    sent = {
        "content_type": "text/plain", "content_encoding": "none", "delivery_mode": 1, "priority": 7,
        "correlation_id": "c", "reply_to": "r", "expiration": "1", "message_id": "m",
        "timestamp": datetime(2020, 1, 1, tzinfo=UTC), "message_type": "t", "user_id": "guest", "app_id": "a",
    }  # fmt: skip
    name = stream(channel, names(), 1, Properties(**sent))
    channel.qos(10)
    channel.consume(name, arguments=FIRST)
    received = channel.delivery().properties
    assert {key: getattr(received, key) for key in sent} == sent


@pytest.mark.oracle
def test_an_ack_gives_credit_and_takes_nothing_away(channel: ChannelClient, names: Names) -> None:
    name = stream(channel, names(), 6)
    channel.qos(2)
    channel.consume(name, "t", arguments=FIRST)
    assert offsets(channel, 2) == [0, 1]
    expect_silence(channel, name)
    channel.ack(1)
    assert offsets(channel, 1) == [2]
    channel.ack(3, multiple=True)
    assert offsets(channel, 2) == [3, 4]
    expect_silence(channel, name)
    channel.consume(name, "again", arguments=FIRST)
    assert offsets(channel, 2) == [0, 1]


@pytest.mark.oracle
def test_an_unknown_delivery_tag_is_refused(channel: ChannelClient, names: Names) -> None:
    name = stream(channel, names(), 1)
    channel.qos(2)
    channel.consume(name, arguments=FIRST)
    channel.delivery()
    channel.ack(9)
    channel.expect_error(406, "unknown delivery tag 9")


@pytest.mark.warren_only("RabbitMQ 3.10 ends the connection with 540; later ones give credit for it")
@pytest.mark.parametrize("requeue", [True, False])
def test_a_nack_gives_credit_like_an_ack(channel: ChannelClient, names: Names, requeue: bool) -> None:
    name = stream(channel, names(), 6)
    channel.qos(2)
    channel.consume(name, "t", arguments=FIRST)
    assert offsets(channel, 2) == [0, 1]
    channel.nack(1, requeue=requeue)
    channel.reject(2, requeue=requeue)
    assert offsets(channel, 2) == [2, 3]
    channel.nack(0, multiple=True, requeue=requeue)
    messages = channel.deliveries(2)
    assert [(offset_of(message), message.redelivered) for message in messages] == [(4, False), (5, False)]


@pytest.mark.warren_only("RabbitMQ 3.10 ends the connection with 541")
def test_recover_gives_credit_too(channel: ChannelClient, names: Names) -> None:
    name = stream(channel, names(), 4)
    channel.qos(2)
    channel.consume(name, "t", arguments=FIRST)
    assert offsets(channel, 2) == [0, 1]
    channel.send(Basic.Recover(requeue=True))
    arrivals = [channel.client.next_on(1) for _ in range(3)]
    assert isinstance(arrivals[0].method, Basic.RecoverOk)
    assert [offset_of(arrival.message) for arrival in arrivals[1:]] == [2, 3]


@pytest.mark.oracle
def test_what_was_delivered_is_the_clients_to_ack_after_a_cancellation(channel: ChannelClient, names: Names) -> None:
    name = stream(channel, names(), 3)
    channel.qos(5)
    channel.consume(name, "t", arguments=FIRST)
    channel.deliveries(3)
    assert channel.cancel("t") == []
    channel.ack(1)
    channel.ack(3, multiple=True)
    channel.declare(name, passive=True)


@pytest.mark.oracle
def test_exclusive_means_nothing_to_a_stream(channel: ChannelClient, names: Names) -> None:
    name = stream(channel, names(), 1)
    channel.qos(5)
    for tag in ("a", "b", "c"):
        channel.consume(name, tag, arguments=FIRST, exclusive=tag != "b")
        assert offsets(channel, 1) == [0]


@pytest.mark.oracle
def test_many_consumers_read_the_same_messages(
    channel: ChannelClient, other_channel: ChannelClient, names: Names
) -> None:
    name = stream(channel, names(), 3)
    for reader in (channel, other_channel):
        reader.qos(50)
        for tag in range(10):
            consume_quietly(reader, name, str(tag), "first")
    publish(channel, name, b"3")
    for reader in (channel, other_channel):
        seen: dict[str, list[int]] = {}
        for message in reader.deliveries(40):
            seen.setdefault(message.method.consumer_tag, []).append(offset_of(message))
        assert seen == {str(tag): [0, 1, 2, 3] for tag in range(10)}


@pytest.mark.warren_only("RabbitMQ lets the consumers of streams that it has pass it by")
def test_a_channel_wide_prefetch_set_later_limits_consumers_of_streams_too(
    channel: ChannelClient, names: Names
) -> None:
    name = stream(channel, names(), 9)
    channel.qos(2)
    consume_quietly(channel, name, "a", "first")
    consume_quietly(channel, name, "b", 5)
    assert sorted(offsets(channel, 4)) == [0, 1, 5, 6]
    channel.qos(1, global_=True)
    channel.ack(3, multiple=True)
    expect_silence(channel, name)
    channel.ack(4)
    assert channel.delivery() is not None
    expect_silence(channel, name)


# -- what it refuses --------------------------------------------------------------------------------------------------


@pytest.mark.oracle
@pytest.mark.parametrize("no_ack", [True, False])
def test_get_is_not_supported(channel: ChannelClient, names: Names, no_ack: bool) -> None:
    name = stream(channel, names(), 1)
    channel.send(Basic.Get(queue=name, no_ack=no_ack))
    channel.client.expect_connection_error(
        540, f"NOT_IMPLEMENTED - basic.get not supported by stream queues queue '{name}' in vhost '/'"
    )


@pytest.mark.oracle
def test_purge_is_not_supported(channel: ChannelClient, names: Names) -> None:
    name = stream(channel, names(), 1)
    channel.send(Queue.Purge(queue=name))
    channel.client.expect_connection_error(
        540, f"NOT_IMPLEMENTED - queue.purge not supported by stream queues queue '{name}' in vhost '/'"
    )


@pytest.mark.oracle
def test_consumers_are_told_of_the_end(channel: ChannelClient, other_channel: ChannelClient, names: Names) -> None:
    name = stream(channel, names(), 1)
    channel.qos(5)
    channel.consume(name, "t", arguments=FIRST)
    channel.delivery()
    other_channel.delete(name)
    assert channel.expect(Basic.Cancel).consumer_tag == "t"
    channel.ack(1)
    channel.declare(name, durable=True, arguments={"x-queue-type": "stream"})
    publish(channel, name, b"new")
    channel.consume(name, "t", arguments=FIRST)
    assert offsets(channel, 1) == [0]


@pytest.mark.warren_only("RabbitMQ deletes a stream whatever the conditions, and answers 0")
def test_the_conditions_of_a_deletion_hold(channel: ChannelClient, other_channel: ChannelClient, names: Names) -> None:
    name = stream(channel, names(), 2)
    channel.qos(5)
    channel.consume(name, "t")
    other_channel.send(Queue.Delete(queue=name, if_unused=True))
    other_channel.expect_error(406, f"queue '{name}' in vhost '/' in use")
    channel.cancel("t")
    channel.send(Queue.Delete(queue=name, if_empty=True))
    channel.expect_error(406, f"queue '{name}' in vhost '/' not empty")
    assert channel.client.channel(2).delete(name) == 2


# -- publishing to it -------------------------------------------------------------------------------------------------


@pytest.mark.oracle
def test_it_is_bound_like_any_queue(channel: ChannelClient, names: Names) -> None:
    name, classic = stream(channel, names()), names("classic")
    channel.declare(classic, durable=True)
    for queue in (name, classic):
        channel.bind(queue, "amq.fanout")
    channel.confirm()
    channel.publish("amq.fanout", "k", b"both", mandatory=True)
    channel.wait_confirms(1)
    channel.qos(5)
    channel.consume(name, arguments=FIRST)
    message = channel.delivery()
    assert (message.body, message.method.exchange, message.method.routing_key) == (b"both", "amq.fanout", "k")
    got = channel.get(classic, no_ack=True)
    assert got is not None and got.body == b"both"


@pytest.mark.oracle
def test_a_transaction_publishes_to_it(channel: ChannelClient, names: Names) -> None:
    name = stream(channel, names())
    publisher = channel.client.channel(2)
    publisher.tx_select()
    publisher.publish("", name, b"a")
    publisher.tx_commit()
    channel.qos(5)
    channel.consume(name, arguments=FIRST)
    assert channel.delivery().body == b"a"
    publisher.call(Tx.Rollback(), Tx.RollbackOk)


def test_a_transient_message_is_confirmed_when_it_can_be_read(channel: ChannelClient, names: Names) -> None:
    """Both wait for the disk."""
    name = stream(channel, names(), 3, Properties(delivery_mode=1))
    channel.qos(5)
    channel.consume(name, arguments=FIRST)
    assert channel.bodies(3) == [b"0", b"1", b"2"]


def test_large_messages_are_read_back(channel: ChannelClient, names: Names) -> None:
    name = stream(channel, names())
    bodies = [bytes([n]) * 700_000 for n in range(4)]
    publish(channel, name, *bodies[:1], properties=None)
    publisher = channel.client.channel(2)
    for body in bodies[1:]:
        publisher.publish("", name, body)
    channel.qos(5)
    channel.consume(name, arguments=FIRST)
    assert channel.bodies(4) == bodies


# -- retention --------------------------------------------------------------------------------------------------------


@pytest.mark.oracle
def test_the_oldest_messages_go_when_the_stream_is_too_large(channel: ChannelClient, names: Names) -> None:
    """RabbitMQ drops whole segments, Warren message by message; neither cares for what was read."""
    name = names()
    arguments = {"x-max-length-bytes": 5000, "x-stream-max-segment-size-bytes": 1000}
    channel.declare(name, durable=True, arguments={"x-queue-type": "stream", **arguments})
    publisher = channel.client.channel(2)
    publisher.confirm()
    for number in range(100):
        publisher.publish("", name, b"%03d" % number + b"x" * 97)
        publisher.wait_confirms(number + 1, number + 1)
    channel.qos(200)
    channel.consume(name, arguments={"x-stream-offset": 0})
    first = channel.delivery()
    assert offset_of(first) >= int(first.body[:3]) > 50
    rest = channel.deliveries(99 - int(first.body[:3]))
    assert int(rest[-1].body[:3]) == 99


@pytest.mark.warren_only("RabbitMQ looks at the age of whole segments, when one is full")
def test_the_oldest_messages_go_when_they_are_too_old(channel: ChannelClient, names: Names) -> None:
    name = stream(channel, names(), 3, **{"x-max-age": "1s"})
    deadline_s = time.monotonic() + 5
    while channel.count(name) > 1:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    publish(channel, name, b"3")
    channel.qos(10)
    channel.consume(name, arguments={"x-stream-offset": 0})
    assert offsets(channel, 1)[0] >= 2


@pytest.mark.warren_only("RabbitMQ looks at segments, and at a policy when one is full")
@pytest.mark.parametrize("definition", [{"max-age": "1s"}, {"max-length-bytes": 0}])
def test_a_policy_drops_messages_that_are_there(
    channel: ChannelClient, names: Names, policies: Policies, definition: dict[str, Any]
) -> None:
    name = stream(channel, names(), 5)
    policies.set("retention", f"^{name}$", definition, apply_to="streams")
    channel.wait_count(name, 1)
    policies.clear("retention")
    publish(channel, name, b"5", b"6")
    channel.qos(10)
    channel.consume(name, arguments=FIRST)
    assert offsets(channel, 3) == [4, 5, 6]


# -- filters ----------------------------------------------------------------------------------------------------------


FILTER_VALUES = ("red", "blue", None, "red", "green")


@pytest.mark.warren_only("filters came with RabbitMQ 3.13, which leaves the exact choice to the client")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"x-stream-filter": "red"}, [0, 3]),
        ({"x-stream-filter": ["red", "blue"]}, [0, 1, 3]),
        ({"x-stream-filter": ["green"], "x-stream-match-unfiltered": True}, [2, 4]),
        ({"x-stream-filter": ["green"], "x-stream-match-unfiltered": False}, [4]),
        ({"x-stream-filter": 5}, [0, 1, 2, 3, 4]),
        ({"x-stream-match-unfiltered": True}, [0, 1, 2, 3, 4]),
    ],
)
def test_a_filter_passes_what_has_one_of_its_values(
    channel: ChannelClient, names: Names, arguments: dict[str, Any], expected: list[int]
) -> None:
    name = stream(channel, names())
    for value in FILTER_VALUES:
        headers = {"a": 1} if value is None else {"a": 1, "x-stream-filter-value": value}
        publish(channel, name, b"x", properties=Properties(headers=headers))
    channel.qos(10)
    channel.consume(name, arguments={**FIRST, **arguments})
    assert offsets(channel, len(expected)) == expected
    expect_silence(channel, name)
