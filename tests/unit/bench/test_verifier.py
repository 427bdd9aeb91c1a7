"""What the verifier counts: each fault of a broker as what it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from bench.perf.board import Board as SharedBoard
from bench.perf.core.board import Board
from bench.perf.core.verifier import Verifier

RUN = 77
FAULTS = ("duplicates", "out_of_order", "misrouted", "foreign")
Deliver = Callable[..., None]


@pytest.fixture
def board() -> Iterator[SharedBoard]:
    made = SharedBoard(1)
    yield made
    made.close()


@pytest.fixture
def deliver(board: SharedBoard) -> Deliver:
    """Two producers, each with a queue of its own; one consumer for both queues."""
    verifier = Verifier(Board(board.memory), RUN, 2, 2, np.array([0, 1], np.uint32))
    last = np.zeros((2, 2), np.uint64)

    def deliver_one(
        queue: int, producer: int, sequence: int, redelivered: bool = False, run: int | None = None
    ) -> None:
        verifier.deliver(queue, producer, sequence, last[queue], redelivered, run)

    return deliver_one


def faults(board: SharedBoard) -> dict[str, int]:
    return {name: count for name in FAULTS if (count := board.counter(name))}


def test_messages_in_order_are_no_fault(board: SharedBoard, deliver: Deliver) -> None:
    for sequence in range(100):
        deliver(0, 0, sequence)
        deliver(1, 1, sequence)
    assert faults(board) == {}


def test_the_same_message_twice(board: SharedBoard, deliver: Deliver) -> None:
    for sequence in (0, 1, 2, 1):
        deliver(0, 0, sequence)
    assert faults(board) == {"duplicates": 1}


def test_a_redelivered_message_that_came_before_is_a_duplicate_all_the_same(
    board: SharedBoard, deliver: Deliver
) -> None:
    deliver(0, 0, 0)
    deliver(0, 0, 0, redelivered=True)
    assert faults(board) == {"duplicates": 1}


def test_a_message_behind_a_later_one(board: SharedBoard, deliver: Deliver) -> None:
    for sequence in (0, 2, 1, 3):
        deliver(0, 0, sequence)
    assert faults(board) == {"out_of_order": 1}


def test_a_redelivered_message_may_come_late(board: SharedBoard, deliver: Deliver) -> None:
    deliver(0, 0, 1)
    deliver(0, 0, 0, redelivered=True)
    assert faults(board) == {}


def test_a_message_on_the_wrong_queue(board: SharedBoard, deliver: Deliver) -> None:
    deliver(1, 0, 0)
    assert faults(board) == {"misrouted": 1}


@pytest.mark.parametrize(
    ("producer", "sequence", "run"), [(0, 0, RUN + 1), (2, 0, RUN), (2**32 - 1, 0, RUN), (0, 2**63, RUN)]
)
def test_a_message_of_somebody_else(
    board: SharedBoard, deliver: Deliver, producer: int, sequence: int, run: int
) -> None:
    deliver(0, producer, sequence, run=run)
    assert faults(board) == {"foreign": 1}


def test_a_drain_takes_any_run_and_still_sees_duplicates(board: SharedBoard) -> None:
    verifier = Verifier(Board(board.memory), RUN, 8, 1, np.array([0], np.uint32), any_run=True)
    last = np.zeros(8, np.uint64)
    for sequence in (5, 6, 9, 9):
        verifier.deliver(0, 3, sequence, last, run=1)
    assert faults(board) == {"duplicates": 1}
