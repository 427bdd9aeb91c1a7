"""Streams while processes die: every offset keeps its message, and readers go on where they were."""

from __future__ import annotations

from collections.abc import Callable

from tests.harness import wire
from tests.harness.channel import ChannelClient
from tests.harness.client import Endpoint, connect
from tests.harness.load import Publisher, Worker
from tests.harness.methods import Basic
from tests.harness.warren import Warren, wait_until

STREAMS = ["stream-0", "stream-1"]


class Reader(Worker):
    """Reads streams from given offsets on, and keeps what came with its offset."""

    def __init__(self, endpoint: Endpoint, starts: dict[str, int | str], *, prefetch: int = 200) -> None:
        super().__init__(endpoint)
        self.received: dict[str, list[tuple[int, bytes]]] = {name: [] for name in starts}
        self.redelivered = 0
        self.channel.qos(prefetch)
        for name, start in starts.items():
            arguments = {"x-stream-offset": start}
            self.channel.send(Basic.Consume(queue=name, consumer_tag=name, nowait=True, arguments=arguments))

    def work(self) -> None:
        while not self.stopping.is_set():
            try:
                arrival = self.client.next_on(1, 0.2)
            except TimeoutError:
                continue
            assert isinstance(arrival.method, Basic.Deliver) and arrival.message is not None, arrival.method
            message = arrival.message
            self.redelivered += message.redelivered
            offset = message.properties.headers["x-stream-offset"]
            self.received[arrival.method.consumer_tag].append((offset, message.body))
            self.client.send_bytes(wire.method(1, Basic.Ack(delivery_tag=message.delivery_tag)))

    def count(self, name: str) -> int:
        return len(self.received[name])


def declare(server: Warren, *names: str, **arguments: object) -> None:
    with connect(server.endpoint) as client:
        channel = client.channel()
        for name in names:
            channel.declare(name, durable=True, arguments={"x-queue-type": "stream", **arguments})
        client.close()


def read_all(server: Warren, name: str) -> list[tuple[int, bytes]]:
    """The whole stream as it is now."""
    with connect(server.endpoint) as client:
        channel = client.channel()
        count = channel.count(name)
        channel.qos(1000)
        channel.send(Basic.Consume(queue=name, nowait=True, arguments={"x-stream-offset": "first"}))
        found = []
        for _ in range(count):
            message = channel.delivery()
            found.append((message.properties.headers["x-stream-offset"], message.body))
            channel.ack(message.delivery_tag)
        return found


def published(channel: ChannelClient, name: str, *bodies: bytes) -> None:
    channel.confirm()
    channel.publish_many("", name, list(bodies))
    assert channel.wait_confirms(len(bodies)) == set()


def test_what_was_read_at_an_offset_is_there_after_a_kill_of_the_broker(warren: Warren) -> None:
    """Transient messages, as a stream keeps them all."""
    declare(warren, *STREAMS)
    publisher = Publisher(warren.endpoint, "p", STREAMS, window=300, delivery_mode=1)
    reader = Reader(warren.endpoint, dict.fromkeys(STREAMS, "first"))
    publisher.start()
    reader.start()
    wait_until(lambda: publisher.confirmed_count > 4000 and reader.count(STREAMS[0]) > 500, "the load", 30)
    warren.kill_all()
    publisher.join(20)
    reader.join(20)
    publisher.finish()
    reader.finish()
    warren.start()
    for name in STREAMS:
        found = read_all(warren, name)
        assert [offset for offset, _ in found] == list(range(len(found)))
        seen = reader.received[name]
        assert seen == found[: len(seen)]
        bodies = {body for _, body in found}
        assert {publisher.body(name, number) for number in publisher.told[name].confirmed} <= bodies
        with connect(warren.endpoint) as client:
            channel = client.channel()
            channel.qos(5)
            channel.consume(name, arguments={"x-stream-offset": "next"})
            published(client.channel(2), name, b"after")
            assert channel.delivery().properties.headers["x-stream-offset"] == len(found)


def test_readers_go_on_where_they_were_when_a_shard_dies(make_warren: Callable[..., Warren]) -> None:
    """Nothing comes twice, nothing is left out, nobody has to ask again."""
    warren = make_warren(segment_bytes=1 << 20)
    declare(warren, *STREAMS)
    publisher = Publisher(warren.endpoint, "p", STREAMS, window=200)
    publisher.start()
    wait_until(lambda: publisher.confirmed_count > 400, "the first messages", 30)
    readers = [
        Reader(warren.endpoint, dict.fromkeys(STREAMS, start), prefetch=prefetch)
        for start, prefetch in (("first", 1), ("next", 20), (7, 300))
    ]
    for reader in readers:
        reader.start()
    for round_number in range(1, 3):
        wait_until(
            lambda n=round_number: all(r.count(name) > 200 * n for r in readers for name in STREAMS), "reading", 30
        )
        old = warren.kill("shard", round_number % 2)
        warren.wait_back("shard", round_number % 2, old, 15)
    counts = [{name: reader.count(name) + 100 for name in STREAMS} for reader in readers]
    wait_until(
        lambda: all(
            reader.count(name) > count
            for reader, wanted in zip(readers, counts, strict=True)
            for name, count in wanted.items()
        ),
        "reading on",
        30,
    )
    publisher.finish()
    assert publisher.error is None, publisher.error
    for reader in readers:
        reader.finish()
        assert reader.error is None, reader.error
        assert reader.redelivered == 0
    for name in STREAMS:
        found = read_all(warren, name)
        assert [offset for offset, _ in found] == list(range(len(found)))
        for reader in readers:
            seen = reader.received[name]
            start = seen[0][0]
            assert [offset for offset, _ in seen] == list(range(start, start + len(seen)))
            assert seen == found[start : start + len(seen)]


def test_a_consumer_that_has_read_nothing_yet_misses_nothing(warren: Warren) -> None:
    """`next` means the end of the stream when it asked, not when the shard came back."""
    declare(warren, "s")
    (row,) = [row for row in warren.listing("queues") if row["name"] == "s"]
    with connect(warren.endpoint) as client:
        channel = client.channel()
        published(client.channel(2), "s", b"before")
        channel.qos(5)
        channel.consume("s")
        old = warren.kill("shard", row["shard"])
        publisher = client.channel(3)
        publisher.confirm()
        number = 0
        while number == 0 or publisher.wait_confirms(number, number):       # one that was on its way is nacked
            number += 1
            publisher.publish("", "s", b"while it was away")
        warren.wait_back("shard", row["shard"], old, 15)
        message = channel.delivery()
        assert (message.properties.headers["x-stream-offset"], message.body) == (1, b"while it was away")


def test_a_stream_of_which_only_the_last_message_is_left_goes_on_counting(warren: Warren) -> None:
    declare(warren, "s", **{"x-max-length-bytes": 0})
    with connect(warren.endpoint) as client:
        published(client.channel(), "s", *[b"%d" % n for n in range(3000)])
    warren.stop()
    warren.start()
    assert read_all(warren, "s") == [(2999, b"2999")]
    with connect(warren.endpoint) as client:
        published(client.channel(), "s", b"3000")
    assert read_all(warren, "s") == [(3000, b"3000")]
