"""Streams at a gateway: the offset in each delivery, and what waits for the disk."""
import pytest

from gateway.core import KEEPS_ALL, Route
from tests.unit.gateway_core import frames, records
from tests.unit.gateway_core.driver import Connection, Gateway


def offset_field(offset: int) -> bytes:
    return frames.short(b"x-stream-offset") + b"l" + offset.to_bytes(8, "big")


def headers(*fields: bytes) -> bytes:
    inner = b"".join(fields)
    return frames.properties(headers=len(inner).to_bytes(4, "big") + inner, delivery_mode=2)


STRING = frames.short(b"a") + b"S\0\0\0\1b"
MINE = frames.short(b"x-stream-offset") + b"S\0\0\0\4mine"


@pytest.mark.parametrize("offset", [0, 7, (1 << 32) + 5, (1 << 48) - 2])
@pytest.mark.parametrize(
    ("properties", "kept"),
    [(frames.properties(delivery_mode=2), []), (headers(), []), (headers(STRING), [STRING]),
     (headers(MINE, STRING, MINE), [STRING])],
)
def test_a_delivery_of_a_stream_has_its_offset(offset: int, properties: bytes, kept: list[bytes]) -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    consumer = connection.channels[1].add_consumer(b"tag", 0, False)
    gateway.on_batch(0, records.deliver(consumer, b"body", routing_key=b"k", properties=properties, offset=offset))
    (sent,) = connection.sees()
    assert sent.fields == (b"tag", 1, False, b"", b"k")
    assert (sent.properties, sent.body) == (headers(*kept, offset_field(offset)), b"body")


def test_a_delivery_of_another_queue_has_none() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    consumer = connection.channels[1].add_consumer(b"tag", 0, False)
    gateway.on_batch(0, records.deliver(consumer, b"body", properties=headers(MINE), message_count=9))
    (sent,) = connection.sees()
    assert sent.properties == headers(MINE)
    assert connection.channels[1].next_offset(consumer) == 0


def test_properties_that_are_none_are_passed_on() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    consumer = connection.channels[1].add_consumer(b"tag", 0, False)
    broken = b"\x20\0\0\0\0\x09\1a"
    gateway.on_batch(0, records.deliver(consumer, b"1", properties=broken, offset=3) + records.deliver(consumer, b"2"))
    assert connection.channels[1].next_offset(consumer) == 4
    assert connection.take_output() is not None


def test_each_consumer_knows_how_far_it_has_come() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    channel = connection.channels[1]
    one, two = (channel.add_consumer(tag, 0, False) for tag in (b"1", b"2"))
    gateway.on_batch(0, records.deliver(one, offset=5) + records.deliver(two, offset=1 << 40))
    gateway.on_batch(0, records.deliver(one, offset=6))
    assert (channel.next_offset(one), channel.next_offset(two)) == (7, (1 << 40) + 1)
    channel.remove_consumer(one)
    assert (channel.next_offset(one), channel.next_offset(two)) == (0, (1 << 40) + 1)


def test_a_transient_message_waits_for_the_disk_where_all_are_kept() -> None:
    gateway = Gateway()
    connection = Connection(gateway, 2)
    connection.routes = {b"stream": Route([(0, 1, KEEPS_ALL)]), b"plain": Route([(0, 2, True)])}
    for channel in connection.channels.values():
        channel.confirm_select()
    connection.receive(frames.publish(1, routing_key=b"stream") + frames.publish(2, routing_key=b"plain"))
    gateway.send()
    gateway.on_batch(0, records.watermark(1, 0))
    assert [sent.channel for sent in connection.sees()] == [2]
    gateway.on_batch(0, records.watermark(1, 1))
    assert [sent.channel for sent in connection.sees()] == [1]
