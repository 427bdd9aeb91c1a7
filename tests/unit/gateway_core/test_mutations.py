"""Bad input: mutated frames of clients and mutated batches of shards end in an error or in nothing, never in a crash.

Run under AddressSanitizer this also proves that nothing is read or written outside its buffer.
"""
import contextlib
import random

import pytest

from amqp091.tables import encode_table
from amqp091.values import Timestamp
from gateway.core import Fork, Route, Way
from tests.unit.gateway_core import frames, records
from tests.unit.gateway_core.driver import Channel, Connection, Gateway
from topology.choice import Choice
from topology.model import Destination

PROPERTIES = frames.properties(
    headers=frames.table({b"a": b"b" * 20, b"c": b""}), delivery_mode=2, priority=1, reply_to=b"r", expiration=b"10",
    user_id=b"")
SPECIAL = frames.properties(
    headers=encode_table({
        "CC": ["q", "r", 5], "BCC": ["s"], "x-delay": 10, "x-deliver-at": Timestamp(10**9), "z": "h"}),
    reply_to=b"amq.rabbitmq.reply-to", user_id=b"")
CLIENT = [
    frames.publish(1, b"body", PROPERTIES),
    frames.publish(2, b"x" * 300, cut=100),
    frames.publish_method(1) + frames.publish_method(2) + frames.content_header(1, 4) + frames.content_header(2, 0),
    frames.body_frame(1, b"four"),
    frames.publish(3, b"t", routing_key=b"both", mandatory=True),
    frames.publish(1, b"copied", SPECIAL, exchange=b"headers"),
    frames.publish(2, b"late", SPECIAL, exchange=b"fanout", mandatory=True),
    frames.publish(3, b"late", SPECIAL),
    frames.ack(1, 1),
    frames.nack(1, 3, multiple=True),
    frames.reject(2, 2, requeue=False),
    frames.method(1, 50, 10, b"declare"),
    frames.frame(frames.HEARTBEAT, 0, b""),
]


def mutated(rng: random.Random, octets: bytes) -> bytes:
    out = bytearray(octets)
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        at = rng.randrange(len(out))
        action = rng.randrange(4)
        if action == 0:
            out[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif action == 1:
            del out[at : at + rng.randrange(1, 9)]
        elif action == 2:
            out[at:at] = rng.randbytes(rng.randrange(1, 9))
        else:
            out[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\x40\0", b"\x7f\xff\xff\xff"))
        if not out:
            out = bytearray(b"\0")
    return bytes(out)


FORK = Fork(Choice([Destination("queue", name) for name in "abc"], weights=[1, 2, 3], hash_header="z"))


def way(exchange: bytes, keys: tuple[bytes, ...], headers: bytes | None, has_delay: bool, path: tuple[int, ...]) -> Way:
    """Something of everything: forks, several queues, delayed ones, queues that keep all."""
    if exchange == b"fanout" and not path:
        return FORK
    if not keys[0] or b"s" in keys[0]:
        return Route([])
    delayed = [(1, 12, 2), (0, 13, 0)] if has_delay else []
    return Route([(0, 10, 1), (1, 20, 2)], delayed=delayed)


def client(gateway: Gateway, mode: int, *, routes_all: bool = False) -> Connection:
    connection = Connection(gateway, 0)
    if routes_all:
        connection.ways = way
    for number in (1, 2, 3):
        channel = Channel(connection, number)
        channel.reply_to = b"amq.rabbitmq.reply-to.me" if number == 3 else None
        if mode == 1:
            channel.confirm_select()
        elif mode == 2:
            channel.tx_select()
    return connection


@pytest.mark.parametrize("mode", [0, 1, 2], ids=["plain", "confirm", "tx"])
def test_mutated_input_of_a_client(mode: int) -> None:
    rng = random.Random(mode)
    gateway = Gateway()
    for _ in range(1500):
        connection = client(gateway, mode, routes_all=rng.random() < 0.5)
        consumer = connection.channels[1].add_consumer(b"t", 0, False)
        gateway.on_batch(0, records.deliver(consumer, b"m") * 4)
        stream = b"".join(mutated(rng, rng.choice(CLIENT)) for _ in range(rng.randrange(1, 8)))
        at = 0
        while at < len(stream):
            size = rng.choice((1, 5, 50, 5000))
            connection.receive(stream[at : at + size])
            connection.resume()
            at += size
        if mode == 2 and not connection.closing:
            for channel in list(connection.channels.values()):
                channel.tx_commit()
        for shard in (0, 1):
            batch = gateway.next_numbers[shard]
            assert all(record is not None for record in gateway.send(shard))
            gateway.on_batch(shard, records.watermark(batch, batch))
        connection.sees()
        connection.close()


def test_mutated_batches_of_a_shard() -> None:
    rng = random.Random(7)
    gateway = Gateway()
    connection = client(gateway, 1)
    channel = connection.channels[1]
    consumers = [channel.add_consumer(b"tag", 0, no_ack) for no_ack in (False, True)]
    for round_number in range(4000):
        channel.expect_get(0, 41, False)
        connection.receive(frames.publish(1, routing_key=b"q"))
        parts = [
            records.deliver(rng.choice(consumers), b"x" * rng.randrange(50), exchange=b"e", routing_key=b"key"),
            records.watermark(gateway.next_numbers[0], 0),
            records.refused(channel.handle, round_number),
            records.response(7, {}),
            records.get_empty(41, gone=bool(round_number % 2)),
            records.get_ok(41, b"got"),
        ]
        batch = mutated(rng, b"".join(rng.sample(parts, rng.randrange(1, 5))))
        with contextlib.suppress(ValueError):
            gateway.on_batch(0, batch)
        gateway.send(0)
        connection.take_output()
