"""Appending, reading, acknowledging: one process, no restart."""
from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from log import access
from log.access import StoredMessage
from log.disk import Disk

from .conftest import SEGMENT_BYTES, OpenStore, commit, run_chores

Make = Callable[..., StoredMessage]


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 4095, 4096, 60_000, 300_000, 1_000_003])
def test_what_was_appended_is_read(open_store: OpenStore, message: Make, durable: bool, length: int) -> None:
    store = open_store()
    sent = message(bytes(range(256)) * (length // 256) + bytes(length % 256), priority=9, persistent=durable,
                   ttl_ms=0, received_at_ms=12345)
    entries = access.append(store, durable, sent, [7], [1])
    assert access.read(store, entries[0]) == sent
    assert entries["number"].tolist() == [1]
    assert entries["priority"].tolist() == [9]


def test_one_record_serves_all_queues_of_a_message(open_store: OpenStore, message: Make) -> None:
    store = open_store()
    before = store.appended_position
    entries = access.append(store, True, message(b"x" * 1000), range(1, 11), range(21, 31))
    assert store.appended_position - before < 1000 + 10 * 16 + 100
    assert entries["number"].tolist() == list(range(21, 31))
    assert len(set(entries["slot"].tolist())) == 10
    for entry in entries:
        assert access.read(store, entry) == message(b"x" * 1000)
        access.acked(store, entry)
    assert store.live_entries == 0


def test_a_message_larger_than_a_segment_gets_one_of_its_own_size(open_store: OpenStore, message: Make) -> None:
    store = open_store()
    first = access.append(store, True, message(b"small"), [1], [1])[0]
    large = access.append(store, True, message(b"L" * (3 * SEGMENT_BYTES)), [1], [2])[0]
    after = access.append(store, True, message(b"after" * 1000), [1], [3])[0]
    assert len({first["segment"], large["segment"], after["segment"]}) == 3
    assert [access.read(store, e).body[:1] for e in (first, large, after)] == [b"s", b"L", b"a"]


def test_more_queues_than_a_segment_has_slots(open_store: OpenStore, message: Make) -> None:
    store = open_store()
    count = SEGMENT_BYTES // 8
    entries = access.append(store, True, message(), range(1, count + 1), [1] * count)
    assert access.read(store, entries[-1]) == message()


def test_a_full_segment_is_followed_by_the_prepared_one(open_store: OpenStore) -> None:
    store = open_store()
    entries = access.append_many(store, True, b"x" * 1000, 1, 1, 300)
    run_chores(store)
    entries = np.concatenate((entries, access.append_many(store, True, b"y" * 1000, 1, 301, 100)))
    assert len(set(entries["segment"].tolist())) > 4
    assert access.read_many(store, entries) == 400_000


@pytest.mark.parametrize("durable", [True, False])
def test_a_segment_whose_entries_are_all_acknowledged_is_removed(open_store: OpenStore, durable: bool) -> None:
    store = open_store()
    entries = access.append_many(store, durable, b"x" * 1000, 1, 1, 300)
    commit(store)
    run_chores(store)
    segments = store.statistics()["segments"]
    access.ack_many(store, entries)
    run_chores(store)
    assert store.statistics()["segments"] == 1 < segments
    directory = open_store.durable if durable else open_store.transient
    assert len(list(directory.glob("*.data"))) <= 2      # the tail, and one that is ready to be the next
    again = access.append_many(store, durable, b"z" * 1000, 1, 301, 300)
    assert access.read(store, again[299]).body == b"z" * 1000


def test_an_acknowledgement_counts_once(open_store: OpenStore, message: Make) -> None:
    store = open_store()
    first = access.append(store, True, message(), [1], [1])[0]
    access.append(store, True, message(), [1], [2])
    access.acked(store, first)
    access.acked(store, first)
    assert store.live_entries == 1


def test_forget_acknowledges_many(open_store: OpenStore) -> None:
    store = open_store()
    entries = access.append_many(store, True, b"x" * 1000, 1, 1, 300)
    store.forget(entries[:200])
    assert store.live_entries == 100
    store.forget(entries[:0])
    store.forget(entries)
    assert store.live_entries == 0


def test_only_durable_messages_move_the_position(open_store: OpenStore, message: Make) -> None:
    store = open_store()
    access.append(store, False, message(), [1], [1])
    assert store.appended_position == 0
    assert store.sync_target() is None
    access.append(store, True, message(), [1], [2])
    ticket = store.sync_target()
    assert ticket is not None and ticket.position == store.appended_position > 0
    assert store.sync_target() is None


@pytest.mark.parametrize("segment_bytes", [0, 100, 1 << 40])
def test_a_size_of_segments_that_the_format_cannot_hold_is_refused(open_store: OpenStore, segment_bytes: int) -> None:
    with pytest.raises(ValueError, match="segment_bytes"):
        open_store(segment_bytes=segment_bytes)


class FullDisk(Disk):
    """Has room until `full` is set."""

    full = False

    def allocate(self, descriptor: int, offset: int, size: int) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().allocate(descriptor, offset, size)


def test_a_full_disk_is_an_error_of_the_append_that_changes_nothing(open_store: OpenStore, message: Make) -> None:
    disk = FullDisk()
    store = open_store(disk=disk)
    entries = [access.append(store, True, message(b"a" * 30_000), [1], [n])[0] for n in (1, 2)]
    disk.full = True
    position, live = store.appended_position, store.live_entries
    for _ in range(2):
        with pytest.raises(OSError, match="No space"):
            access.append(store, True, message(b"b" * 30_000), [1], [3])
    assert (store.appended_position, store.live_entries) == (position, live)
    assert len(open_store.files()) == 1
    assert access.read(store, entries[1]).body == b"a" * 30_000
    access.append(store, True, message(b"c"), [1], [3])           # there is still room in the old segment
    disk.full = False
    last = access.append(store, True, message(b"b" * 30_000), [1], [4])[0]
    assert access.read(store, last).body == b"b" * 30_000


def test_a_full_disk_while_the_next_segment_is_prepared_is_no_failure(open_store: OpenStore) -> None:
    disk = FullDisk()
    store = open_store(disk=disk)
    access.append_many(store, True, b"x" * 30_000, 1, 1, 3)
    disk.full = True
    run_chores(store)
    disk.full = False
    entries = access.append_many(store, True, b"x" * 30_000, 1, 4, 3)
    assert access.read_many(store, entries) == 90_000


class SmallMemory(Disk):
    """A memory file system like that of a container."""

    def free_bytes(self, directory: str) -> int:
        return 64 << 20 if directory.endswith("transient") else 1 << 40


def test_transient_messages_go_to_the_disk_where_the_memory_file_system_is_small(
        open_store: OpenStore, message: Make, caplog: pytest.LogCaptureFixture) -> None:
    store = open_store(disk=SmallMemory())
    entries = access.append_many(store, False, b"x" * 1000, 1, 1, 200)
    assert access.read_many(store, entries) == 200_000
    assert not any(open_store.transient.iterdir())
    assert len(list(open_store.spill.glob("*.data"))) > 2
    assert [r.message for r in caplog.records if "transient messages go to" in r.message] == [
        f"{open_store.transient} has too little room: transient messages go to {open_store.spill}, unsynced"]


def test_transient_messages_above_their_limit_spill(open_store: OpenStore) -> None:
    store = open_store(transient_bytes_max=5 * SEGMENT_BYTES)
    entries = access.append_many(store, False, b"x" * 1000, 1, 1, 500)
    assert len(list(open_store.transient.glob("*.data"))) == 2
    assert len(list(open_store.spill.glob("*.data"))) > 2
    assert access.read_many(store, entries) == 500_000
    access.ack_many(store, entries)
    again = access.append_many(store, False, b"y" * 1000, 1, 501, 100)
    assert access.read_many(store, again) == 100_000


class MemoryThatFills(FullDisk):
    """/dev/shm that somebody else fills while a segment there grows."""

    def allocate(self, descriptor: int, offset: int, size: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").resolve()
        if self.full and path.parent.name == "transient":
            raise OSError(errno.ENOSPC, "No space left on device")
        Disk.allocate(self, descriptor, offset, size)


def test_a_memory_file_system_that_fills_up_is_left_for_the_disk(open_store: OpenStore) -> None:
    disk = MemoryThatFills()
    store = open_store(disk=disk, segment_bytes=16 << 20)
    entries = access.append_many(store, False, b"x" * 100_000, 1, 1, 20)
    disk.full = True
    entries = np.concatenate((entries, access.append_many(store, False, b"x" * 100_000, 1, 21, 100)))
    assert len(list(open_store.spill.glob("*.data"))) == 1
    assert access.read_many(store, entries) == 12_000_000


def test_a_transient_tail_that_is_drained_starts_over(open_store: OpenStore) -> None:
    store = open_store(segment_bytes=16 << 20)
    for n in range(200):
        entries = access.append_many(store, False, b"x" * 1000, 1, n * 1000 + 1, 1000)
        assert access.read_many(store, entries) == 1_000_000
        access.ack_many(store, entries)
    assert store.statistics()["segments"] == 1
    assert len(list(open_store.transient.glob("*.data"))) == 1


def test_the_names_of_new_directories_are_synchronised(tmp_path: Path) -> None:
    """Otherwise everything in them goes when the power does."""
    class Noting(Disk):
        def __init__(self) -> None:
            self.synchronised: list[str] = []

        def synchronise_directory(self, path: str) -> None:
            self.synchronised.append(path)
            super().synchronise_directory(path)

    disk = Noting()
    store = OpenStore(tmp_path / "shards" / "0")
    store(disk=disk)
    assert disk.synchronised == [str(tmp_path), str(tmp_path / "shards"), str(tmp_path / "shards" / "0")]
    disk.synchronised.clear()
    store(disk=disk)
    assert disk.synchronised == []


def test_a_segment_that_is_gone_leaves_its_descriptors_to_housekeeping(
        open_store: OpenStore, message: Callable[..., StoredMessage]) -> None:
    """Sealed and removed at once: both threads would close the same numbers, which may be another file's by then."""
    store = open_store()
    entries = access.append_many(store, True, b"x" * 1000, 1, 1, 100)
    commit(store)
    seals = store.take_chores()
    for chore in seals:
        chore.run()
    access.ack_many(store, entries)
    gone = [chore.segment for chore in store.take_chores() if type(chore).__name__ == "RemoveFiles"]
    assert gone
    before = open_store.open_files()
    for chore in seals:
        chore.finish()
    assert open_store.open_files() == before
    for segment in gone:
        segment.free_files(False)
    assert open_store.open_files() == before - 3 * len(gone)
