"""Deliveries and gets: frames in record order, counted as the shard counts them; the credit they give back."""
import pytest

from amqp091 import methods
from amqp091.method_table import BasicGetEmpty
from bus import limits
from tests.unit.gateway_core import frames, records
from tests.unit.gateway_core.driver import Channel, Connection, Gateway
from tests.unit.gateway_core.frames import Sent
from tests.unit.gateway_core.records import Credited, Settled

WINDOW = limits.CONNECTION_WINDOW_BYTES


def test_a_delivery_has_everything_of_its_message() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    consumer = connection.channels[1].add_consumer(b"tag", 0, False)
    properties = frames.properties(headers=frames.table({b"a": b"b"}), delivery_mode=2)
    gateway.on_batch(0, records.deliver(
        consumer, b"body", exchange=b"x", routing_key=b"key", properties=properties, redelivered=True))
    assert gateway.dirty() == [connection] and gateway.dirty() == []
    assert connection.sees() == [Sent(1, "deliver", (b"tag", 1, True, b"x", b"key"), properties, b"body")]
    assert connection.take_output() is None


@pytest.mark.parametrize("size", [0, 1, 4088, 4089, 100_000])
def test_bodies_are_cut_at_frame_max(size: int) -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    connection.frame_max = 4096
    consumer = connection.channels[1].add_consumer(b"t" * 255, 0, True)
    body = (b"0123456789" * (size // 10 + 1))[:size]
    gateway.on_batch(0, records.deliver(consumer, body, exchange=b"e" * 255, routing_key=b"k" * 255) * 2)
    assert [sent.body for sent in connection.sees()] == [body, body]


def test_deliveries_and_documents_keep_their_order() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    consumer = connection.channels[1].add_consumer(b"t", 0, True)
    gateway.on_document = lambda: connection.write(frames.ack(1, 77))
    gateway.on_batch(
        0, records.deliver(consumer, b"1") + records.response(5, {"answer": 1}) + records.deliver(consumer, b"2")
        + records.event({"event": "cancelled"}))
    assert [sent.body or sent.name for sent in connection.sees()] == [b"1", "ack", b"2", "ack"]
    assert gateway.documents == [
        (0, records.RESPONSE, 5, {"answer": 1}), (0, records.EVENT, 0, {"event": "cancelled"})]


def test_a_failing_document_hook_does_not_lose_the_rest_of_the_batch() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    consumer = connection.channels[1].add_consumer(b"t", 0, True)

    def fail() -> None:
        raise ZeroDivisionError

    gateway.on_document = fail
    with pytest.raises(ZeroDivisionError):
        gateway.on_batch(0, records.event({}) + records.deliver(consumer, b"2") + records.event({}))
    assert len(gateway.documents) == 2 and len(connection.sees()) == 1


def test_requests_and_events_go_out_among_the_publishes() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    connection.receive(frames.publish(1, b"before"))
    assert gateway.request(0, 9, b'{"verb":"barrier"}')
    connection.receive(frames.publish(1, b"after"))
    assert gateway.event(0, b'{"event":"credit"}')
    first, request, last, event = gateway.send()
    assert (first.body, last.body) == (b"before", b"after")
    assert request == records.Document(records.REQUEST, 9, {"verb": "barrier"})
    assert event == records.Document(records.EVENT, 0, {"event": "credit"})
    gateway.shard_down(0)
    assert not gateway.request(0, 10, b"{}") and not gateway.event(0, b"{}") and not gateway.shard_is_up(0)


def test_consumers_of_several_channels_are_told_apart() -> None:
    gateway = Gateway()
    connection = Connection(gateway, 2)
    one, two = (connection.channels[n].add_consumer(b"same", 0, True) for n in (1, 2))
    gateway.on_batch(0, records.deliver(two) + records.deliver(one) + records.deliver(two))
    assert [(sent.channel, sent.fields[1]) for sent in connection.sees()] == [(2, 1), (1, 1), (2, 2)]
    assert gateway.consumer(two) == (connection.channels[2], b"same")


def test_a_removed_consumers_deliveries_are_dropped() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    channel = connection.channels[1]
    first, second = (channel.add_consumer(tag, 0, False) for tag in (b"1", b"2"))
    channel.remove_consumer(first)
    channel.remove_consumer(first)
    gateway.on_batch(0, b"".join(records.deliver(handle) for handle in (first, second, 0, 0xFFFFFFFF)))
    assert [sent.fields[0] for sent in connection.sees()] == [b"2"] and gateway.consumer(first) is None


def test_a_cancelled_consumer_still_gets_what_came_before_the_answer() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    channel = connection.channels[1]
    consumer = channel.add_consumer(b"t", 0, False)
    assert gateway.request(0, 1, b"{}")
    gateway.on_document = lambda: channel.remove_consumer(consumer)
    gateway.on_batch(0, records.deliver(consumer) + records.response(1, {}))
    gateway.send()
    connection.receive(frames.ack(1, 1))
    assert gateway.send() == [Settled(channel.handle, 0, 1, False)]


def test_a_closing_channel_gets_nothing_and_the_window_gets_its_bytes_back() -> None:
    gateway = Gateway()
    connection = Connection(gateway, 2)
    channel = connection.channels[1]
    consumer = channel.add_consumer(b"t", 0, False)
    channel.closing = True
    record = records.deliver(consumer, bytes(WINDOW // 2))
    gateway.on_batch(0, record)
    gateway.credits()
    assert gateway.send() == [Credited(connection.handle, len(record))]
    channel.close()
    connection.remove_channel(1)
    gateway.on_batch(0, record)
    gateway.credits()
    assert gateway.send() == [Credited(connection.handle, 2 * len(record))]
    assert connection.take_output() is None
    channel.release()
    gateway.on_batch(0, record)
    gateway.credits()
    assert gateway.send() == []


def test_a_get_is_rendered_and_counted_in_link_order() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    channel = connection.channels[1]
    consumer = channel.add_consumer(b"t", 0, False)
    channel.expect_get(0, 41, False)
    channel.expect_get(0, 42, True)
    gateway.on_batch(
        0, records.deliver(consumer, b"1")
        + records.get_ok(41, b"2", message_count=3, routing_key=b"q", redelivered=True)
        + records.get_ok(42, b"3") + records.deliver(consumer, b"4") + records.get_ok(41, b"unasked"))
    sent = connection.sees()
    assert [item.body for item in sent] == [b"1", b"2", b"3", b"4"]
    assert sent[1].fields == (2, True, b"", b"q", 3)
    assert channel.got == [41, 42]
    assert (channel.unacked_count, channel.consumer_unacked_count, channel.delivered_from(0)) == (3, 2, 2)
    connection.receive(frames.ack(1, 2) + frames.ack(1, 4))
    assert gateway.send() == [Settled(channel.handle, 0, 2, False), Settled(channel.handle, 0, 3, False)]


def test_a_get_is_asked_by_a_record() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    channel = connection.channels[1]
    channel.ask_get(0, 41, 10, True)
    channel.ask_get(0, 42, 11, False)
    assert gateway.send() == [
        records.Get(41, 10, channel.handle, connection.handle, True),
        records.Get(42, 11, channel.handle, connection.handle, False),
    ]
    gateway.on_batch(0, records.get_ok(42, b"x"))
    assert channel.got == [42]


def test_a_get_of_an_empty_queue_and_one_that_is_gone() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    channel = connection.channels[1]
    channel.expect_get(0, 41, False)
    channel.expect_get(0, 42, False)
    gateway.on_batch(0, records.get_empty(41) + records.get_empty(42, gone=True) + records.get_empty(43))
    assert bytes(connection.take_output() or b"") == methods.encode(1, BasicGetEmpty())
    assert (channel.got, channel.gone) == ([41], [42])


def test_a_get_empty_for_a_channel_that_is_closing_goes_nowhere() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    channel = connection.channels[1]
    channel.expect_get(0, 41, False)
    channel.closing = True
    gateway.on_batch(0, records.get_empty(41))
    assert connection.take_output() is None and channel.got == [41]


def test_an_answer_takes_the_expectation_of_a_get_back() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    channel = connection.channels[1]
    channel.expect_get(0, 41, False)
    gateway.on_batch(0, records.get_empty(41, gone=True) + records.get_ok(41, b"x"))
    channel.expect_get(1, 42, False)
    gateway.restart(1)
    gateway.on_batch(1, records.get_ok(42, b"x"))
    assert channel.got == [] and connection.take_output() is None


def test_a_get_for_a_closed_channel_is_dropped() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    channel = connection.channels[1]
    channel.expect_get(0, 41, False)
    channel.close()
    gateway.on_batch(0, records.get_ok(41, b"x"))
    assert connection.take_output() is None
    assert channel.got == [41], "who waits for the answer is told"


def test_shards_that_know_the_channel() -> None:
    gateway = Gateway(4)
    connection = Connection(gateway)
    channel = connection.channels[1]
    assert channel.shards() == []
    channel.remove_consumer(channel.add_consumer(b"t", 3, True))
    channel.expect_get(1, 1, True)
    assert channel.shards() == [1, 3]
    with pytest.raises(ValueError):
        channel.add_consumer(b"t", 4, True)


# credit


def test_credit_returns_in_steps_when_the_output_has_left() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    consumer = connection.channels[1].add_consumer(b"t", 0, True)
    record = records.deliver(consumer, bytes(1000))
    count = WINDOW // 2 // len(record) + 1
    gateway.on_batch(0, record * count)
    gateway.credits()
    assert gateway.send() == [], "nothing has left yet"
    connection.take_output()
    gateway.credits()
    assert gateway.send() == [Credited(connection.handle, count * len(record))]
    gateway.credits()
    assert gateway.send() == []


def test_small_deliveries_do_not_cost_a_credit_record_each() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    consumer = connection.channels[1].add_consumer(b"t", 0, True)
    record = records.deliver(consumer, bytes(100))
    total = returned = steps = 0
    for _ in range(30_000):
        gateway.on_batch(0, record)
        total += len(record)
        connection.take_output()
        gateway.credits()
        for credit in gateway.send():
            returned, steps = credit.delivered_bytes, steps + 1
        assert total - returned < WINDOW // 2, "the shard always has half a window"
    assert 4 <= steps <= 4 * total // WINDOW + 1


def test_a_slow_socket_gives_no_credit_until_it_is_writable() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    consumer = connection.channels[1].add_consumer(b"t", 0, False)
    gateway.on_batch(0, records.deliver(consumer, bytes(WINDOW)))
    connection.take_output()
    connection.writable = False
    gateway.credits()
    assert gateway.send() == []
    connection.writable = True
    gateway.credits()
    assert len(gateway.send()) == 1


def test_credit_is_per_shard_and_starts_again_with_it() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    consumers = [connection.channels[1].add_consumer(b"t", shard, True) for shard in (0, 1)]
    for _ in range(2):
        record = records.deliver(consumers[1], bytes(WINDOW))
        gateway.on_batch(1, record)
        gateway.on_batch(0, records.deliver(consumers[0], b"small"))
        connection.take_output()
        gateway.credits()
        assert gateway.send(0) == []
        assert gateway.send(1) == [Credited(connection.handle, len(record))]
        gateway.restart(1)


# records that lie


@pytest.mark.parametrize(
    "record",
    [
        b"\0" * 7,
        b"\0" * 8,
        records.watermark(1)[:16],
        records.finished(records.watermark(1)[:16]),
        records.finished(b"\0\0\0\0\x63\0\0\0"),
        records.finished(records.refused(1, 1)[:8]),
        records.finished(records.deliver(1, b"x")[:16]),
        records.finished(records.deliver(1, b"body of some length")[:40]),
        records.finished(records.deliver(1, properties=b"")),
        records.finished(records.response(1, {"long": "document"})[:16]),
        records.deliver(1, b"x")[:4] + b"\x10\0\0\0" + b"\xff" * 24,
    ],
)
def test_a_record_whose_lengths_lie_is_refused(record: bytes) -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    connection.channels[1].add_consumer(b"t", 0, False)
    with pytest.raises(ValueError):
        gateway.on_batch(0, record)


def test_a_batch_of_nothing_and_a_shard_that_is_none() -> None:
    gateway = Gateway()
    gateway.on_batch(0, b"")
    for call in (gateway.outgoing, gateway.shard_down, gateway.shard_up, gateway.shard_is_up):
        with pytest.raises(IndexError):
            call(2)


# handles and ends


def test_closing_a_connection_releases_everything() -> None:
    gateway = Gateway()
    connection = Connection(gateway, 3)
    channels = list(connection.channels.values())
    consumers = [channel.add_consumer(b"t", 0, False) for channel in channels]
    handle = connection.handle
    connection.write(b"farewell")
    connection.close()
    connection.close()
    assert gateway.connection(handle) is None and connection.channels == {}
    assert all(gateway.channel(channel.handle) is None for channel in channels)
    assert all(gateway.consumer(consumer) is None for consumer in consumers)
    gateway.on_batch(0, records.deliver(consumers[0]))
    assert bytes(memoryview(connection.take_output() or b"")) == b"farewell"


def test_handles_are_not_used_again_soon() -> None:
    gateway = Gateway()
    connection = Connection(gateway, 0)
    seen = set()
    for _ in range(5000):
        channel = Channel(connection, 1)
        assert channel.handle not in seen
        seen.add(channel.handle)
        channel.close()
        connection.remove_channel(1)
        channel.release()
        assert gateway.channel(channel.handle) is None
    assert max(handle & 0xFFFFF for handle in seen) < 2000, "slots are used again"


def test_a_channel_number_is_taken_once() -> None:
    connection = Connection(Gateway())
    for number in (0, 1, 65_536, -1):
        with pytest.raises(ValueError):
            Channel(connection, number)
    Channel(connection, 65_535)
    with pytest.raises(RuntimeError):
        connection.channels[1].release()


def test_outputs_are_the_callers_until_it_lets_go() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    connection.write(b"one")
    first = connection.take_output()
    assert first is not None
    view = memoryview(first)
    connection.write(b"two")
    second = connection.take_output()
    assert second is not None
    assert (bytes(view), bytes(memoryview(second))) == (b"one", b"two")
    view.release()
    del first, second
    connection.write(b"three")
    third = connection.take_output()
    assert third is not None and bytes(memoryview(third)) == b"three"
