"""Compaction: entries stay valid, files go once the copies are durable, copies are merged on recovery."""
from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from log import access
from log.access import StoredMessage
from log.disk import Disk
from log.formats import RECORD_QUEUE_SETTLED
from log.store import Store

from .conftest import OpenStore, commit, run_chores

Make = Callable[..., StoredMessage]
COUNT = 600


def sparse(store: Store, durable: bool = True, keep: int = 50) -> np.ndarray:
    """Several segments of which every `keep`th message is left."""
    store.compacted_bytes_min = 0
    numbers = np.arange(1, COUNT + 1)
    entries = np.concatenate([
        access.append(store, durable, StoredMessage(b"", b"k", b"", b"%d" % n * 300), [1], [n]) for n in numbers])
    commit(store)
    run_chores(store)
    left = numbers % keep == 0
    access.ack_many(store, entries[~left])
    return entries[left]


def compact(store: Store) -> None:
    while store.compact(1000):
        pass
    commit(store)
    run_chores(store)


def check(store: Store, entries: np.ndarray) -> None:
    for entry in entries:
        found = access.read(store, entry)
        assert found is not None and found.body == b"%d" % entry["number"] * 300


@pytest.mark.parametrize("durable", [True, False])
def test_entries_stay_valid_while_their_files_go(open_store: OpenStore, durable: bool) -> None:
    store = open_store()
    entries = sparse(store, durable)
    before = store.statistics()["segments"]
    compact(store)
    assert store.compactions > 2
    assert store.statistics()["segments"] < before
    assert store.live_entries == len(entries)
    check(store, entries)
    for left in range(len(entries) - 1, -1, -1):
        access.acked(store, entries[left])
        access.acked(store, entries[left])
        assert store.live_entries == left
        check(store, entries[:left])
    run_chores(store)
    assert store.statistics()["segments"] <= 2


def test_old_files_stay_until_the_copies_are_durable(open_store: OpenStore) -> None:
    store = open_store()
    entries = sparse(store)
    commit(store)
    run_chores(store)
    files = len(open_store.files())
    while store.compact(1 << 20):
        pass
    run_chores(store)
    assert len(open_store.files()) >= files
    commit(store)
    run_chores(store)
    assert len(open_store.files()) < files
    check(store, entries)


def test_a_dense_segment_is_left_alone(open_store: OpenStore) -> None:
    store = open_store()
    sparse(store, keep=2)
    assert not store.compact(1 << 20)
    assert store.compactions == 0


def test_a_message_that_outlives_many_compactions_is_one_step_away(open_store: OpenStore) -> None:
    store = open_store()
    entries = sparse(store, keep=200)
    for start in range(2, 8):
        compact(store)
        filler = access.append_many(store, True, b"f" * 1000, 2, start * 1000, 300)
        access.ack_many(store, filler)
        check(store, entries)
    # What is left are the segments that the entries name, and the one or two where their messages are.
    assert len(store.segments_by_state()["forwarding"]) <= len(entries)
    access.ack_many(store, entries)
    assert store.live_entries == 0
    assert store.segments_by_state()["forwarding"] == []


def test_delivery_counts_and_acks_follow_the_copy(open_store: OpenStore) -> None:
    store = open_store()
    entries = sparse(store)
    access.delivered(store, entries[0], 7)
    compact(store)
    access.delivered(store, entries[1], 9)
    access.acked(store, entries[2])
    again = open_store()
    found = again.recover()[1]
    assert found["number"].tolist() == [n for i, n in enumerate(entries["number"].tolist()) if i != 2]
    assert found["delivery_count"].tolist()[:3] == [7, 9, 0]
    check(again, found)


def test_both_copies_of_a_message_are_one_after_a_crash(open_store: OpenStore, tmp_path: Path) -> None:
    store = open_store()
    entries = sparse(store)
    while store.compact(1 << 20):
        pass                                                # no commit: the old files are still there
    access.acked(store, entries[0])
    access.delivered(store, entries[1], 3)
    shutil.copytree(open_store.root, tmp_path / "crashed")
    again = OpenStore(tmp_path / "crashed")()
    found = again.recover()[1]
    assert found["number"].tolist() == entries["number"].tolist()[1:]
    assert found["delivery_count"].tolist()[0] == 3
    assert again.live_entries == len(found)
    check(again, found)
    access.ack_many(again, found)
    run_chores(again)
    assert OpenStore(tmp_path / "crashed")().recover() == {}


def test_one_record_for_several_queues_is_copied_once(open_store: OpenStore, message: Make) -> None:
    store = open_store()
    store.compacted_bytes_min = 0
    shared = access.append(store, True, message(b"shared" * 100), [1, 2, 3], [1, 1, 1])
    filler = access.append_many(store, True, b"f" * 1000, 9, 1, 100)
    access.acked(store, shared[1])
    access.ack_many(store, filler)
    run_chores(store)           # only what is sealed is copied
    before = store.appended_position
    compact(store)
    assert 600 < store.appended_position - before < 900
    access.acked(store, shared[0])
    assert access.read(store, shared[2]) == message(b"shared" * 100)
    again = open_store()
    assert {q: len(e) for q, e in again.recover().items()} == {3: 1}


def test_acknowledging_while_a_segment_is_half_copied(open_store: OpenStore) -> None:
    store = open_store()
    entries = sparse(store, keep=10)
    store.compact(1500)
    access.ack_many(store, entries[::2])
    compact(store)
    check(store, entries[1::2])
    access.ack_many(store, entries)
    assert store.live_entries == 0
    assert open_store().recover() == {}


def test_damage_that_is_met_while_copying_costs_that_message(open_store: OpenStore) -> None:
    store = open_store()
    sparse(store)
    store.close()
    again = open_store()
    entries = again.recover()[1]
    again.compacted_bytes_min = 0
    path = open_store.files()[0]
    with path.open("r+b") as file:
        file.seek(int(entries[0]["position8"]) * 8 + 100)
        file.write(b"\xff")
    compact(again)
    assert again.damaged_records == 1
    assert access.read(again, entries[0]) is None
    check(again, entries[1:])
    access.ack_many(again, entries)
    assert again.live_entries == 0
    assert open_store().recover() == {}


class FullDisk(Disk):
    full = False

    def create(self, path: str) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().create(path)


def test_a_full_disk_only_delays_compaction(open_store: OpenStore) -> None:
    disk = FullDisk()
    store = open_store(disk=disk)
    entries = sparse(store, keep=4)
    disk.full = True
    while store.compact(1 << 20):
        pass
    check(store, entries)
    disk.full = False
    compact(store)
    check(store, entries)
    assert store.compactions > 2


def test_a_segment_that_was_being_sealed_goes_without_a_further_commit(open_store: OpenStore) -> None:
    store = open_store(transient_bytes_max=0)           # transient messages go to the disk, and are never committed
    store.compacted_bytes_min = 0
    numbers = np.arange(1, COUNT + 1)
    entries = np.concatenate([
        access.append(store, False, StoredMessage(b"", b"k", b"", b"%d" % n * 300), [1], [n]) for n in numbers])
    sealing = store.take_chores()
    left = numbers % 50 == 0
    access.ack_many(store, entries[~left])
    while store.compact(1000):
        pass
    before = len(list(open_store.spill.glob("*.data")))
    for chore in sealing:
        chore.run()
        chore.finish()
    store.compact(1000)
    run_chores(store)
    assert len(list(open_store.spill.glob("*.data"))) < before // 2
    check(store, entries[left])


@pytest.mark.parametrize("durable", [True, False])
def test_what_says_that_an_older_entry_is_settled_goes_along(open_store: OpenStore, durable: bool) -> None:
    """The ack of the older one may not be on the disk yet, and come back as it was after a power failure."""
    store = open_store()
    store.compacted_bytes_min = 0
    access.append(store, durable, StoredMessage(b"", b"k", b"", b"old" * 300), [1], [7])
    moved = 0
    for number in range(1, COUNT):
        filler = access.append(store, durable, StoredMessage(b"", b"k", b"", b"x" * 900), [2], [number])
        if number % 100 == 0:
            new = access.append(
                store, durable, StoredMessage(b"", b"k", b"", b"new"), [3, 1], [number, 7], [0, RECORD_QUEUE_SETTLED])
            moved += len(new) - 1
        access.ack_many(store, filler)
    commit(store)
    run_chores(store)
    live = store.live_entries
    compact(store)
    assert store.compactions and store.live_entries == live == 1 + moved
    # the ack of the old one was never written; only what was copied says that it is settled
    again = open_store()
    assert sorted(again.recover()) == [3]
    assert again.live_entries == moved
