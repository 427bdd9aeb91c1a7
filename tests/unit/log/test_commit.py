"""Group commit: the cycle without threads, then the threads with a loop."""
from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from typing import Any

import pytest

from log import access
from log.access import StoredMessage
from log.commit import CommitCycle, CommitTicket, GroupCommit
from log.disk import Disk

from .conftest import OpenStore


class Source:
    """Counts what was appended and reported."""

    def __init__(self) -> None:
        self.appended = 0
        self.taken = 0
        self.durable: list[int] = []

    def sync_target(self) -> CommitTicket | None:
        if self.appended == self.taken:
            return None
        self.taken = self.appended
        return CommitTicket(self.appended, [])

    def committed(self, position: int) -> None:
        self.durable.append(position)


def test_nothing_appended_nothing_to_commit() -> None:
    assert CommitCycle(Source()).request() is None


def test_what_is_appended_during_a_commit_waits_for_the_next() -> None:
    source = Source()
    cycle = CommitCycle(source)
    source.appended = 10
    first = cycle.request()
    assert first is not None and first.position == 10
    source.appended = 20
    assert cycle.request() is None
    source.appended = 30
    assert cycle.request() is None
    assert cycle.finished() == 10
    second = cycle.request()
    assert second is not None and second.position == 30
    assert cycle.finished() == 30
    assert cycle.request() is None
    assert source.durable == [10, 30]


def test_after_a_failure_nothing_is_reported_durable() -> None:
    source = Source()
    cycle = CommitCycle(source)
    source.appended = 10
    cycle.request()
    cycle.failed(OSError(errno.EIO, "Input/output error"))
    source.appended = 20
    assert cycle.request() is None
    assert source.durable == []


def test_a_file_that_cannot_be_written_is_a_failure_too() -> None:
    class Unwritable(Source):
        has_chores = False

        def sync_target(self) -> CommitTicket | None:
            raise OSError(errno.EIO, "Input/output error")

        def take_chores(self) -> list[Any]:
            return []

    async def run() -> list[OSError]:
        failures: list[OSError] = []
        commit = GroupCommit(
            Unwritable(), asyncio.get_running_loop(), on_durable=pytest.fail, on_failure=failures.append)
        commit.request()
        commit.request()
        return failures

    assert len(asyncio.run(run())) == 1


def test_finishing_without_a_ticket_is_a_mistake_of_ours() -> None:
    with pytest.raises(RuntimeError):
        CommitCycle(Source()).finished()


def test_a_loop_learns_what_is_durable(open_store: OpenStore, message: Callable[..., StoredMessage]) -> None:
    async def run() -> list[int]:
        store = open_store()
        reported: list[int] = []
        done = asyncio.Event()

        def on_durable(position: int) -> None:
            reported.append(position)
            if position == store.appended_position:
                done.set()

        commit = GroupCommit(store, asyncio.get_running_loop(), on_durable=on_durable, on_failure=pytest.fail)
        commit.start()
        for n in range(1, 200):
            access.append(store, True, message(b"x" * 3000), [1], [n])
            commit.request()
            await asyncio.sleep(0)
        await asyncio.wait_for(done.wait(), 10)
        commit.close()
        assert store.durable_position == store.appended_position
        store.close()
        return reported

    reported = asyncio.run(run())
    assert reported == sorted(set(reported))
    assert open_store().recover()[1]["number"].tolist() == list(range(1, 200))


class FailingDisk(Disk):
    """Fails the second synchronisation, and remembers how often it was asked."""

    asked = 0

    def synchronise(self, descriptor: int) -> None:
        self.asked += 1
        if self.asked >= 2:
            raise OSError(errno.EIO, "Input/output error")


def test_a_failed_synchronisation_is_reported_once_and_never_repeated(
        open_store: OpenStore, message: Callable[..., StoredMessage]) -> None:
    async def run() -> None:
        disk = FailingDisk()
        store = open_store(disk=disk)
        reported: list[int] = []
        failures: list[OSError] = []
        commit = GroupCommit(store, asyncio.get_running_loop(), on_durable=reported.append, on_failure=failures.append)
        commit.start()
        access.append(store, True, message(), [1], [1])
        commit.request()
        while not reported:
            await asyncio.sleep(0)
        access.append(store, True, message(), [1], [2])
        commit.request()
        while not failures:
            await asyncio.sleep(0)
        access.append(store, True, message(), [1], [3])
        commit.request()
        commit.close()
        assert len(reported) == len(failures) == 1
        assert disk.asked == 2

    asyncio.run(asyncio.wait_for(run(), 10))


class Broken(Source):
    """Its ticket and its chore fail in ways that no disk does."""

    has_chores = False

    def __init__(self, ticket: bool = False, chore: bool = False) -> None:
        super().__init__()
        self.ticket, self.has_chores = ticket, chore

    def sync_target(self) -> CommitTicket | None:
        found = super().sync_target()
        if found is not None and self.ticket:
            found.segments = [None, None]   # type: ignore[list-item]
        return found

    def take_chores(self) -> list[Any]:
        self.has_chores = False
        return [object()]


@pytest.mark.parametrize("source", [Broken(ticket=True), Broken(chore=True)], ids=["ticket", "chore"])
def test_a_mistake_in_a_thread_ends_the_process_too(source: Broken) -> None:
    async def run() -> list[Exception]:
        failures: list[Exception] = []
        commit = GroupCommit(source, asyncio.get_running_loop(), on_durable=lambda _: None, on_failure=failures.append)
        source.appended = 10
        commit.start()
        while not failures:
            await asyncio.sleep(0)
        commit.close()
        return failures

    assert [type(error) for error in asyncio.run(asyncio.wait_for(run(), 10))] == [AttributeError]


def test_a_mistake_in_what_a_commit_lets_go_ends_the_process() -> None:
    async def run() -> list[Exception]:
        failures: list[Exception] = []
        source = Broken()

        def on_durable(position: int) -> None:
            raise ValueError(position)

        commit = GroupCommit(source, asyncio.get_running_loop(), on_durable=on_durable, on_failure=failures.append)
        source.appended = 10
        commit.start()
        while not failures:
            await asyncio.sleep(0)
        source.appended = 20
        commit.request()
        commit.close()
        assert source.durable == [10]
        return failures

    assert [type(error) for error in asyncio.run(asyncio.wait_for(run(), 10))] == [ValueError]


def test_sealing_does_not_take_the_news_of_a_failed_write_from_the_sync_thread(open_store: OpenStore) -> None:
    """The kernel tells of a failed write once for each description of a file."""
    class Noting(Disk):
        def __init__(self) -> None:
            self.synchronised: list[tuple[int, str]] = []

        def synchronise(self, descriptor: int) -> None:
            self.synchronised.append((descriptor, os.readlink(f"/proc/self/fd/{descriptor}")))
            super().synchronise(descriptor)

    disk = Noting()
    store = open_store(disk=disk)
    access.append_many(store, True, b"x" * 1000, 1, 1, 100)
    ticket = store.sync_target()
    assert ticket is not None
    ticket.synchronise()
    own = {descriptor for descriptor, path in disk.synchronised if path.endswith(".data")}
    disk.synchronised.clear()
    for chore in store.take_chores():
        chore.run()
    sealing = {descriptor for descriptor, path in disk.synchronised if path.endswith(".data")}
    assert own and sealing and not own & sealing
