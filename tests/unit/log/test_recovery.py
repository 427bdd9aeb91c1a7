"""What an earlier process left is found again; damage costs what it hit."""
from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from log import access, formats
from log.access import StoredMessage
from log.checksum import checksum
from log.disk import Disk
from log.formats import ENTRY_REDELIVERED, RECORD_QUEUE_SETTLED, UnknownFormat
from log.machine import last_run
from log.recovery import check_formats, discard
from log.store import Store

from .conftest import OpenStore, commit, run_chores

Make = Callable[..., StoredMessage]


def bodies(store: Store, entries: np.ndarray) -> list[bytes | None]:
    messages = [access.read(store, entry) for entry in entries]
    return [None if message is None else message.body for message in messages]


def fill(store: Store, message: Make, count: int = 5, durable: bool = True) -> list[np.void]:
    entries = [access.append(store, durable, message(b"%d" % n * 100), [1], [n])[0] for n in range(1, count + 1)]
    commit(store)
    return entries


def expected(*numbers: int) -> list[bytes]:
    return [b"%d" % n * 100 for n in numbers]


def test_an_empty_directory_has_nothing(open_store: OpenStore) -> None:
    assert open_store().recover() == {}


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("durable", [True, False])
def test_messages_come_back_in_order(open_store: OpenStore, message: Make, closed: bool, durable: bool) -> None:
    store = open_store()
    sent = message(priority=4, ttl_ms=60_000, received_at_ms=99, persistent=False)
    for n in range(1, 6):
        access.append(store, durable, sent._replace(body=b"%d" % n), [3, 70_000 * n], [n * 10, 1])
    if closed:
        store.close()
    else:
        commit(store)
    again = open_store()
    queues = again.recover()
    assert sorted(queues) == [3, 70_000, 140_000, 210_000, 280_000, 350_000]
    assert queues[3]["number"].tolist() == [10, 20, 30, 40, 50]
    assert queues[3]["priority"].tolist() == [4] * 5
    assert queues[3]["flags"].tolist() == [formats.ENTRY_EXPIRES] * 5
    assert bodies(again, queues[3]) == [b"1", b"2", b"3", b"4", b"5"]
    assert access.read(again, queues[140_000][0]) == sent._replace(body=b"2")
    assert again.live_entries == 10


def test_acknowledged_entries_stay_away_and_delivered_ones_are_redelivered(
        open_store: OpenStore, message: Make) -> None:
    store = open_store()
    entries = fill(store, message)
    access.acked(store, entries[1])
    access.delivered(store, entries[2], 3)
    access.delivered(store, entries[3], 255)
    access.delivered(store, entries[4], 2)
    access.delivered(store, entries[4], 1)
    found = open_store().recover()[1]
    assert found["number"].tolist() == [1, 3, 4, 5]
    assert found["delivery_count"].tolist() == [0, 3, 253, 2]
    assert found["flags"].tolist() == [0] + [formats.ENTRY_REDELIVERED] * 3


def test_recovered_messages_can_be_acknowledged_and_recovered_again(open_store: OpenStore, message: Make) -> None:
    fill(open_store(), message)
    for left in range(5, 0, -1):
        store = open_store()
        entries = store.recover()[1]
        assert bodies(store, entries) == expected(*range(6 - left, 6))
        access.acked(store, entries[0])
        run_chores(store)
    assert open_store().recover() == {}
    assert open_store.files() == []


def test_new_messages_go_behind_recovered_ones(open_store: OpenStore, message: Make) -> None:
    fill(open_store(), message)
    store = open_store()
    store.recover()
    assert store.highest_number(1) == 5
    access.append(store, True, message(b"6" * 100), [1], [6])
    commit(store)
    again = open_store()
    assert bodies(again, again.recover()[1]) == expected(*range(1, 7))


def test_the_highest_number_counts_acknowledged_entries(open_store: OpenStore, message: Make) -> None:
    store = open_store()
    entries = [access.append(store, True, message(), [1, 9, 1 << 31], [n, n + 5, n + 7])[0] for n in (1, 2, 3)]
    commit(store)
    for entry in entries:
        access.acked(store, entry)
    again = open_store()
    assert 1 not in again.recover()
    assert [again.highest_number(q) for q in (1, 9, 1 << 31, 5)] == [3, 8, 10, 0]


def test_sealed_segments_are_read_without_a_scan(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store()
    access.append_many(store, True, b"x" * 1000, 1, 1, 500)
    store.close()
    assert not any(store.statistics()[key] for key in ("damaged_records",))
    scanned = []
    for path in open_store.files():                        # a scan would have to read these bytes
        with path.open("r+b") as file:
            file.seek(formats.HEADER_BYTES)
            file.write(b"\xff")
            scanned.append(path)
    again = open_store()
    entries = again.recover()[1]
    assert entries["number"].tolist() == list(range(1, 501))
    assert access.read_many(again, entries) == (500 - len(scanned)) * 1000
    assert again.damaged_records == len(scanned)


def test_sealed_segments_give_back_the_space_that_they_do_not_need(open_store: OpenStore, message: Make) -> None:
    store = open_store(segment_bytes=64 << 20)
    fill(store, message)
    assert open_store.files()[0].stat().st_size > 1 << 20
    store.close()
    assert open_store.files()[0].stat().st_size < 8192


@pytest.mark.parametrize("cut", [1, 8, 60, 150])
def test_a_torn_tail_is_cut_off(open_store: OpenStore, message: Make, cut: int,
                                caplog: pytest.LogCaptureFixture) -> None:
    store = open_store()
    fill(store, message)
    used = formats.HEADER_BYTES + store.appended_position
    path = open_store.files()[0]
    with path.open("r+b") as file:
        file.truncate(used - cut)
    again = open_store()
    assert bodies(again, again.recover()[1]) == expected(1, 2, 3, 4)
    assert "torn tail" in caplog.text
    assert again.damaged_records == 0
    run_chores(again)
    third = open_store()
    assert bodies(third, third.recover()[1]) == expected(1, 2, 3, 4)


def record_positions(path: Path, count: int) -> list[int]:
    raw = path.read_bytes()
    positions = [formats.HEADER_BYTES]
    while len(positions) < count:
        positions.append(positions[-1] + struct.unpack_from("<I", raw, positions[-1])[0])
    return positions


def flip(path: Path, offset: int, mask: int = 0x41) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ mask]))


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize("offset", [0, 3, 4, 8, 9, 12, 15, 20, 33, 44, 47, 48, 56, 64, 100, 160])
def test_damage_in_the_middle_costs_that_record_alone(open_store: OpenStore, message: Make, offset: int,
                                                      sealed: bool) -> None:
    store = open_store()
    fill(store, message)
    if sealed:
        store.close()
    path = open_store.files()[0]
    flip(path, record_positions(path, 5)[2] + offset)
    again = open_store()
    entries = again.recover()[1]
    found = dict(zip(entries["number"].tolist(), bodies(again, entries), strict=True))
    assert {n: body for n, body in found.items() if body is not None} == dict(
        zip((1, 2, 4, 5), expected(1, 2, 4, 5), strict=True))
    assert again.damaged_records == 1
    assert again.highest_number(1) == 5


def test_the_acks_of_the_others_survive_damage(open_store: OpenStore, message: Make) -> None:
    store = open_store()
    entries = fill(store, message)
    access.acked(store, entries[3])
    path = open_store.files()[0]
    flip(path, record_positions(path, 5)[1] + 70)
    assert open_store().recover()[1]["number"].tolist() == [1, 3, 5]
    assert open_store().recover()[1]["number"].tolist() == [1, 3, 5]


@pytest.mark.parametrize("kind", ["data", "index", "acks"])
@pytest.mark.parametrize("sealed", [True, False])
def test_a_damaged_header_costs_nothing(open_store: OpenStore, message: Make, kind: str, sealed: bool) -> None:
    store = open_store()
    entries = fill(store, message)
    access.acked(store, entries[4])
    if sealed:
        store.close()
    for offset in (0, 8, 20, 26):
        flip(open_store.files(kind)[0], offset)
    again = open_store()
    assert bodies(again, again.recover()[1]) == expected(1, 2, 3, 4)


@pytest.mark.parametrize("offset", [64, 70, 72, 80, 85, formats.HEADER_BYTES + 1, formats.HEADER_BYTES + 40])
def test_an_index_that_lies_is_rebuilt(open_store: OpenStore, message: Make, offset: int) -> None:
    store = open_store()
    fill(store, message)
    store.close()
    flip(open_store.files("index")[0], offset)
    for _ in range(2):
        again = open_store()
        assert bodies(again, again.recover()[1]) == expected(1, 2, 3, 4, 5)
        run_chores(again)
    assert again.damaged_records == 0


@pytest.mark.parametrize("sealed", [True, False])
def test_a_missing_index_is_rebuilt(open_store: OpenStore, message: Make, sealed: bool) -> None:
    store = open_store()
    fill(store, message)
    if sealed:
        store.close()
    open_store.files("index")[0].unlink()
    again = open_store()
    assert bodies(again, again.recover()[1]) == expected(1, 2, 3, 4, 5)


@pytest.mark.parametrize("sealed", [True, False])
def test_without_its_ack_map_a_segment_is_redelivered(open_store: OpenStore, message: Make, sealed: bool) -> None:
    store = open_store()
    fill(store, message)
    if sealed:
        store.close()
    open_store.files("acks")[0].unlink()
    again = open_store()
    entries = again.recover()[1]
    assert bodies(again, entries) == expected(1, 2, 3, 4, 5)
    assert entries["flags"].tolist() == [formats.ENTRY_REDELIVERED] * 5


def test_a_segment_without_data_is_a_leftover(open_store: OpenStore, message: Make) -> None:
    fill(open_store(), message)
    open_store.files()[0].unlink()
    assert open_store().recover() == {}
    assert [path.name for path in open_store.durable.iterdir()] == ["machine"]


def test_a_sealed_segment_that_was_cut_loses_its_end(open_store: OpenStore, message: Make) -> None:
    store = open_store()
    fill(store, message)
    store.close()
    path = open_store.files()[0]
    with path.open("r+b") as file:
        file.truncate(record_positions(path, 5)[3] + 10)
    again = open_store()
    assert bodies(again, again.recover()[1]) == [*expected(1, 2, 3), None, None]
    assert again.damaged_records == 2


def test_a_file_that_cannot_be_of_the_log_is_set_aside(open_store: OpenStore, message: Make) -> None:
    fill(open_store(), message)
    (open_store.durable / "000000ff.data").write_bytes(b"something else" * 1000)
    (open_store.durable / "notes.txt").write_text("kept")
    again = open_store()
    assert bodies(again, again.recover()[1]) == expected(1, 2, 3, 4, 5)
    assert (open_store.durable / "000000ff.data.damaged").exists()
    assert (open_store.durable / "notes.txt").exists()


def test_records_of_another_segment_do_not_pass_for_its_own(open_store: OpenStore, message: Make) -> None:
    store = open_store()
    fill(store, message)
    stolen = open_store.files()[0].read_bytes()[formats.HEADER_BYTES:formats.HEADER_BYTES + store.appended_position]
    shutil.rmtree(open_store.root)
    store = open_store()
    access.append(store, True, message(stolen), [1], [1])
    commit(store)
    path = open_store.files()[0]
    # The outer record is damaged: its body must not be read as records.
    flip(path, formats.HEADER_BYTES + 4)
    assert open_store().recover() == {}


@pytest.mark.parametrize("kind", ["data", "index", "acks"])
def test_an_unknown_version_stops_the_start_and_nothing_is_touched(open_store: OpenStore, message: Make,
                                                                    kind: str) -> None:
    fill(open_store(), message)
    path = open_store.files(kind)[0]
    raw = bytearray(path.read_bytes())
    raw[8:12] = (3).to_bytes(4, "little")
    raw[12:16] = checksum(bytes(raw[16:64]), checksum(bytes(raw[:12]))).to_bytes(4, "little")
    path.write_bytes(raw)
    (open_store.durable / "000000ff.index").write_bytes(b"a leftover")
    before = {p.name: p.read_bytes() for p in open_store.durable.iterdir()}
    with pytest.raises(formats.UnknownFormat, match="version 3"):
        open_store().recover()
    with pytest.raises(formats.UnknownFormat):
        check_formats([str(open_store.durable)])
    assert {p.name: p.read_bytes() for p in open_store.durable.iterdir()} == before


def test_transient_messages_are_discarded_when_the_broker_starts(open_store: OpenStore, message: Make) -> None:
    store = open_store()
    fill(store, message, durable=False)
    (open_store.transient / "other").touch()
    discard(str(open_store.transient))
    discard(str(open_store.root / "missing"))
    assert [p.name for p in open_store.transient.iterdir()] == ["other"]
    assert open_store().recover() == {}


def test_small_and_large_messages_in_turn(open_store: OpenStore, message: Make) -> None:
    sizes = [0, 1, 15_000, 3, 16_384, 40_000, 5, 16_000, 700_000, 2, 17, 100]
    store = open_store()
    for n, size in enumerate(sizes, 1):
        entry = access.append(store, True, message(bytes([n]) * size), [1], [n])[0]
        assert access.read(store, entry) == message(bytes([n]) * size)
    commit(store)
    again = open_store()
    assert bodies(again, again.recover()[1]) == [bytes([n]) * size for n, size in enumerate(sizes, 1)]


class Machine(Disk):
    """One that went down and came up again when its test says so."""

    def __init__(self, run: str) -> None:
        self.run = run

    def machine_run(self) -> str:
        return self.run


def delivered_after(open_store: OpenStore, message: Make, run: str, *, close: bool) -> list[int]:
    """Delivery counts of three messages, of which the second was delivered, in another run of the machine."""
    store = open_store(disk=Machine("a"))
    store.recover()
    entries = np.concatenate([access.append(store, True, message(), [1], [n]) for n in (1, 2, 3)])
    access.delivered(store, entries[1], 7)
    commit(store)
    if close:
        store.close()
    again = open_store(disk=Machine(run))
    counts: list[int] = again.recover()[1]["delivery_count"].tolist()
    return counts


def test_a_machine_that_went_down_may_have_forgotten_deliveries(open_store: OpenStore, message: Make) -> None:
    assert delivered_after(open_store, message, "b", close=False) == [1, 7, 1]
    third = open_store(disk=Machine("b")).recover()[1]
    assert third["delivery_count"].tolist() == [1, 7, 1] and third["flags"].tolist() == [ENTRY_REDELIVERED] * 3


@pytest.mark.parametrize(("run", "close"), [("a", False), ("a", True), ("b", True)])
def test_a_process_that_died_or_was_stopped_has_forgotten_none(
        open_store: OpenStore, message: Make, run: str, close: bool) -> None:
    assert delivered_after(open_store, message, run, close=close) == [0, 7, 0]


def test_the_name_of_the_machines_run_is_checked_like_any_file(open_store: OpenStore) -> None:
    open_store(disk=Machine("a")).recover()
    path = open_store.durable / "machine"
    assert last_run(str(open_store.durable)) == "a"
    path.write_bytes(b"warren-machine 1 b 00000000\n")
    assert last_run(str(open_store.durable)) == ""
    path.write_bytes(b"warren-machine 3 b %08x\n" % checksum(b"warren-machine 3 b"))
    with pytest.raises(UnknownFormat, match="version 3"):
        check_formats([str(open_store.durable)])


def test_sealed_segments_hold_no_descriptors(open_store: OpenStore) -> None:
    store = open_store()
    access.append_many(store, True, b"x" * 1000, 1, 1, 1000)
    commit(store)
    run_chores(store)
    assert store.statistics()["segments"] > 15
    assert open_store.open_files() <= 6
    store.close()
    del store
    again = open_store()
    entries = again.recover()[1]
    assert open_store.open_files() == 0
    assert access.read_many(again, entries) == 1_000_000


def test_a_message_without_any_content(open_store: OpenStore) -> None:
    store = open_store()
    empty = StoredMessage(b"", b"", b"", b"")
    access.append(store, True, empty, [7, 8], [1, 12345])
    commit(store)
    again = open_store()
    assert again.recover()[8]["number"].tolist() == [12345]


def test_a_recycled_segment_holds_only_its_second_life(open_store: OpenStore) -> None:
    store = open_store(segment_bytes=4 << 20)
    first = access.append_many(store, False, b"a" * 1000, 1, 1, 2000)
    access.ack_many(store, first)                          # more than REWIND_BYTES: the tail starts over
    access.append_many(store, False, b"b" * 100, 1, 3001, 10)
    found = open_store().recover()[1]
    assert found["number"].tolist() == list(range(3001, 3011))


def test_many_queues_and_many_segments(open_store: OpenStore) -> None:
    store = open_store()
    numbers = dict.fromkeys(range(1, 51), 0)
    rng = np.random.default_rng(1)
    for queue_id in rng.integers(1, 51, 2000).tolist():
        numbers[queue_id] += 1
        access.append_many(store, True, b"%d" % queue_id * 20, queue_id, numbers[queue_id], 1)
    commit(store)
    again = open_store()
    queues = again.recover()
    assert {q: e["number"].tolist() for q, e in queues.items()} == {
        q: list(range(1, n + 1)) for q, n in numbers.items() if n}
    for queue_id, entries in queues.items():
        assert set(bodies(again, entries)) == {b"%d" % queue_id * 20}


class Noting(Disk):
    """Keeps which files were synchronised."""

    def __init__(self) -> None:
        self.synchronised: set[str] = set()

    def synchronise(self, descriptor: int) -> None:
        self.synchronised.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        super().synchronise(descriptor)


def moved_to_a_later_segment(store: Store, message: Make) -> None:
    """Entry 1 of queue 1 has become entry 1 of queue 2, in another segment; nothing is on the disk."""
    access.append(store, True, message(b"old" * 10_000), [1], [1])
    access.append(store, True, message(b"x" * 40_000), [3], [1])
    access.append(store, True, message(b"new"), [2, 1], [1, 1], [0, RECORD_QUEUE_SETTLED])
    store.sync_target()         # its data is with the system, as that of a process that is killed a moment later


def test_an_entry_that_a_later_record_settles_is_not_there(open_store: OpenStore, message: Make) -> None:
    moved_to_a_later_segment(open_store(), message)
    recovered = open_store().recover()
    assert {queue_id: len(entries) for queue_id, entries in recovered.items()} == {2: 1, 3: 1}
    # and neither is it after the next start
    assert sorted(open_store().recover()) == [2, 3]


def test_what_settles_an_entry_is_on_the_disk_before_that_is_given_up(open_store: OpenStore, message: Make) -> None:
    """Otherwise a power failure now could leave neither."""
    moved_to_a_later_segment(open_store(), message)
    disk = Noting()
    open_store(disk=disk).recover()
    files = open_store.files()
    assert str(files[-1]) in disk.synchronised and str(files[0]) not in disk.synchronised
    # one that was acknowledged before needs nothing
    again = Noting()
    open_store(disk=again).recover()
    assert not any(path.endswith(".data") for path in again.synchronised)


def test_numbers_of_settled_entries_are_not_given_again(open_store: OpenStore, message: Make) -> None:
    store = open_store()
    access.append(store, True, message(b"new"), [2, 1], [1, 7], [0, RECORD_QUEUE_SETTLED])
    commit(store)
    again = open_store()
    again.recover()
    assert (again.highest_number(1), again.highest_number(2)) == (7, 1)
