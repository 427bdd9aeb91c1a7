"""Rooms: what a gateway has read into the log is a message there without being copied, and is as safe as any other."""
from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bus.limits import ROOM_BODY_BYTES_MAX
from bus.room import Room
from log import dump
from log.access import ROOM_FIRST_BYTE, StoredMessage, acked, append, append_apart, close_room, open_room, read
from log.checksum import checksum
from log.disk import Disk
from log.formats import RECORD_DTYPE, RECORD_MESSAGE, RECORD_QUEUE_DTYPE
from log.segment import Segment
from log.store import Store
from tests.unit.log.conftest import OpenStore, run_chores

SEGMENT_BYTES = 1 << 20
ROOM_BYTES = (4 << 20) + (256 << 10)
LARGE_ROOM_BYTES = (16 << 20) + (512 << 10)
BODY_BYTES = 20_000
NOISE = random.Random(11).randbytes(2 * BODY_BYTES)


def body_of(number: int) -> bytes:
    return b"%08d" % number + NOISE[number % 1000:][: BODY_BYTES - 8]


def data_path(segment: Segment) -> str:
    path: str = segment.paths()[0]
    return path


class Reader:
    """A gateway: writes bodies into a room, one behind the other."""

    def __init__(self, store: Store) -> None:
        self.store = store
        room = open_room(store)
        assert room is not None
        self.room = room
        self.position = ROOM_FIRST_BYTE + 5

    def put(self, data: bytes) -> int:
        descriptor = os.open(data_path(self.room), os.O_RDWR)
        os.pwrite(descriptor, data, self.position)
        os.close(descriptor)
        place = self.position
        self.position += len(data) + 3
        return place

    def append(self, number: int, queue_ids: list[int] | None = None, *, durable: bool = False, **fields: Any) -> Any:
        message = StoredMessage(b"ex", b"key", b"\0\0", body_of(number), persistent=durable, **fields)
        ids = [1] if queue_ids is None else queue_ids
        return append_apart(
            self.store, durable, message, ids, [number] * len(ids), self.room, self.put(message.body))


@pytest.fixture
def store(open_store: OpenStore) -> Store:
    return open_store(segment_bytes=SEGMENT_BYTES)


def numbers_of(store: Store, recovered: dict[int, Any], queue_id: int = 1) -> list[int]:
    """Of all messages of a queue, each of which is whole."""
    numbers = []
    for entry in recovered.get(queue_id, ()):
        message = read(store, entry)
        assert message is not None
        assert message.body == body_of(int(entry["number"]))
        assert (message.exchange, message.routing_key, message.properties) == (b"ex", b"key", b"\0\0")
        numbers.append(int(entry["number"]))
    return numbers


def test_a_body_stays_where_it_was_read_to(store: Store) -> None:
    reader = Reader(store)
    entries = reader.append(1, [1, 2, 3])
    assert [read(store, entry).body for entry in entries] == [body_of(1)] * 3    # type: ignore[union-attr]
    place = reader.position - BODY_BYTES - 3
    reader.position = place
    reader.put(b"other")
    assert read(store, entries[0]).body[:8] == b"other" + body_of(1)[5:8]       # type: ignore[union-attr]


def test_the_next_process_finds_them(
    open_store: OpenStore, store: Store, message: Callable[..., StoredMessage]
) -> None:
    """Killed, not closed: nothing was sealed."""
    reader = Reader(store)
    entries = []
    for number in range(1, 31, 2):
        entries.append(reader.append(number, [1, 2])[0])
        append(store, False, message(body_of(number + 1)), [1], [number + 1])
    acked(store, entries[2])
    again = open_store(segment_bytes=SEGMENT_BYTES)
    recovered = again.recover()
    assert numbers_of(again, recovered) == [number for number in range(1, 31) if number != 5]
    assert numbers_of(again, recovered, 2) == list(range(1, 31, 2))
    assert again.damaged_records == 0


def test_bytes_in_a_room_are_no_records(open_store: OpenStore, store: Store) -> None:
    """Whatever a client sends, and even if it knew the salt."""
    reader = Reader(store)
    reader.position = ROOM_FIRST_BYTE + 1024
    head = bytearray(RECORD_DTYPE.itemsize + RECORD_QUEUE_DTYPE.itemsize)
    head[0:4] = len(head).to_bytes(4, "little")
    head[8] = RECORD_MESSAGE
    head[44] = 1
    head[48] = 1
    place = (reader.position // 8 | len(head) << 32).to_bytes(8, "little")
    head[4:8] = checksum(bytes(head[8:]), checksum(place, reader.room.salt)).to_bytes(4, "little")
    reader.put(bytes(head))
    reader.append(7)
    again = open_store(segment_bytes=SEGMENT_BYTES)
    assert numbers_of(again, again.recover()) == [7]
    assert again.damaged_records == 0


def test_a_record_that_points_outside_of_the_file_is_damage(store: Store) -> None:
    reader = Reader(store)
    entry = reader.append(1)[0]
    record = int(entry["position8"]) * 8
    data = Path(data_path(reader.room)).read_bytes()
    record_bytes = int.from_bytes(data[record:record + 4], "little")
    for position in (0, 8, len(data), len(data) - BODY_BYTES + 1, (1 << 64) - 1, (1 << 64) - BODY_BYTES):
        descriptor = os.open(data_path(reader.room), os.O_RDWR)
        os.pwrite(descriptor, position.to_bytes(8, "little"), record + record_bytes - 8)
        os.close(descriptor)
        assert read(store, entry) is None
    assert store.damaged_records == 6


def test_a_durable_message_is_copied_to_the_disk(open_store: OpenStore, store: Store) -> None:
    reader = Reader(store)
    entry = reader.append(1, durable=True)[0]
    # more than is collected for one write
    large = StoredMessage(b"ex", b"key", b"\0\0", NOISE * 8, persistent=True)
    reader_place = reader.put(large.body)
    large_entry = append_apart(store, True, large, [2], [1], reader.room, reader_place)[0]
    close_room(store, reader.room)
    Path(data_path(reader.room)).write_bytes(b"")
    assert read(store, entry).body == body_of(1)                                # type: ignore[union-attr]
    assert read(store, large_entry).body == large.body                          # type: ignore[union-attr]
    store.close()
    again = open_store(segment_bytes=SEGMENT_BYTES)
    recovered = again.recover()
    assert numbers_of(again, recovered) == [1]
    assert read(again, recovered[2][0]).body == large.body                      # type: ignore[union-attr]


def test_where_records_find_no_place_the_message_is_copied(open_store: OpenStore, store: Store) -> None:
    """A room takes the records of so many; one body may be named by all of them."""
    reader = Reader(store)
    place = reader.put(body_of(1))
    entries = [
        append_apart(
            store, False, StoredMessage(b"ex", b"key", b"\0\0", body_of(1)), [1], [number], reader.room, place)[0]
        for number in range(1, 1100)]
    segments = {int(entry["segment"]) for entry in entries}
    assert len(segments) > 1
    for entry in entries:
        assert read(store, entry).body == body_of(1)                            # type: ignore[union-attr]
    close_room(store, reader.room)
    last = append_apart(
        store, False, StoredMessage(b"ex", b"key", b"\0\0", body_of(1)), [1], [2000], reader.room, place)[0]
    assert int(last["segment"]) != int(entries[0]["segment"]), "a room that is closed takes none"
    again = open_store(segment_bytes=SEGMENT_BYTES)
    assert len(again.recover()[1]) == 1100


def test_a_room_is_used_again_when_nobody_needs_it(store: Store) -> None:
    reader = Reader(store)
    number = reader.room.number
    entry = reader.append(1)[0]
    acked(store, entry)
    other = Reader(store)
    assert other.room.number != number, "the gateway may still write there"
    close_room(store, reader.room)
    third = Reader(store)
    assert third.room.number == number
    assert read(store, entry) is None
    live = third.append(2)[0]
    close_room(store, third.room)
    assert Reader(store).room.number not in (number, other.room.number), "a message lies there"
    assert read(store, live).body == body_of(2)                                 # type: ignore[union-attr]
    acked(store, live)
    assert Reader(store).room.number == number


def test_a_room_that_somebody_may_write_to_is_not_used_again(store: Store) -> None:
    reader = Reader(store)
    entry = reader.append(1)[0]
    close_room(store, reader.room, True)
    assert read(store, entry).body == body_of(1)                                # type: ignore[union-attr]
    acked(store, entry)
    run_chores(store)
    assert not Path(data_path(reader.room)).exists()
    assert Reader(store).room.number != reader.room.number


def test_few_are_kept_and_memory_is_counted(store: Store) -> None:
    readers = [Reader(store) for _ in range(8)]
    taken = store.memory_bytes
    for reader in readers:
        close_room(store, reader.room)
    run_chores(store)
    assert sum(Path(data_path(reader.room)).exists() for reader in readers) == 4
    assert store.memory_bytes == taken // 2
    store.close()
    assert not any(Path(data_path(reader.room)).exists() for reader in readers)


def test_without_memory_there_is_no_room(open_store: OpenStore) -> None:
    store = open_store(segment_bytes=SEGMENT_BYTES, transient_bytes_max=3 << 20)
    assert open_room(store) is not None and open_room(store) is not None
    assert open_room(store) is None
    assert open_room(open_store(segment_bytes=64 << 10)) is None, "smaller than a read"


def test_who_hears_late_of_a_room_does_not_take_the_next_processs_file_for_it(
    open_store: OpenStore, store: Store, message: Callable[..., StoredMessage]
) -> None:
    """Nothing lies in the room: the next process removes its file, and may give the name to another one."""
    room = open_room(store)
    assert room is not None
    path, size, beginning = data_path(room), Path(data_path(room)).stat().st_size, room.beginning
    Room(0, room.number, path, size, ROOM_FIRST_BYTE, size, beginning)
    again = open_store(segment_bytes=SEGMENT_BYTES)
    again.recover()
    assert not Path(path).exists()
    for number in range(4):
        append(again, False, message(body_of(number)), [1], [number + 1])
        if Path(path).exists():
            break
    assert Path(path).exists(), "the same name"
    with pytest.raises(ValueError, match="another"):
        Room(0, room.number, path, min(size, Path(path).stat().st_size), ROOM_FIRST_BYTE, 1 << 20, beginning)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EMFILE, errno.ENOMEM])
@pytest.mark.parametrize("call", ["create", "allocate", "free_bytes"])
def test_where_the_machine_has_none_there_is_no_room(open_store: OpenStore, error: int, call: str) -> None:
    """It is not needed: the message that it would serve next is stored like any other."""
    class Refusing(Disk):
        refuses = False

    def refuse(self: Refusing, *arguments: Any) -> Any:
        if self.refuses:
            raise OSError(error, os.strerror(error))
        return getattr(Disk, call)(self, *arguments)

    setattr(Refusing, call, refuse)
    disk = Refusing()
    store = open_store(segment_bytes=SEGMENT_BYTES, disk=disk)
    disk.refuses = True
    assert open_room(store) is None
    assert store.memory_bytes == 0
    disk.refuses = False
    assert open_room(store) is not None


def test_compaction_goes_in_steps_of_bodies_too(store: Store) -> None:
    store.compacted_bytes_min = 1
    reader = Reader(store)
    entries = [reader.append(number)[0] for number in range(1, 41)]
    for entry in entries[10:]:
        acked(store, entry)
    close_room(store, reader.room)
    steps = 1
    while store.compact(2 * BODY_BYTES):
        steps += 1
    assert steps >= 5
    assert [read(store, entry).body for entry in entries[:10]] == [body_of(n) for n in range(1, 11)]  # type: ignore[union-attr]


def test_bodies_get_rooms_as_large_as_they_need(open_store: OpenStore) -> None:
    store = open_store(segment_bytes=64 << 20, transient_bytes_max=64 << 20)
    sizes = []
    for body_bytes in (1 << 20, (1 << 20) + 1, ROOM_BODY_BYTES_MAX, 0):
        room = open_room(store, body_bytes)
        assert room is not None
        sizes.append(room.room_bytes)
        close_room(store, room)
    assert sizes == [ROOM_BYTES, LARGE_ROOM_BYTES, LARGE_ROOM_BYTES, ROOM_BYTES]


def test_a_room_that_is_too_small_is_better_than_none(open_store: OpenStore) -> None:
    few = open_store(segment_bytes=64 << 20, transient_bytes_max=8 << 20)
    room = open_room(few, ROOM_BODY_BYTES_MAX)
    assert room is not None and room.room_bytes == ROOM_BYTES


def test_rooms_of_a_size_that_nobody_wants_any_more_go(open_store: OpenStore) -> None:
    store = open_store(segment_bytes=64 << 20, transient_bytes_max=256 << 20)
    for body_bytes in (0, ROOM_BODY_BYTES_MAX):
        rooms = [open_room(store, body_bytes) for _ in range(6)]
        for room in rooms:
            assert room is not None
            close_room(store, room)
        run_chores(store)
        left = [room for room in rooms if Path(data_path(room)).exists()]       # type: ignore[arg-type]
        assert len(left) == 4
    assert {room.room_bytes for room in left} == {LARGE_ROOM_BYTES}                  # type: ignore[union-attr]


def test_what_is_left_in_a_room_is_compacted(store: Store) -> None:
    store.compacted_bytes_min = 1
    reader = Reader(store)
    entries = [reader.append(number)[0] for number in range(1, 21)]
    for entry in entries[1:]:
        acked(store, entry)
    assert not store.compact(1 << 20), "the room is still read to"
    close_room(store, reader.room)
    while store.compact(1 << 20):
        pass
    run_chores(store)
    assert not Path(data_path(reader.room)).exists()
    assert read(store, entries[0]).body == body_of(1)                           # type: ignore[union-attr]


@pytest.mark.parametrize(("bodies", "goes"), [(1, True), (12, True), (14, False), (40, False)])
def test_few_bodies_do_not_keep_a_room_in_which_most_was_nobodys(store: Store, bodies: int, goes: bool) -> None:
    """Small messages were read there, too, or such as went to the disk. A quarter of a mebibyte is 13 bodies."""
    reader = Reader(store)
    for number in range(40 - bodies):
        reader.put(body_of(number))
    entries = [reader.append(number)[0] for number in range(bodies)]
    close_room(store, reader.room)
    while store.compact(1 << 20):
        pass
    run_chores(store)
    assert Path(data_path(reader.room)).exists() != goes
    for number, entry in enumerate(entries):
        assert read(store, entry).body == body_of(number)                       # type: ignore[union-attr]


def test_a_dump_shows_the_room_and_what_lies_in_it(store: Store) -> None:
    reader = Reader(store)
    reader.append(3)
    head, room, record = dump.dump(data_path(reader.room))
    assert head["kind"] == "segment"
    assert room["kind"] == "room" and room["record_bytes"] == ROOM_FIRST_BYTE - 4096 + reader.room.room_bytes
    assert record["kind"] == "message" and record["body_bytes"] == BODY_BYTES
    assert record["body_start"].startswith("00000003")
    assert len(list(dump.lines(data_path(reader.room)))) == 3
