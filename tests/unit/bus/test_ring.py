"""The ring itself: what it does with positions and lengths that make no sense, and when it rings."""
from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus import limits
from bus.doorbell import Doorbell, create_board, map_board
from bus.ring import LinkBroken, RingEnd, create_link_file

RING_BYTES = 64 * 1024
CONTROL_OF_RING_0 = 4096
HEAD, TAIL = 0, 64
RING_0 = 8192


class Pair:
    """Both ends of a ring, and its raw bytes."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "link"
        create_link_file(str(self.path), RING_BYTES)
        create_board(str(directory / "board"), 2)
        board = map_board(str(directory / "board"))
        self.bells = [Doorbell(board, slot, os.eventfd(0, os.EFD_NONBLOCK)) for slot in range(2)]
        self.gateway = RingEnd(str(self.path), False, "shard", 0, 1, self.bells[1])
        self.shard = RingEnd(str(self.path), True, "gateway", 0, 1, self.bells[0])
        with self.path.open("r+b") as file:
            self.raw = mmap.mmap(file.fileno(), 0)

    def rang(self, slot: int) -> bool:
        try:
            os.eventfd_read(self.bells[slot].descriptor)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        for bell in self.bells:
            os.close(bell.descriptor)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    yield pair
    pair.close()


@pytest.mark.parametrize("length", [0, 20, 1 << 16, 0xFFFFFFFF, 0xFFFFFFF8])
def test_a_fragment_that_lies_about_its_length_breaks_the_link(pair: Pair, length: int) -> None:
    pair.gateway.send(b"12345678")
    struct.pack_into("<I", pair.raw, RING_0, length)
    with pytest.raises(LinkBroken):
        pair.shard.receive()


@pytest.mark.parametrize("head", [1, 7, RING_BYTES + 8, 1 << 63])
def test_an_impossible_head_breaks_the_link(pair: Pair, head: int) -> None:
    struct.pack_into("<Q", pair.raw, CONTROL_OF_RING_0 + HEAD, head)
    with pytest.raises(LinkBroken):
        pair.shard.receive()


def test_an_impossible_tail_breaks_the_link(pair: Pair) -> None:
    struct.pack_into("<Q", pair.raw, CONTROL_OF_RING_0 + TAIL, 64)
    with pytest.raises(LinkBroken):
        pair.gateway.send(b"x")


def test_unknown_flags_break_the_link(pair: Pair) -> None:
    pair.gateway.send(b"12345678")
    struct.pack_into("<I", pair.raw, RING_0 + 4, 2)
    with pytest.raises(LinkBroken):
        pair.shard.receive()


def test_a_file_that_is_not_a_link_is_refused(tmp_path: Path, pair: Pair) -> None:
    other = tmp_path / "other"
    other.write_bytes(bytes(9000))
    with pytest.raises(LinkBroken):
        RingEnd(str(other), False, "shard", 0, 1, pair.bells[1])


def test_a_view_stays_readable_after_the_end_is_closed(pair: Pair) -> None:
    pair.gateway.send(b"still here")
    view = pair.shard.receive()
    pair.shard.close()
    pair.shard = None
    pair.gateway.close()
    assert bytes(view) == b"still here"


def test_a_received_batch_cannot_be_written_to(pair: Pair) -> None:
    pair.gateway.send(b"mine")
    assert pair.shard.receive().readonly


def test_the_doorbell_rings_only_for_a_sleeping_process_and_once(pair: Pair) -> None:
    pair.gateway.send(b"awake")
    assert not pair.rang(1)
    pair.bells[1].sleep()
    pair.gateway.send(b"asleep")
    pair.gateway.send(b"already rung")
    assert pair.rang(1)
    assert not pair.bells[1].sleeping


def test_a_producer_that_waits_for_room_is_rung_when_there_is_some(pair: Pair) -> None:
    for _ in range(20):
        pair.gateway.send(bytes(8000))
    assert pair.gateway.pending_bytes > 0
    assert not pair.gateway.can_pump()
    pair.bells[0].sleep()
    taken = 0
    while pair.shard.receive() is not None:
        taken += 1
    pair.shard.release()
    assert pair.rang(0)
    assert pair.gateway.can_pump()
    pair.gateway.pump()
    while pair.shard.receive() is not None:
        taken += 1
        pair.gateway.pump()
    assert taken == 20
    assert pair.gateway.pending_bytes == 0


@pytest.mark.parametrize("size", [1, 8, 30_000, 40_000, 200_000], ids=lambda size: f"{size} bytes")
def test_the_sender_knows_when_a_batch_is_given_back(pair: Pair, size: int) -> None:
    """Not before the receiver is done with it, in however many pieces it came."""
    assert pair.shard.shares_files
    pair.shard.send(b"before")
    pair.shard.send(bytes(size))
    behind = pair.shard.sent_position
    assert bytes(pair.gateway.receive()) == b"before"
    batch = None
    while batch is None:
        pair.shard.pump()
        batch = pair.gateway.receive()
    assert len(batch) == size
    assert pair.shard.returned_position < behind
    pair.gateway.release()
    assert pair.shard.returned_position == behind == pair.shard.sent_position


def test_closing_drops_what_is_pending(pair: Pair) -> None:
    pair.gateway.send(bytes(1_000_000))
    pair.gateway.close()
    assert pair.gateway.pending_bytes == 0


def test_a_ring_is_a_whole_number_of_pages(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="multiple"):
        create_link_file(str(tmp_path / "odd"), 5000)


def test_limits_for_compiled_code_are_the_same() -> None:
    text = Path(limits.__file__).with_name("limits.pxd").read_text("utf-8")
    stated = [line.split("=") for line in text.splitlines() if " = " in line]
    assert stated
    for name, value in stated:
        assert getattr(limits, name.strip()) == int(value)
