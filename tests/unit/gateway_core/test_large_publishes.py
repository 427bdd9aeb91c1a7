"""Large publishes are written straight into the ring of their shard, in order with all others, under true numbers."""
from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bus.doorbell import Doorbell, create_board, map_board
from bus.limits import LENT_BODY_BYTES_MIN
from bus.ring import RingEnd, create_link_file
from tests.unit.gateway_core import frames, records
from tests.unit.gateway_core.driver import Connection, Gateway

RING_BYTES = 256 * 1024
LARGE = LENT_BODY_BYTES_MIN


class RingGateway(Gateway):
    """Shard 0 has a ring; a test reads its other end."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        path = str(directory / "link")
        create_link_file(path, RING_BYTES)
        create_board(str(directory / "board"), 2)
        board = map_board(str(directory / "board"))
        self.bells = [Doorbell(board, slot, os.eventfd(0, os.EFD_NONBLOCK)) for slot in range(2)]
        self.link = RingEnd(path, False, "shard", 0, 1, self.bells[1])
        self.shard = RingEnd(path, True, "gateway", 0, 1, self.bells[0])
        self.use_ring(0, self.link)

    def send_outgoing(self, shard: int) -> None:
        self.link.send(self.outgoing(shard))
        self.sent(shard, self.link.next_batch_number)

    def turn(self) -> None:
        for shard in self.pending_shards():
            assert shard == 0
            self.send_outgoing(shard)

    def batches(self) -> list[list[Any]]:
        """What the shard gets, batch by batch."""
        received = []
        while (view := self.shard.receive()) is not None:
            received.append(records.read(bytes(view)))
        return received


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RingGateway]:
    made = RingGateway(tmp_path)
    yield made
    for bell in made.bells:
        os.close(bell.descriptor)


def confirmed(connection: Connection) -> list[Any]:
    return [sent.fields[:2] for sent in connection.sees() if sent.name == "ack"]


def test_order_and_numbers_are_true_whatever_is_large(gateway: RingGateway) -> None:
    connection = Connection(gateway)
    connection.channels[1].confirm_select()
    bodies = [b"small 1", b"L" * LARGE, b"M" * (LARGE + 3), b"small 2", b"small 3", b"N" * LARGE, b"small 4"]
    for body in bodies:
        connection.receive(frames.publish(1, routing_key=b"q", body=body))
    gateway.turn()
    batches = gateway.batches()
    assert [record.body for batch in batches for record in batch] == bodies
    assert [len(batch) for batch in batches] == [1, 2, 2, 1, 1]
    for number, last in ((1, 1), (2, 3), (3, 5), (4, 6), (5, 7)):
        gateway.on_batch(0, records.watermark(number, number))
        assert confirmed(connection)[-1][0] == last


def test_what_finds_no_room_in_the_ring_takes_the_other_way(gateway: RingGateway) -> None:
    connection = Connection(gateway)
    bodies = [b"%08d" % number + bytes(LARGE) for number in range(40)] + [bytes(131_064)]
    for body in bodies:
        connection.receive(frames.publish(1, routing_key=b"q", body=body))
    gateway.turn()
    got: list[bytes] = []
    for _ in range(100):
        got += [record.body for batch in gateway.batches() for record in batch]
        gateway.link.pump()
    assert got == bodies


def test_a_shard_that_goes_down_nacks_what_was_in_its_ring(gateway: RingGateway) -> None:
    connection = Connection(gateway)
    connection.channels[1].confirm_select()
    connection.receive(frames.publish(1, routing_key=b"q", body=bytes(LARGE)))
    gateway.link.close()
    gateway.restart(0)
    assert [sent.name for sent in connection.sees()] == ["nack"]
    connection.receive(frames.publish(1, routing_key=b"q", body=bytes(LARGE)))
    assert [len(record.body) for record in gateway.send(0)] == [LARGE]


def test_a_transaction_of_large_messages(gateway: RingGateway) -> None:
    connection = Connection(gateway)
    channel = connection.channels[1]
    channel.tx_select()
    for body in (b"small", bytes(LARGE), b"last"):
        connection.receive(frames.publish(1, routing_key=b"q", body=body))
    channel.tx_commit()
    gateway.turn()
    batches = gateway.batches()
    assert [len(record.body) for batch in batches for record in batch] == [5, LARGE, 4]
    gateway.on_batch(0, records.watermark(len(batches), len(batches)))
    assert channel.committed == [True]
