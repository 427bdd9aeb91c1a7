"""Publishes from rooms: their bodies stay where a gateway has read them to, whatever becomes of the messages."""
from __future__ import annotations

import os
import random
import struct
from pathlib import Path
from typing import Any

import pytest

from bus.limits import LENT_BODY_BYTES_MIN, ROOM_BODY_BYTES_MAX
from shards.engine import BadRecord
from tests.unit.shards import wire
from tests.unit.shards.conftest import Bench
from tests.unit.shards.test_lending import Borrower, run_chores
from tests.unit.shards.wire import REJECT, REQUEUE, publish, settle

APART, ROOMLESS = 16, 32
ALL_STATES = 0xFFFF
BODY_BYTES = LENT_BODY_BYTES_MIN
SEGMENT_BYTES = 1 << 20
ROOM_BYTES = (4 << 20) + (256 << 10)
LARGE_ROOM_BYTES = (16 << 20) + (512 << 10)


def large(number: int, size: int = BODY_BYTES) -> bytes:
    return b"%08d" % number + bytes([number % 251]) * (size - 8)


class Reader(Borrower):
    """A gateway that reads large bodies into the rooms that it is given."""

    def __init__(self, bench: Bench, gateway: int = 0) -> None:
        super().__init__(bench, gateway)
        self.rooms: list[dict[str, Any]] = []
        self.position = 0

    def _hear(self, event: dict[str, Any]) -> None:
        super()._hear(event)
        if event["event"] == "room":
            with open(event["path"], "rb") as file:
                assert file.read(64) == bytes.fromhex(event["beginning"])
            self.rooms.append(event)

    def ask(self) -> None:
        """The first large message comes without a room."""
        self.bench.feed(publish(99, large(0)), gateway=self.gateway)
        self.take()
        self.position = self.rooms[0]["start"]

    def put(self, body: bytes) -> int:
        room = self.rooms[0]
        assert self.position + len(body) <= room["end"]
        descriptor = os.open(room["path"], os.O_RDWR)
        os.pwrite(descriptor, body, self.position)
        os.close(descriptor)
        self.position += len(body) + 9
        return self.position - len(body) - 9

    def publish(self, queue_ids: int | list[int], number: int, **fields: Any) -> None:
        body = large(number)
        self.bench.feed(
            apart(self.rooms[0]["file"], self.put(body), queue_ids, len(body), **fields), gateway=self.gateway)

    def end_room(self) -> None:
        room = self.rooms.pop(0)
        assert self.bench.engine.end_room(self.gateway, room["file"])
        self.take()
        self.position = self.rooms[0]["start"]


def apart(file: int, position: int, queue_ids: int | list[int], body_bytes: int, **fields: Any) -> bytes:
    """A PUBLISH record whose body lies in a room (bus/records.pxd)."""
    raw = bytearray(publish(queue_ids, b"", **fields))
    raw[5] |= APART
    at = wire.PUBLISH.size + (8 if fields.get("not_before_ms") is not None else 0)
    raw[at:at] = struct.pack("<QQ", file, position)
    raw[0:4] = struct.pack("<I", len(raw))
    raw[24:28] = struct.pack("<I", body_bytes)
    return bytes(raw)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path, segment_bytes=SEGMENT_BYTES)
    made.engine.add_queue(1, True, False)
    made.engine.add_queue(2, False, False)
    return made


@pytest.fixture
def reader(bench: Bench) -> Reader:
    made = Reader(bench)
    made.ask()
    return made


def test_a_large_message_brings_two_rooms_once(bench: Bench, reader: Reader) -> None:
    bench.feed(publish(99, large(1)))
    reader.take()
    assert len({room["file"] for room in reader.rooms}) == len(reader.rooms) == 2


def test_who_shares_no_files_has_no_room(bench: Bench) -> None:
    bench.feed(publish(99, large(1)))
    assert bench.take() == []


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("no_ack", [False, True])
@pytest.mark.parametrize("waiting", [False, True], ids=["direct", "from a backlog"])
def test_a_message_from_a_room_is_delivered(
    bench: Bench, reader: Reader, persistent: bool, no_ack: bool, waiting: bool
) -> None:
    if not waiting:
        bench.consume(no_ack=no_ack)
    for number in range(10):
        reader.publish(1, number, persistent=persistent, exchange=b"ex", properties=b"\x80\0\4text")
    if waiting:
        bench.consume(no_ack=no_ack)
    if persistent and no_ack and not waiting:
        assert bench.bodies() == [large(number) for number in range(10)], "passed on without the disk"
        return
    while reader.take():
        bench.engine.dispatch()
    assert reader.bodies == [large(number) for number in range(10)]


def test_a_transient_body_is_delivered_from_where_it_was_read_to(bench: Bench, reader: Reader) -> None:
    bench.consume()
    reader.publish(1, 5)
    assert reader.take() == [(reader.rooms[0]["file"], reader.rooms[0]["start"])]


def test_all_queues_of_a_fanout_have_the_same_body(bench: Bench, reader: Reader) -> None:
    bench.consume(1, 1)
    bench.consume(2, 2, channel=2)
    reader.publish([1, 2], 6)
    places = reader.take()
    assert len(places) == 2 and places[0] == places[1]
    assert reader.bodies == [large(6)] * 2


def test_a_gateway_that_maps_nothing_gets_a_copy(bench: Bench, reader: Reader) -> None:
    bench.consume(1, 1, gateway=1)
    reader.publish(1, 7)
    assert bench.bodies(1) == [large(7)]


def test_get_returns_a_copy_and_browsing_shows_it(bench: Bench, reader: Reader) -> None:
    reader.publish(1, 8)
    (message,), _ = bench.engine.browse(1, 0, (1 << 64) - 1, ALL_STATES, 10, 1 << 20, 16)
    assert message.payload == large(8)[:16] and message.payload_bytes == BODY_BYTES
    assert bench.engine.get(0, 77, 1, 1, False, 1)
    assert [record.body for record in bench.take()] == [large(8)]


def test_requeued_and_redelivered(bench: Bench, reader: Reader) -> None:
    bench.consume()
    reader.publish(1, 9)
    first = reader.take()
    bench.feed(settle(1, 1, REQUEUE))
    assert reader.take() == first
    bench.feed(settle(1, 2, REJECT))
    assert reader.bodies == [large(9)] * 2 and bench.store.live_entries == 0


def test_a_room_that_is_full_is_kept_until_its_last_message_has_gone(bench: Bench, reader: Reader) -> None:
    file = reader.rooms[0]["file"]
    for number in range(3):
        reader.publish(1, number)
    reader.end_room()
    assert len(reader.rooms) == 2 and file not in {room["file"] for room in reader.rooms}
    bench.consume()
    reader.take()
    assert reader.bodies == [large(number) for number in range(3)]
    bench.feed(settle(1, 3, multiple=True))
    reader.end_room()
    assert file not in {room["file"] for room in reader.rooms}, "the batch that names it is not given back"
    reader.give_back()
    reader.publish(2, 4)                # so it is not this room that is used again
    reader.end_room()
    assert file in {room["file"] for room in reader.rooms}, "it is used again"
    assert len(reader.paths) <= 4


def test_a_gateway_that_goes_leaves_its_messages(bench: Bench, reader: Reader) -> None:
    """And nobody else gets its rooms: it may be reading still."""
    paths = [Path(room["path"]) for room in reader.rooms]
    for number in range(3):
        reader.publish(1, number)
    bench.engine.gateway_down(0)
    bench.engine.end_loans()
    run_chores(bench)
    assert [path.exists() for path in paths] == [True, False], "nothing lies in the second"
    heir = Reader(bench)
    heir.ask()
    assert not {room["path"] for room in heir.rooms} & set(map(str, paths))
    bench.consume()
    heir.take()
    assert heir.bodies == [large(number) for number in range(3)]
    bench.feed(settle(1, 3, multiple=True))
    heir.give_back()
    run_chores(bench)
    assert not paths[0].exists()


@pytest.mark.parametrize("where", [
    "before", "header", "end", "beyond", "huge", "wrapping", "other file", "closed room", "of another gateway",
])
def test_a_place_outside_of_the_gateways_rooms_breaks_the_link(bench: Bench, reader: Reader, where: str) -> None:
    room = dict(reader.rooms[0])
    file, position, gateway = room["file"], room["start"], 0
    if where == "before":
        position -= 1
    elif where == "header":
        position = 0
    elif where == "end":
        position = room["end"] - BODY_BYTES + 1
    elif where == "beyond":
        position = room["end"] + 1
    elif where == "huge":
        position = (1 << 64) - 1
    elif where == "wrapping":
        position = (1 << 64) - BODY_BYTES
    elif where == "other file":
        file += 1000
    elif where == "closed room":
        reader.publish(2, 4)            # so that it is not given again
        reader.end_room()
    else:
        gateway = 1
        bench.engine.set_borrowing(1, True)
    with pytest.raises(BadRecord):
        bench.feed(apart(file, position, 1, BODY_BYTES), gateway=gateway)
    assert bench.ready() == 0


def test_a_record_that_is_too_short_for_its_place_breaks_the_link(bench: Bench, reader: Reader) -> None:
    whole = apart(reader.rooms[0]["file"], reader.rooms[0]["start"], 1, BODY_BYTES)
    for n in range(40, len(whole) - 8, 8):
        with pytest.raises(BadRecord):
            bench.feed(struct.pack("<I", n) + whole[4:n])


def test_mutated_publishes_from_a_room_are_whole_or_break_the_link(bench: Bench, reader: Reader) -> None:
    """What is stored lies in the room or in the record: over the sanitized core nothing else is read."""
    rng = random.Random(3)
    room = reader.rooms[0]
    body = random.Random(4).randbytes(room["end"] - room["start"])
    for each in reader.rooms:
        descriptor = os.open(each["path"], os.O_RDWR)
        os.pwrite(descriptor, body, each["start"])
        os.close(descriptor)
    broken = 0
    for _ in range(1500):
        raw = bytearray(apart(
            room["file"], room["start"] + rng.randrange(len(body) - BODY_BYTES), rng.choice([1, [1, 2]]), BODY_BYTES,
            persistent=rng.random() < 0.3, not_before_ms=rng.choice([None, 5]), exchange=b"ex", properties=b"\0\0"))
        for _ in range(rng.randrange(1, 4)):
            raw[rng.randrange(5, len(raw))] = rng.choice([0, 1, 16, 127, 128, 255, rng.randrange(256)])
        try:
            bench.feed(bytes(raw))
        except BadRecord:
            broken += 1
    assert 200 < broken < 1300
    got = 0
    while bench.engine.get(0, 77, 1, 1, True, 1):
        (record,) = bench.take()
        assert record.body in body or len(record.body) < 256
        got += 1
    assert got > 100


def test_a_room_of_a_number_that_it_has_not_cannot_end(bench: Bench, reader: Reader) -> None:
    assert not bench.engine.end_room(0, 12345)
    assert not bench.engine.end_room(1, reader.rooms[0]["file"])


def test_a_room_that_was_too_small_is_followed_by_larger_ones_until_they_are_not_needed(tmp_path: Path) -> None:
    reader = Reader(Bench(tmp_path, segment_bytes=64 << 20))
    reader.bench.engine.add_queue(1, True, False)
    reader.ask()
    sizes = []
    for body_bytes in (2 << 20, 0, 0, 0, ROOM_BODY_BYTES_MAX + 1):
        room = reader.rooms.pop(0)
        assert reader.bench.engine.end_room(0, room["file"], body_bytes)
        reader.take()
        sizes.append(reader.rooms[-1]["end"] - reader.rooms[-1]["start"])
    assert sizes == [LARGE_ROOM_BYTES, LARGE_ROOM_BYTES, ROOM_BYTES, ROOM_BYTES, ROOM_BYTES]


def test_a_room_that_is_given_back_is_followed_by_another_one_when_that_is_wanted(
    bench: Bench, reader: Reader,
) -> None:
    for room in reader.rooms:
        assert bench.engine.end_room(0, room["file"], back=True)
    reader.rooms.clear()
    bench.feed(publish(99, large(1)))
    reader.take()
    assert not reader.rooms, "what could not be used a moment ago is not given again"
    bench.engine.now_ms += 1000
    bench.feed(publish(99, large(1)))
    reader.take()
    assert len(reader.rooms) == 2


def test_rooms_that_nobody_has_for_a_while_are_removed(bench: Bench, reader: Reader) -> None:
    """And their gateway hears that their files are gone."""
    paths = [Path(room["path"]) for room in reader.rooms]
    for room in reader.rooms:
        assert bench.engine.end_room(0, room["file"], back=True)
    bench.store.give_back_rooms()
    run_chores(bench)
    assert all(path.exists() for path in paths), "they were used since the last look"
    before = bench.store.memory_bytes
    bench.store.give_back_rooms()
    run_chores(bench)
    assert not any(path.exists() for path in paths)
    assert bench.store.memory_bytes < before - sum(room["end"] - room["start"] for room in reader.rooms)
    bench.engine.end_loans()
    reader.take()
    assert not reader.files


def test_spare_rooms_that_are_used_now_and_then_stay(bench: Bench, reader: Reader) -> None:
    for _ in range(3):
        for room in reader.rooms:
            assert bench.engine.end_room(0, room["file"], back=True)
        reader.rooms.clear()
        bench.store.give_back_rooms()
        bench.engine.now_ms += 1000
        bench.feed(publish(99, large(1)))
        reader.take()
    run_chores(bench)
    assert len(reader.rooms) == 2 and all(Path(room["path"]).exists() for room in reader.rooms)
    assert bench.store.removed_segments == 0


def test_who_cannot_read_into_rooms_is_given_none(bench: Bench) -> None:
    other = Reader(bench, gateway=1)
    raw = bytearray(publish(99, large(0)))
    raw[5] |= ROOMLESS
    bench.feed(bytes(raw), gateway=1)
    other.take()
    assert not other.rooms


def test_a_message_with_a_time_or_to_a_queue_with_features(bench: Bench, reader: Reader) -> None:
    bench.consume()
    bench.engine.now_ms = 1000
    reader.publish(1, 4, not_before_ms=2000)
    assert reader.take() == []
    bench.engine.expire(2000)
    bench.engine.dispatch()
    reader.take()
    assert reader.bodies == [large(4)]
