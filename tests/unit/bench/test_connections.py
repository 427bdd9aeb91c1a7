"""Producers and consumers as state machines: a broker is played by bytes, the clock by numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from amqp091.methods import (
    BasicAck,
    BasicCancel,
    BasicConsumeOk,
    BasicNack,
    BasicQosOk,
    ChannelClose,
    ChannelFlow,
    ConnectionBlocked,
    ConnectionClose,
    ConnectionUnblocked,
    encode,
)
from amqp091.renderer import render_deliver, render_return
from amqp091.scanner import read_frame, read_settle
from bench.perf.board import Board as SharedBoard
from bench.perf.core import board as phases
from bench.perf.core.board import Board
from bench.perf.core.consumer import Consumer
from bench.perf.core.producer import Producer
from bench.perf.core.verifier import Verifier
from bench.perf.errors import LoadError
from bench.perf.load import Load
from bench.perf.messages import template

FRAME_MAX = 131_072
RUN = 3
NS = 1_000_000_000
MADE = template(Load(), FRAME_MAX, RUN)


@pytest.fixture
def board() -> Iterator[SharedBoard]:
    made = SharedBoard(1)
    made.set_window(0, 0, 2**63)
    yield made
    made.close()


def producer(board: SharedBoard, **options: Any) -> Producer:
    made = Producer(
        Board(board.memory), "producer 0", -1, FRAME_MAX, MADE, 0, np.array([0], np.uint32), np.array([1], np.uint32),
        **options,
    )
    made.enter(phases.RUN, 1)
    return made


def consumer(board: SharedBoard, queues: int = 1, **options: Any) -> Consumer:
    shared = Board(board.memory)
    numbers = np.arange(queues, dtype=np.uint32)
    return Consumer(shared, "consumer 0", -1, FRAME_MAX, b"start", numbers, Verifier(shared, RUN, 2, queues, numbers),
                    **options)


def body(sequence: int, time_ns: int = 1_000, producer_number: int = 0) -> bytes:
    return MADE.message(0, time_ns, sequence, producer_number)[-101:-1]


def deliver(tag: int, sequence: int, consumer_tag: bytes = b"0", redelivered: bool = False, **stamp: int) -> bytes:
    return render_deliver(1, consumer_tag, tag, redelivered, b"", b"q", b"\0\0", body(sequence, **stamp), FRAME_MAX)


def settled(data: bytes) -> list[tuple[int, int, bool, bool]]:
    found = []
    while data:
        frame = read_frame(data)
        assert frame is not None
        found.append(read_settle(frame[3]))
        data = data[frame[0] :]
    return found


# -- producers


def test_a_window_holds_the_producer_until_confirms_come(board: SharedBoard) -> None:
    one = producer(board, window=3)
    one.filled(NS)
    assert (one.sequence, one.outstanding) == (3, 3)
    one.feed(encode(1, BasicAck(2, True)), NS + 500)
    one.filled(NS + 500)
    assert (one.sequence, one.outstanding) == (5, 3)
    assert board.counters(("published", "confirmed", "expected")) == {"published": 5, "confirmed": 2, "expected": 5}
    assert board.confirm_latency().count == 2 and board.confirm_latency().max_ns == 500


def test_confirms_in_any_order_and_one_that_is_wrong(board: SharedBoard) -> None:
    one = producer(board, window=4)
    one.filled(1)
    for tag, multiple in ((3, False), (1, False), (3, False), (4, True)):
        one.feed(encode(1, BasicAck(tag, multiple)), 2)
    assert board.counters(("confirmed", "bad_confirms")) == {"confirmed": 4, "bad_confirms": 1}
    with pytest.raises(LoadError, match="tag 9, but only 4"):
        one.feed(encode(1, BasicAck(9, False)), 2)


def test_a_nacked_message_is_not_expected(board: SharedBoard) -> None:
    one = producer(board, window=4)
    one.filled(1)
    one.feed(encode(1, BasicNack(2, True, False)), 2)
    assert board.counters(("nacked", "expected")) == {"nacked": 2, "expected": 2}


def test_a_rate_is_kept_and_starts_are_spread(board: SharedBoard) -> None:
    one = producer(board, rate=1000.0, offset_ns=500_000)
    one.filled(400_000)
    assert one.sequence == 0
    one.filled(500_000)
    assert one.sequence == 1
    one.filled(3_600_000)
    assert one.sequence == 4


def test_a_message_that_waited_for_the_broker_has_the_time_at_which_it_was_due(board: SharedBoard) -> None:
    one = producer(board, rate=1000.0, window=1)
    one.filled(1)
    one.filled(5_000_000)
    one.take_output()
    one.feed(encode(1, BasicAck(1, False)), 5_000_001)
    one.filled(5_000_002)
    assert int.from_bytes(one.take_output()[-101:-93], "little") == 1_000_000


@pytest.mark.parametrize(
    ("stop", "go"),
    [
        (encode(0, ConnectionBlocked("low on memory")), encode(0, ConnectionUnblocked())),
        (encode(1, ChannelFlow(False)), encode(1, ChannelFlow(True))),
    ],
    ids=["blocked", "flow"],
)
def test_the_broker_may_stop_a_producer(board: SharedBoard, stop: bytes, go: bytes) -> None:
    one = producer(board, quota=10)
    one.feed(stop, 1)
    one.filled(2)
    assert one.sequence == 0
    one.feed(go, 3)
    one.filled(4)
    assert one.sequence == 10
    assert board.counter("blocked_now") == 0


def test_filling_stops_where_the_output_is_long(board: SharedBoard) -> None:
    one = producer(board)
    assert one.filled(1)
    assert 64 << 10 <= len(one.take_output()) < (64 << 10) + 1000


def test_a_producer_is_done_when_the_broker_has_read_and_confirmed_everything(board: SharedBoard) -> None:
    one = producer(board, quota=2, window=10)
    assert not one.filled(1)
    one.feed(encode(1, BasicQosOk()), 2)
    assert not one.done
    one.feed(encode(1, BasicAck(2, True)), 3)
    assert one.done and board.counter("producers_done") == 1
    assert board.counters(("last_publish_ns", "last_confirm_ns")) == {"last_publish_ns": 2, "last_confirm_ns": 3}


def test_returned_messages_are_counted(board: SharedBoard) -> None:
    one = producer(board, quota=1)
    one.feed(render_return(1, 312, b"NO_ROUTE", b"", b"q", b"\0\0", b"body", FRAME_MAX), 1)
    assert board.counter("returned") == 1


# -- consumers


def test_deliveries_are_counted_timed_and_acknowledged_in_batches(board: SharedBoard) -> None:
    one = consumer(board, ack_every=3)
    one.enter(phases.CONSUME, 1)
    assert one.take_output() == b"start"
    one.feed(encode(1, BasicConsumeOk("0")), 1)
    for number in range(7):
        one.feed(deliver(number + 1, number), 5_000)
    assert settled(one.take_output()) == [(80, 3, True, False), (80, 6, True, False)]
    assert board.counters(("consuming", "delivered", "acknowledged")) == {
        "consuming": 1, "delivered": 7, "acknowledged": 6}
    assert board.latency().count == 7 and board.latency().max_ns == 4_000


def test_frames_that_come_in_pieces(board: SharedBoard) -> None:
    one = consumer(board, ack_every=0)
    data, left = b"".join(deliver(number + 1, number) for number in range(20)), b""
    for start in range(0, len(data), 13):
        left += data[start : start + 13]
        left = left[one.feed(left, 5_000) :]
    assert left == b"" and board.counter("delivered") == 20 and one.take_output() == b""
    assert board.counters(("duplicates", "out_of_order", "foreign")) == {
        "duplicates": 0, "out_of_order": 0, "foreign": 0}


def test_a_consumer_of_several_queues_tells_them_by_its_tags(board: SharedBoard) -> None:
    one = consumer(board, queues=2)
    one.feed(deliver(1, 0, b"0") + deliver(2, 0, b"1", producer_number=1), 1)
    assert board.counter("misrouted") == 0
    one.feed(deliver(3, 1, b"1"), 1)
    assert board.counter("misrouted") == 1
    for tag in (b"2", b"", b"x", b"9999999999"):
        with pytest.raises(LoadError, match="unknown consumer tag"):
            one.feed(deliver(4, 2, tag), 1)


# -- what a broker must not do


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (encode(1, ChannelClose(404, "NOT_FOUND - no queue 'q'", 60, 20)),
         r"consumer 0: the broker closed the channel: 404 NOT_FOUND - no queue 'q' \(basic.consume\)"),
        (encode(0, ConnectionClose(320, "CONNECTION_FORCED - bye", 0, 0)), "closed the connection: 320 .*no method"),
        (encode(1, BasicCancel("0", True)), "cancelled a consumer"),
        (b"\x07garbage", "no frame"),
        (b"\x01\x00\x01\x00\x00\x00\x02ab\xce", "without a method"),
        (b"\x03\x00\x01\x00\x00\x00\x01x\xce", "content body where none belongs"),
        (b"\x02\x00\x01\x00\x00\x00\x0e" + bytes(14) + b"\xce", "content header where none belongs"),
        (b"\x01\x00\x01\x00\x00\x00\x06\x00\x3c\x00\x3c\x05x\xce", "basic.deliver that is too short"),
        (b"\x01\x00\x01\x00\x00\x00\x04\x00\x3c\x00\x3c\xce", "basic.deliver that is too short"),
        (b"\x01\x00\x01\x7f\xff\xff\xff\x00\x3c", "no frame"),
    ],
)
def test_what_ends_a_run_is_told_in_words(board: SharedBoard, data: bytes, said: str) -> None:
    with pytest.raises(LoadError, match=said):
        consumer(board).feed(data, 1)


def test_a_body_longer_than_announced(board: SharedBoard) -> None:
    data = deliver(1, 0)
    longer = data[:-108] + b"\x03\x00\x01\x00\x00\x00\x65" + b"x" * 101 + b"\xce"
    with pytest.raises(LoadError, match="content body where none belongs"):
        consumer(board).feed(longer, 1)


def test_a_confirm_of_the_wrong_length(board: SharedBoard) -> None:
    with pytest.raises(LoadError, match="confirm of the wrong length"):
        producer(board, window=1).feed(b"\x01\x00\x01\x00\x00\x00\x05\x00\x3c\x00\x50\x01\xce", 1)


def test_a_board_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="worker 1"):
        board = SharedBoard(1)
        try:
            Board(board.memory, 1)
        finally:
            board.close()
