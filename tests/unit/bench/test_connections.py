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
    BasicGetEmpty,
    BasicNack,
    BasicPublish,
    BasicQosOk,
    ChannelClose,
    ChannelFlow,
    ConnectionBlocked,
    ConnectionClose,
    ConnectionUnblocked,
    encode,
)
from amqp091.methods import (
    decode as decode_method,
)
from amqp091.properties import Properties, decode
from amqp091.properties import encode as encode_properties
from amqp091.renderer import render_deliver, render_get_ok, render_return
from amqp091.scanner import read_frame, read_settle
from bench.perf.board import Board as SharedBoard
from bench.perf.core import board as phases
from bench.perf.core.board import Board
from bench.perf.core.consumer import Consumer
from bench.perf.core.poller import Poller
from bench.perf.core.producer import Producer
from bench.perf.core.requester import Requester
from bench.perf.core.responder import Responder
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


def test_a_slow_consumer_says_when_it_wants_more(board: SharedBoard) -> None:
    """What the loop makes of it is seen with a broker (tests/commands/test_perf.py)."""
    one = consumer(board, ack_every=1, rate=1000.0)
    one.enter(phases.CONSUME, 1)
    one.take_output()
    one.feed(deliver(1, 0) + deliver(2, 1), 5_000)
    assert len(settled(one.take_output())) == 2 and one.resume_ns == 2_005_000
    one.feed(deliver(3, 2), 9_000_000)
    assert one.resume_ns == 10_000_000
    one.enter(phases.STOP, 10_000_000)
    assert one.resume_ns == 0, "what is left is not measured"


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


# -- pollers


def poller(board: SharedBoard, queues: int = 1, **options: Any) -> Poller:
    shared = Board(board.memory)
    numbers = np.arange(queues, dtype=np.uint32)
    made = Poller(shared, "consumer 0", -1, FRAME_MAX, b"not sent", numbers, Verifier(shared, RUN, 2, queues, numbers),
                  questions=[b"get %d" % queue for queue in range(queues)], **options)
    made.enter(phases.CONSUME, 1)
    made.enter(phases.RUN, 1)
    return made


def said(one: Poller, now_ns: int) -> bytes:
    one.filled(now_ns)
    return one.take_output()


def got(tag: int, sequence: int) -> bytes:
    return render_get_ok(1, tag, False, b"", b"q", 0, b"\0\0", body(sequence), FRAME_MAX)


def test_a_poller_asks_its_queues_in_turn_one_question_at_a_time(board: SharedBoard) -> None:
    one = poller(board, queues=2, ack_every=2)
    assert said(one, 1_000) == b"get 1" and said(one, 1_100) == b""
    one.feed(encode(1, BasicGetEmpty()), 3_000)
    assert said(one, 4_000) == b"get 0"
    one.feed(got(1, 0), 9_000)
    assert said(one, 9_000) == b"get 1"
    assert board.counters(("consuming", "replied", "empty", "delivered", "acknowledged")) == {
        "consuming": 2, "replied": 2, "empty": 1, "delivered": 1, "acknowledged": 0}
    assert board.reply_latency().count == 2 and board.reply_latency().max_ns == 5_000


def test_a_poller_waits_for_its_interval(board: SharedBoard) -> None:
    one = poller(board, interval_ns=1_000)
    assert said(one, 5_000) == b"get 0"
    one.feed(encode(1, BasicGetEmpty()), 5_100)
    assert said(one, 5_900) == b"" and said(one, 6_000) == b"get 0"


# -- clients and servers


def requester(board: SharedBoard, window: int = 1, **options: Any) -> Requester:
    made = Requester(
        Board(board.memory), "producer 0", -1, FRAME_MAX, MADE, 0, np.array([0], np.uint32), np.array([1], np.uint32),
        window=window, start=b"consume", **options,
    )
    made.enter(phases.CONSUME, 1)
    assert made.take_output() == b"consume"
    made.enter(phases.RUN, 1)
    return made


def test_a_requester_waits_for_its_answers(board: SharedBoard) -> None:
    one = requester(board, window=2, quota=3)
    one.feed(encode(1, BasicConsumeOk("0")), 1)
    one.filled(1_000)
    assert (one.sequence, one.outstanding, board.counter("consuming")) == (2, 2, 1)
    one.feed(deliver(1, 1), 4_000)
    one.filled(5_000)
    assert (one.sequence, one.outstanding) == (3, 2)
    one.feed(encode(1, BasicQosOk()) + deliver(2, 0) + deliver(3, 2), 6_000)
    assert one.done and board.counters(("replied", "confirmed", "delivered")) == {
        "replied": 3, "confirmed": 0, "delivered": 0}
    assert board.reply_latency().count == 3 and board.reply_latency().max_ns == 5_000


def test_answers_of_others_and_answers_that_come_twice(board: SharedBoard) -> None:
    one = requester(board, window=2)
    one.filled(1_000)
    one.feed(deliver(1, 0, producer_number=1) + deliver(2, 7) + deliver(3, 0) + deliver(4, 0), 2_000)
    assert board.counters(("replied", "foreign", "bad_confirms")) == {"replied": 1, "foreign": 2, "bad_confirms": 1}


@pytest.mark.parametrize(
    "properties",
    [
        Properties(reply_to="me", correlation_id="c" * 255),
        Properties(reply_to="me", correlation_id="", content_type="a/b", content_encoding="x", headers={"a": {"b": 1}},
                   delivery_mode=2, priority=3, app_id="z"),
        Properties(reply_to="me"),
    ],
)
def test_a_responder_answers_with_the_correlation_id_and_then_acknowledges(
    board: SharedBoard, properties: Properties
) -> None:
    shared, numbers = Board(board.memory), np.array([0], np.uint32)
    verifier = Verifier(shared, RUN, 2, 1, numbers)
    one = Responder(shared, "consumer 0", -1, 4096, b"start", numbers, verifier, 1, size=100)
    one.feed(render_deliver(1, b"0", 9, False, b"", b"q", encode_properties(properties), body(5), 4096), 2_000)
    data, frames = one.take_output(), []
    while data:
        frame = read_frame(data)
        assert frame is not None
        frames.append(frame[3])
        data = data[frame[0] :]
    publish, header, answer, ack = frames
    assert decode_method(60, 40, publish[4:]) == BasicPublish(0, "", "me", False, False)
    assert decode(header[12:]) == Properties(correlation_id=properties.correlation_id)
    assert int.from_bytes(header[4:12], "big") == 100 and answer == body(5)
    assert read_settle(ack)[1] == 9 and board.counter("delivered") == 1


def test_who_wants_no_answer_has_none(board: SharedBoard) -> None:
    shared, numbers = Board(board.memory), np.array([0], np.uint32)
    one = Responder(shared, "consumer 0", -1, 4096, b"start", numbers, None, 0, size=24)
    one.feed(deliver(1, 0), 1)
    assert one.take_output() == b"" and board.counter("delivered") == 1


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


def test_a_get_ok_that_is_too_short(board: SharedBoard) -> None:
    with pytest.raises(LoadError, match="get-ok that is too short"):
        poller(board).feed(b"\x01\x00\x01\x00\x00\x00\x0c\x00\x3c\x00\x47" + bytes(8) + b"\xce", 1)


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
