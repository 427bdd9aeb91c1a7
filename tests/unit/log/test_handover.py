"""Files go to the sync thread one by one, and what the disk says comes back."""
import errno
import os
import select
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from log.handover import ASK_PYTHON, SyncHandover

WAIT_S = 10.0


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.write(descriptor, b"data")
    yield descriptor
    os.close(descriptor)


def serving(handover: SyncHandover, turns: list[bool]) -> threading.Thread:
    """The thread; `turns` has what each call of serve returned."""

    def run() -> None:
        while True:
            turns.append(handover.serve())
            if not turns[-1]:
                return
            handover.finish()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def taken(handover: SyncHandover) -> int:
    assert select.select([handover.finished_descriptor], [], [], WAIT_S)[0]
    return handover.take()


def test_a_file_is_synchronised_and_the_next_after_it(file: int) -> None:
    handover, turns = SyncHandover(), list[bool]()
    thread = serving(handover, turns)
    for _ in range(3):
        handover.ask(file)
        assert taken(handover) == 0
        assert not select.select([handover.finished_descriptor], [], [], 0)[0]
    handover.end()
    thread.join(WAIT_S)
    assert turns == [False]


def test_what_the_disk_fails_with_is_told() -> None:
    handover = SyncHandover()
    thread = serving(handover, [])
    reading, writing = os.pipe()
    handover.ask(writing)               # a pipe is on no disk
    assert taken(handover) == errno.EINVAL
    handover.end()
    thread.join(WAIT_S)
    os.close(reading)
    os.close(writing)


def test_what_is_more_than_one_file_is_left_to_python(file: int) -> None:
    handover, turns = SyncHandover(), list[bool]()
    thread = serving(handover, turns)
    handover.ask(ASK_PYTHON)
    assert taken(handover) == 0
    handover.ask(file)
    assert taken(handover) == 0
    handover.end()
    thread.join(WAIT_S)
    assert turns == [True, False]


def test_what_was_asked_for_before_the_end_is_still_done(file: int) -> None:
    for asked in (file, ASK_PYTHON):
        handover, turns = SyncHandover(), list[bool]()
        handover.ask(asked)
        handover.end()
        thread = serving(handover, turns)
        thread.join(WAIT_S)
        assert taken(handover) == 0
        assert turns[-1] is False
