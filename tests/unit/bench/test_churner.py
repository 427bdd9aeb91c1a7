"""A churner as a state machine: it follows its script, and a cycle is timed from its first word to its last answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from amqp091.constants import CHANNEL_CLOSE_OK, CHANNEL_OPEN_OK, QUEUE_DECLARE_OK, QUEUE_DELETE_OK
from amqp091.methods import ChannelCloseOk, ChannelOpenOk, QueueDeclareOk, QueueDeleteOk, encode
from bench.perf.board import Board as SharedBoard
from bench.perf.core import board as phases
from bench.perf.core.board import Board
from bench.perf.core.churner import Churner

SCRIPT = [(b"open", CHANNEL_OPEN_OK), (b"close", CHANNEL_CLOSE_OK)]
ANSWERS = [encode(2, ChannelOpenOk()), encode(2, ChannelCloseOk())]


@pytest.fixture
def board() -> Iterator[SharedBoard]:
    made = SharedBoard(1)
    made.set_window(0, 0, 2**63)
    yield made
    made.close()


def say(churner: Churner, now_ns: int) -> bytes:
    churner.filled(now_ns)
    return churner.take_output()


def test_a_cycle_is_said_answered_and_timed(board: SharedBoard) -> None:
    churner = Churner(Board(board.memory), "churner", 0, 4096, SCRIPT, 2)
    assert say(churner, 1) == b"", "nothing before its phase"
    churner.enter(phases.RUN, 1)
    assert say(churner, 1_000) == b"open" and say(churner, 1_100) == b""
    churner.feed(ANSWERS[1], 1_200)
    assert say(churner, 1_300) == b"", "that was no answer to this"
    churner.feed(ANSWERS[0], 2_000)
    assert say(churner, 2_000) == b"close"
    churner.feed(ANSWERS[1], 5_000)
    assert board.counters(("cycles", "last_cycle_ns")) == {"cycles": 1, "last_cycle_ns": 5_000}
    assert board.latency().count == 1 and board.latency().max_ns == 4_000
    assert say(churner, 6_000) == b"open"


def test_a_cycle_that_was_begun_is_brought_to_its_end(board: SharedBoard) -> None:
    churner = Churner(Board(board.memory), "churner", 0, 4096, SCRIPT, 2)
    churner.enter(phases.RUN, 1)
    say(churner, 1)
    churner.enter(phases.STOP, 2)
    churner.feed(ANSWERS[0], 3)
    assert say(churner, 3) == b"close" and board.counter("producers_done") == 0
    churner.feed(ANSWERS[1], 4)
    assert say(churner, 5) == b"" and board.counter("producers_done") == 1


def test_a_script_of_several_cycles_and_a_quota(board: SharedBoard) -> None:
    script = [(b"1", QUEUE_DECLARE_OK), (b"2", QUEUE_DELETE_OK), (b"3", QUEUE_DECLARE_OK), (b"4", QUEUE_DELETE_OK)]
    churner = Churner(Board(board.memory), "churner", 0, 4096, script, 2, 3)
    churner.enter(phases.RUN, 1)
    said = b""
    for _ in range(4):
        for answer in (encode(1, QueueDeclareOk("q")), encode(1, QueueDeleteOk())):
            said += say(churner, 1)
            churner.feed(answer, 2)
    assert said == b"123412" and board.counter("cycles") == 3 and board.counter("producers_done") == 1


@pytest.mark.parametrize("cycle_steps", [0, 3])
def test_a_script_is_whole_cycles(board: SharedBoard, cycle_steps: int) -> None:
    with pytest.raises(ValueError, match="cycle"):
        Churner(Board(board.memory), "churner", 0, 4096, SCRIPT, cycle_steps)
