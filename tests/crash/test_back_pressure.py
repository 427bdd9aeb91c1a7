"""Slow consumers, fast publishers: memory stays bounded, others keep their speed, nothing is dropped."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from tests.harness import wire
from tests.harness.client import Client, connect
from tests.harness.methods import Basic, Connection
from tests.harness.warren import Warren, wait_until

MIB = 1 << 20
GATEWAY_GROWTH_MAX_BYTES = 64 * MIB
"""What a gateway may hold for a few slow connections: windows and socket buffers, never a backlog."""
OTHERS_SLOWED_MAX_S = 0.5
"""The longest round trip of a bystander while somebody misbehaves."""


@pytest.fixture(scope="module")
def warren(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warren]:
    """One broker; each test removes its queues."""
    server = Warren(tmp_path_factory.mktemp("pressed"), gateways=2, shards=2)
    server.start()
    yield server
    server.stop()


class Bystander(threading.Thread):
    """Publishes with a confirm and gets the message, over and over, and notes the slowest round trip."""

    def __init__(self, warren: Warren) -> None:
        super().__init__(daemon=True)
        self.client = connect(warren.endpoint)
        self.channel = self.client.channel()
        self.queue = self.channel.exclusive_queue()
        self.channel.confirm()
        self.slowest_s, self.turns = 0.0, 0
        self.stopping = threading.Event()
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                began = time.monotonic()
                self.turns += 1
                self.channel.publish("", self.queue, b"x" * 100)
                self.channel.wait_confirms(self.turns, self.turns)
                assert self.channel.get(self.queue, no_ack=True) is not None
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        except Exception as error:
            self.error = error

    def check(self) -> None:
        """It must have been served all the while."""
        self.stopping.set()
        self.join(10)
        self.client.drop()
        assert self.error is None, self.error
        assert self.turns > 3, "it was hardly served at all"
        assert self.slowest_s < OTHERS_SLOWED_MAX_S, f"a round trip took {self.slowest_s:.2f} s"


@pytest.fixture
def bystanders(warren: Warren) -> Iterator[list[Bystander]]:
    """Four, so that both gateways and both shards have some."""
    watching = [Bystander(warren) for _ in range(4)]
    for one in watching:
        one.start()
    yield watching
    for one in watching:
        one.check()


def gateways_bytes(warren: Warren) -> int:
    return sum(size for name, size in warren.memory_bytes().items() if name.startswith("gateway"))


def fill(client: Client, queue: str, total_bytes: int, size: int) -> int:
    """Publish without reading anything; how many messages."""
    message = wire.publish(1, "", queue, b"x" * size)
    count = total_bytes // size
    per_piece = max(1, 256 * 1024 // len(message))
    for start in range(0, count, per_piece):
        client.send_bytes(message * min(per_piece, count - start))
    return count


@pytest.mark.parametrize("size", [1000, 100_000])
@pytest.mark.parametrize("no_ack", [True, False])
def test_a_consumer_that_never_reads(warren: Warren, bystanders: list[Bystander], no_ack: bool, size: int) -> None:
    with connect(warren.endpoint) as stalled, connect(warren.endpoint) as publisher, connect(warren.endpoint) as owner:
        queue = f"stalled-{no_ack}-{size}"
        owner.channel().declare(queue)
        before = gateways_bytes(warren)
        stalled.channel().consume(queue, no_ack=no_ack)
        publisher.channel()
        count = fill(publisher, queue, 150 * MIB, size)
        publisher.close()
        assert gateways_bytes(warren) - before < GATEWAY_GROWTH_MAX_BYTES
        lowest = 100 * MIB // size if no_ack else count  # the rest may be on its way to the consumer
        wait_until(lambda: lowest <= messages_of(warren, queue) <= count, "the backlog in the queue")
        for _ in range(200):  # it wakes up, and everything flows again
            assert isinstance(stalled.next_on(1).method, Basic.Deliver)
    remove(warren, queue)


def messages_of(warren: Warren, queue: str) -> int:
    """Ready and unacknowledged messages, as listed."""
    return int(next(row for row in warren.listing("queues") if row["name"] == queue)["messages"])


def remove(warren: Warren, queue: str) -> int:
    """Delete a queue; how many messages were ready."""
    with connect(warren.endpoint) as client:
        count = client.channel().delete(queue)
        client.close()
        return count


def test_a_publisher_without_consumers(warren: Warren, bystanders: list[Bystander]) -> None:
    """The backlog costs its index in the shard, and the log's shared memory; the gateways hold nothing of it."""
    with connect(warren.endpoint) as publisher, connect(warren.endpoint) as owner:
        channel = owner.channel()
        channel.declare("flooded")
        before = gateways_bytes(warren)
        publisher.channel()
        count = fill(publisher, "flooded", 200 * MIB, 2000)
        publisher.close()
        assert gateways_bytes(warren) - before < GATEWAY_GROWTH_MAX_BYTES
        # what the publisher's gateway has sent may still lie in its link when somebody at the other gateway asks
        wait_until(lambda: channel.count("flooded") == count, "the end of the flood")
        assert channel.delete("flooded") == count


def test_a_publisher_faster_than_its_consumer(warren: Warren, bystanders: list[Bystander]) -> None:
    with connect(warren.endpoint) as publisher, connect(warren.endpoint) as consumer:
        channel = consumer.channel()
        channel.declare("overrun")
        channel.qos(10)
        channel.consume("overrun")
        publisher.channel()
        filler = threading.Thread(target=fill, args=(publisher, "overrun", 60 * MIB, 3000))
        filler.start()
        taken = 0
        while filler.is_alive() or taken <= 10:
            message = channel.delivery()
            taken += 1
            time.sleep(0.001)
            channel.ack(message.delivery_tag)
        filler.join()
        publisher.close()
    remove(warren, "overrun")


def test_many_slow_consumers_of_a_fanout(warren: Warren, bystanders: list[Bystander]) -> None:
    with connect(warren.endpoint) as publisher:
        slow = [connect(warren.endpoint) for _ in range(20)]
        channel = publisher.channel()
        channel.declare_exchange("to-all", "fanout")
        for client in slow:
            own = client.channel()
            queue = own.exclusive_queue()
            own.bind(queue, "to-all")
            own.consume(queue, no_ack=True)
        before = gateways_bytes(warren)
        body = b"x" * 10_000
        channel.confirm()
        for _ in range(500):
            channel.publish("to-all", "", body)
        channel.wait_confirms(500, timeout_s=30)
        assert gateways_bytes(warren) - before < 2 * GATEWAY_GROWTH_MAX_BYTES
        for client in slow[:3]:
            for _ in range(500):
                arrival = client.next_on(1)
                assert arrival.message is not None and arrival.message.body == body
        for client in slow:
            client.drop()
        channel.delete_exchange("to-all")


def test_a_client_that_never_reads_its_confirms_or_returns(warren: Warren, bystanders: list[Bystander]) -> None:
    with connect(warren.endpoint) as deaf:
        channel = deaf.channel()
        channel.confirm()
        before = gateways_bytes(warren)
        deaf.socket.settimeout(3)
        message = wire.publish(1, "", "t-nobody", b"x" * 5000, mandatory=True)
        sent = 0
        try:
            while sent < 150 * MIB:
                deaf.send_bytes(message * 20)
                sent += len(message) * 20
        except TimeoutError:
            pass  # the broker stopped reading from it: just as well
        assert gateways_bytes(warren) - before < 2 * GATEWAY_GROWTH_MAX_BYTES


def test_publishers_are_blocked_by_an_alarm_and_told(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The alarm is raised by a limit on free disk that nobody can meet; consumers go on."""
    directory = tmp_path_factory.mktemp("alarmed")
    server = Warren(directory, gateways=1, shards=1, disk_free_limit_bytes=1 << 60)
    server.start()
    try:
        with (
            connect(server.endpoint) as publisher,
            connect(server.endpoint) as deaf,
            connect(server.endpoint) as consumer,
        ):
            wait_until(lambda: server.status()["alarms"]["disk"], "the alarm")
            channel = consumer.channel()
            channel.declare("q")
            consumer.channel(2).declare("other", exclusive=True)
            publishing = publisher.channel()
            publishing.publish("", "q", b"held")
            blocked = publisher.expect(Connection.Blocked)
            assert blocked.reason == "low on disk"
            assert channel.get("q") is None
            assert deaf.channel().declare("q", passive=True).message_count == 0  # who does not publish is not blocked
            rows = {row["state"] for row in server.listing("connections")}
            assert "blocked" in rows
    finally:
        server.kill_all()
