"""Deliveries whose bodies lie in a shard's log: what the client sees is the same, however the socket takes it."""
from __future__ import annotations

import contextlib
import random
import socket
import struct
from pathlib import Path

import pytest

from tests.unit.gateway_core import frames, records
from tests.unit.gateway_core.driver import Connection, Gateway

LENT = 4
FILE, FILE_BYTES = 7, 300_000
FLAGS = 5
HEAD_BYTES = 32


@pytest.fixture
def content() -> bytes:
    return random.Random(3).randbytes(FILE_BYTES)


@pytest.fixture
def gateway(tmp_path: Path, content: bytes) -> Gateway:
    path = tmp_path / "data"
    path.write_bytes(content)
    made = Gateway()
    made.lend(0, FILE, str(path), 1 << 20)
    return made


def deliver_lent(consumer: int, position: int, body_bytes: int, *, file: int = FILE, **parts: bytes) -> bytes:
    """A DELIVER record with a LentBody (bus/records.pxd)."""
    inline = bytearray(records.deliver(consumer, b"", **parts))
    inline[FLAGS] |= LENT
    raw = bytes(inline[:HEAD_BYTES]) + struct.pack("<QQ", file, position) + bytes(inline[HEAD_BYTES:])
    raw = struct.pack("<I", len(raw)) + raw[4:]
    return raw[:16] + struct.pack("<I", body_bytes) + raw[20:]


def settle_lent(gateway: Gateway) -> None:
    for connection in gateway.take_lent():
        connection.keep_lent()
    gateway.end_files()


@pytest.mark.parametrize("frame_max", [4096, 131_072, 0])
@pytest.mark.parametrize("size", [1, 4088, 4089, 8176, 200_000])
def test_the_client_sees_what_it_would_see_otherwise(
    gateway: Gateway, content: bytes, frame_max: int, size: int
) -> None:
    seen = []
    for lent in (False, True):
        connection = Connection(gateway)
        connection.frame_max = frame_max
        consumer = connection.channels[1].add_consumer(b"tag", 0, False)
        batch = b""
        for position in (0, 17):
            if lent:
                batch += deliver_lent(consumer, position, size, exchange=b"x", routing_key=b"key")
            else:
                batch += records.deliver(consumer, content[position:position + size], exchange=b"x", routing_key=b"key")
            batch += records.deliver(consumer, b"small")
        gateway.on_batch(0, batch)
        assert connection.has_lent == lent
        seen.append((connection.output_bytes, bytes(connection.take_output() or b"")))
        assert not connection.has_lent
        settle_lent(gateway)
    assert seen[0] == seen[1]


@pytest.mark.parametrize("buffer_bytes", [2048, 60_000, 4 << 20])
def test_a_socket_takes_as_much_as_it_can_and_the_rest_is_kept(
    gateway: Gateway, content: bytes, buffer_bytes: int
) -> None:
    ours, client = socket.socketpair()
    with ours, client:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        ours.setblocking(False)
        connection = Connection(gateway)
        consumer = connection.channels[1].add_consumer(b"tag", 0, False)
        places = [(position, 1 + 977 * position % 120_000) for position in range(0, 40 * 97, 97)]
        expected = [content[position:position + size] for position, size in places]
        received = bytearray()
        for first in range(0, len(places), 10):
            batch = b"".join(deliver_lent(consumer, *place) for place in places[first:first + 10])
            gateway.on_batch(0, batch)
            before = connection.output_bytes
            sent = connection.send_straight(ours.fileno())
            assert not connection.has_lent
            assert connection.output_bytes == before - sent
            while output := connection.take_output():       # what a transport would do
                rest = memoryview(bytes(output))
                while rest:
                    with contextlib.suppress(BlockingIOError):
                        rest = rest[ours.send(rest):]
                    with contextlib.suppress(BlockingIOError):
                        received += client.recv(1 << 22, socket.MSG_DONTWAIT)
            with contextlib.suppress(BlockingIOError):
                while data := client.recv(1 << 22, socket.MSG_DONTWAIT):
                    received += data
            settle_lent(gateway)
        assert [sent.body for sent in frames.read(bytes(received), connection.frame_max)] == expected


def test_a_socket_that_is_gone_loses_nothing_of_the_output(gateway: Gateway) -> None:
    """Its owner meets the error when it writes itself."""
    ours, client = socket.socketpair()
    client.close()
    with ours:
        connection = Connection(gateway)
        consumer = connection.channels[1].add_consumer(b"tag", 0, False)
        gateway.on_batch(0, deliver_lent(consumer, 0, 100_000))
        size = connection.output_bytes
        assert connection.send_straight(ours.fileno()) == 0
        assert connection.output_bytes == size and not connection.has_lent


def test_what_is_sent_straight_gives_credit(gateway: Gateway) -> None:
    ours, client = socket.socketpair()
    with ours, client:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        connection = Connection(gateway)
        consumer = connection.channels[1].add_consumer(b"tag", 0, True)
        for _ in range(3):
            gateway.on_batch(0, deliver_lent(consumer, 0, 120_000))
            connection.send_straight(ours.fileno())
            client.recv(1 << 20)
        settle_lent(gateway)
        connection.take_output()
        gateway.credits()
        (credited,) = gateway.send()
        assert credited.delivered_bytes > 3 * 120_000


@pytest.mark.parametrize("position, size", [(0, FILE_BYTES + 1), (FILE_BYTES, 1), (1 << 63, 1), ((1 << 64) - 1, 2)])
def test_a_place_outside_of_the_file_is_never_read(gateway: Gateway, position: int, size: int) -> None:
    connection = Connection(gateway)
    consumer = connection.channels[1].add_consumer(b"tag", 0, True)
    with pytest.raises(ValueError, match="not at"):
        gateway.on_batch(0, deliver_lent(consumer, position, size))
    assert not connection.has_lent


def test_only_deliveries_to_consumers_can_lend(gateway: Gateway) -> None:
    connection = Connection(gateway)
    connection.channels[1].expect_get(0, 41, False)
    got = bytearray(records.get_ok(41, b"x" * 64))
    got[FLAGS] |= LENT
    with pytest.raises(ValueError, match="lent"):
        gateway.on_batch(0, bytes(got))


def test_a_file_that_has_taken_the_name_of_another_one_is_not_read(gateway: Gateway, tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_bytes(b"other one")
    connection = Connection(gateway)
    consumer = connection.channels[1].add_consumer(b"tag", 0, False)
    for beginning in (b"first one", b"other one, and longer"):
        with pytest.raises(ValueError, match="another"):
            gateway.lend(0, FILE + 1, str(path), 1 << 20, beginning)
    gateway.on_batch(0, deliver_lent(consumer, 0, 5, file=FILE + 1))
    assert connection.lost == [0]
    gateway.lend(0, FILE + 1, str(path), 1 << 20, b"other")
    gateway.on_batch(0, deliver_lent(consumer, 0, 5, file=FILE + 1))
    assert connection.has_lent
    connection.keep_lent()


def test_a_file_that_could_not_be_opened_costs_the_connection(gateway: Gateway) -> None:
    connection = Connection(gateway)
    consumer = connection.channels[1].add_consumer(b"tag", 0, False)
    gateway.on_batch(0, deliver_lent(consumer, 0, 100, file=FILE + 1))
    assert connection.lost == [0]
    assert connection.take_output() is None


def test_a_file_may_end_in_the_batch_that_names_it(gateway: Gateway, content: bytes) -> None:
    connection = Connection(gateway)
    consumer = connection.channels[1].add_consumer(b"tag", 0, True)
    gateway.on_document = lambda: gateway.lend_end(0, FILE)
    gateway.on_batch(0, deliver_lent(consumer, 5, 100_000) + records.event({"event": "lend_end"}))
    settle_lent(gateway)
    assert [sent.body for sent in connection.sees()] == [content[5:100_005]]
    gateway.on_batch(0, deliver_lent(consumer, 0, 100))
    assert connection.lost == [0]


def test_a_file_may_be_replaced_in_the_batch_that_names_it(gateway: Gateway, content: bytes, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(content[::-1])
    connection = Connection(gateway)
    consumer = connection.channels[1].add_consumer(b"tag", 0, True)
    gateway.on_document = lambda: gateway.lend(0, FILE, str(other), 1 << 20)
    lent = deliver_lent(consumer, 5, 100_000)
    gateway.on_batch(0, lent + records.event({"event": "lend"}) + lent)
    settle_lent(gateway)
    assert [sent.body for sent in connection.sees()] == [content[5:100_005], content[::-1][5:100_005]]


def test_a_shard_that_goes_takes_its_files_with_it(gateway: Gateway) -> None:
    connection = Connection(gateway)
    consumer = connection.channels[1].add_consumer(b"tag", 0, False)
    gateway.restart(0)
    gateway.end_files()
    gateway.on_batch(0, deliver_lent(consumer, 0, 100))
    assert connection.lost == [0]


def test_mutated_lent_deliveries(gateway: Gateway) -> None:
    rng = random.Random(11)
    connection = Connection(gateway)
    consumers = [connection.channels[1].add_consumer(b"tag", 0, no_ack) for no_ack in (False, True)]
    for _ in range(4000):
        batch = bytearray(b"".join(
            deliver_lent(rng.choice(consumers), rng.randrange(FILE_BYTES), rng.randrange(1, 1000), exchange=b"e")
            for _ in range(rng.randrange(1, 4))))
        for _ in range(rng.randrange(3)):
            batch[rng.randrange(len(batch))] = rng.choice((0, 1, 4, 127, 255, rng.randrange(256)))
        with contextlib.suppress(ValueError):
            gateway.on_batch(0, bytes(batch))
        settle_lent(gateway)
        connection.take_output()
