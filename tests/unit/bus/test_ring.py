"""The ring itself: what it does with positions and lengths that make no sense, and when it rings."""
from __future__ import annotations

import itertools
import mmap
import os
import random
import signal
import struct
import time
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
SIZES = (1, 2, 100, 1500, 4095, 4096, 7, 9000, 20_000, 3)     # words of 8 bytes: up to several times the ring


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


def test_an_impossible_tail_breaks_the_link_in_its_own_turn(pair: Pair) -> None:
    """Whoever sends may be in the middle of another link's batch."""
    told = []
    pair.gateway.on_broken = lambda: told.append(True)
    struct.pack_into("<Q", pair.raw, CONTROL_OF_RING_0 + TAIL, 64)
    assert [pair.gateway.send(b"x"), pair.gateway.send(b"y")] == [1, 2]
    assert told == [True]
    struct.pack_into("<Q", pair.raw, CONTROL_OF_RING_0 + TAIL, 0)       # too late: something is missing
    assert pair.gateway.can_pump() and not pair.gateway.lay(b"12345678")
    with pytest.raises(LinkBroken):
        pair.gateway.pump()
    assert pair.shard.receive() is None


@pytest.mark.parametrize("tail", [64, RING_BYTES, 1 << 63, (1 << 64) - 8])
def test_an_impossible_tail_gives_nothing_back(pair: Pair, tail: int) -> None:
    """What was lent with a batch would be written over while the other side reads it."""
    pair.gateway.send(b"12345678")
    pair.shard.receive()
    pair.shard.release()
    assert pair.gateway.returned_position == pair.gateway.sent_position == 16
    struct.pack_into("<Q", pair.raw, CONTROL_OF_RING_0 + TAIL, tail)
    assert pair.gateway.returned_position == 0


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


def test_a_batch_may_be_written_where_it_will_lie(pair: Pair) -> None:
    """Nobody sees it before it is handed over; what is sent otherwise comes behind it, under the next number."""
    pair.bells[1].sleep()
    assert pair.gateway.lay(b"12345678") and pair.gateway.lay(b"abcdefgh" * 1000)
    assert pair.shard.receive() is None and not pair.rang(1)
    assert pair.gateway.next_batch_number == 1
    assert pair.gateway.send(b"behind") == 2
    assert pair.rang(1)
    assert bytes(pair.shard.receive()) == b"12345678" + b"abcdefgh" * 1000
    assert bytes(pair.shard.receive()) == b"behind"
    pair.shard.release()
    assert pair.gateway.sent_position == pair.gateway.returned_position
    pair.gateway.commit()
    assert pair.shard.receive() is None


def test_batches_written_in_place_go_round_the_ring(pair: Pair) -> None:
    for number in range(200):
        batch = bytes([number]) * (8 * (1 + number * 37 % 1500))
        assert pair.gateway.lay(batch[: len(batch) // 2 & ~7] or batch)
        assert pair.gateway.lay(batch[len(batch) // 2 & ~7 :]) if len(batch) > 8 else True
        pair.gateway.commit()
        assert bytes(pair.shard.receive()) == batch
    pair.shard.release()
    assert pair.gateway.sent_position == pair.gateway.returned_position


def test_there_is_no_room_in_place_for_more_than_half_a_ring_nor_before_what_waits(pair: Pair) -> None:
    half = RING_BYTES // 2 - 8
    assert not pair.gateway.lay(bytes(half + 8))
    assert pair.gateway.lay(bytes(half - 8)) and pair.gateway.lay(bytes(8)) and not pair.gateway.lay(bytes(8))
    pair.gateway.commit()
    assert pair.gateway.lay(bytes(half - 8)) and not pair.gateway.lay(bytes(16))
    pair.gateway.commit()
    pair.gateway.send(bytes(100))
    assert pair.gateway.pending_bytes
    while pair.shard.receive() is not None:
        pass
    pair.shard.release()
    assert not pair.gateway.lay(bytes(8)), "it would overtake"
    pair.gateway.pump()
    assert pair.gateway.lay(bytes(8))


def test_what_was_not_handed_over_goes_with_a_closed_end(pair: Pair) -> None:
    assert pair.gateway.lay(bytes(8))
    pair.gateway.close()
    pair.gateway.commit()
    assert not pair.gateway.lay(bytes(8))
    assert pair.shard.receive() is None


@pytest.mark.parametrize("tail", [64, 1 << 63])
def test_nothing_is_written_in_place_where_positions_are_impossible(pair: Pair, tail: int) -> None:
    struct.pack_into("<Q", pair.raw, CONTROL_OF_RING_0 + TAIL, tail)
    assert not pair.gateway.lay(bytes(8))


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


def produce(end: RingEnd) -> None:
    """Numbered batches of many sizes, by every way into the ring, without end."""
    for number in itertools.count():
        batch = struct.pack("<Q", number) * SIZES[number % len(SIZES)]
        if number % 2:
            end.send(batch)
        else:
            for piece in (batch[:len(batch) // 2 & ~7], batch[len(batch) // 2 & ~7:]):
                if piece and not end.lay(piece):
                    end.commit()
                    end.send(piece)
            end.commit()
        while end.pending_bytes:
            end.pump()


@pytest.mark.parametrize("seed", range(12))
def test_a_producer_that_is_killed_at_any_instant_leaves_nothing_but_whole_batches(pair: Pair, seed: int) -> None:
    rng = random.Random(seed)
    left = rng.randrange(40)
    producer = os.fork()
    if producer == 0:
        try:
            produce(pair.gateway)
        finally:
            os._exit(1)
    words: list[int] = []
    try:
        deadline = time.monotonic() + 10
        while left and time.monotonic() < deadline:
            view = pair.shard.receive()
            if view is not None:
                left -= 1
                words += memoryview(view).cast("Q")
        time.sleep(rng.random() / 500)
    finally:
        os.kill(producer, signal.SIGKILL)
        os.waitpid(producer, 0)
    while (view := pair.shard.receive()) is not None:
        words += memoryview(view).cast("Q")
    assert left == 0
    counts = [(number, len(list(run))) for number, run in itertools.groupby(words)]
    assert [number for number, _ in counts] == list(range(len(counts)))
    assert [count for number, count in counts[:-1]] == [SIZES[number % len(SIZES)] for number, _ in counts[:-1]]
