"""Reading into rooms: the shard gets what it would get otherwise, and nothing that it was told of is written over."""
from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from bus.limits import LENT_BODY_BYTES_MIN
from bus.room import Room
from tests.unit.gateway_core import frames, records
from tests.unit.gateway_core.driver import Channel, Connection, Gateway

FILE_BYTES = 1 << 21
START = 4160
LARGE = LENT_BODY_BYTES_MIN
SMALL_READS_MAX = 16
NOISE = random.Random(17).randbytes(1 << 18)


class RoomGateway(Gateway):
    """Two shards; shard 0 has given rooms in files 1, 2 ..."""

    def __init__(self, directory: Path, rooms: int = 2, room_bytes: int = FILE_BYTES - START) -> None:
        super().__init__()
        self.directory = directory
        self.room_bytes = room_bytes
        self.paths: dict[int, Path] = {}
        self.seen: list[Any] = []
        self.seen_of_other: list[Any] = []
        for _ in range(rooms):
            self.give()

    def give(self) -> None:
        number = len(self.paths) + 1
        self.paths[number] = self.directory / f"{number}.data"
        self.paths[number].write_bytes(bytes(FILE_BYTES))
        self.room(0, number, str(self.paths[number]), FILE_BYTES, START, START + self.room_bytes)

    def body(self, file: int, position: int, body_bytes: int) -> bytes:
        descriptor = os.open(self.paths[file], os.O_RDONLY)
        try:
            return os.pread(descriptor, body_bytes, position)
        finally:
            os.close(descriptor)

    def read(self) -> list[Any]:
        """What was sent to shard 0 since the last look; a room that has ended is followed by another one."""
        raw = bytes(memoryview(self.outgoing(0)))
        if raw:
            self.next_numbers[0] += 1
            self.sent(0, self.next_numbers[0])
        found = []
        for one in records.read(records.with_bodies(raw, self.body)):
            if isinstance(one, records.Document) and one.document.get("event") == "room_end":
                self.give()
            else:
                found.append(one)
        self.seen += found
        self.seen_of_other += self.send(1)
        return found


@pytest.fixture
def gateway(tmp_path: Path) -> RoomGateway:
    return RoomGateway(tmp_path)


def body_of(size: int, seed: int = 0) -> bytes:
    return NOISE[seed % 1000:][:size]


def read_in(connection: Connection, data: bytes) -> int:
    """As much of it as one read takes, as the socket does it; returns how much."""
    room = connection.room_to_read()
    if room is None:
        n = min(len(data), 1 << 18)
        connection.receive(data[:n])
        return n
    window = memoryview(room)
    n = min(len(data), len(window))
    window[:n] = data[:n]
    window.release()
    connection.receive_read(room, n)
    return n


def feed(connection: Connection, data: bytes, cuts: list[int] | None = None) -> None:
    """In reads of the sizes given, as far as there is room."""
    sizes = iter(cuts or ())
    while data:
        n = read_in(connection, data[:next(sizes, len(data))])
        data = data[n:]


def warm(connection: Connection) -> None:
    """The first large message makes its connection read into rooms."""
    connection.receive(frames.publish(1, routing_key=b"q", body=body_of(LARGE)))


def test_nobody_reads_into_a_room_before_it_has_published_something_large(gateway: RoomGateway) -> None:
    connection = Connection(gateway)
    connection.receive(frames.publish(1, routing_key=b"q", body=b"small"))
    assert connection.room_to_read() is None
    warm(connection)
    assert isinstance(connection.room_to_read(), Room)


def test_bodies_stay_and_small_messages_are_copied(gateway: RoomGateway) -> None:
    connection = Connection(gateway)
    warm(connection)
    gateway.read()
    bodies = [body_of(LARGE), b"small", body_of(LARGE + 3, 5), b"", body_of(100_000, 7)]
    feed(connection, b"".join(frames.publish(1, routing_key=b"q", body=body) for body in bodies))
    raw = bytes(memoryview(gateway.outgoing(0)))
    assert len(raw) < 1000
    assert [record.body for record in gateway.read()] == bodies


def test_without_anything_large_it_reads_elsewhere_again(gateway: RoomGateway) -> None:
    connection = Connection(gateway)
    warm(connection)
    for _ in range(SMALL_READS_MAX):
        assert connection.room_to_read() is not None
        feed(connection, frames.publish(1, routing_key=b"q", body=b"small"))
    assert connection.room_to_read() is None
    warm(connection)
    room = connection.room_to_read()
    assert room is not None and room.position == START, "nothing was left there"


def test_what_goes_to_another_shard_is_copied(gateway: RoomGateway) -> None:
    connection = Connection(gateway)
    warm(connection)
    gateway.read()
    body = body_of(LARGE)
    feed(connection, frames.publish(1, routing_key=b"both", body=body))
    assert [record.body for record in gateway.read()] == [body]
    assert [record.body for record in gateway.seen_of_other] == [body]
    feed(connection, frames.publish(1, routing_key=b"q", body=body) + frames.publish(1, routing_key=b"r", body=body))
    gateway.read()
    assert [record.body for record in gateway.seen_of_other] == [body] * 2
    assert len({record.body for record in gateway.seen}) == 1


def test_what_is_incomplete_waits_in_the_room(gateway: RoomGateway) -> None:
    connection = Connection(gateway)
    warm(connection)
    gateway.read()
    body = body_of(100_000, 3)
    data = frames.publish(1, routing_key=b"q", body=body)
    for cut in (1, 7, 20, 40, 60, 70, 71, 100, 50_000, len(data) - 1):
        read_in(connection, data[:cut])
        assert gateway.read() == [] and connection.backlog_bytes == 0
        read_in(connection, data[cut:])
        (published,) = gateway.read()
        assert published.body == body


def test_somebody_else_may_read_while_a_slow_client_stalls(gateway: RoomGateway) -> None:
    slow, quick = Connection(gateway), Connection(gateway)
    for connection in (slow, quick):
        warm(connection)
    gateway.read()
    data = frames.publish(1, routing_key=b"q", body=body_of(100_000, 1))
    read_in(slow, data[:30_000])
    feed(quick, frames.publish(1, routing_key=b"q", body=body_of(90_000, 2)))
    assert slow.backlog_bytes > 0, "moved out"
    feed(quick, frames.publish(1, routing_key=b"q", body=body_of(80_000, 4)))
    read_in(slow, data[30_000:])
    assert [record.body for record in gateway.read()] == \
        [body_of(90_000, 2), body_of(80_000, 4), body_of(100_000, 1)]


def test_a_room_ends_and_the_next_one_goes_on_with_what_was_incomplete(gateway: RoomGateway) -> None:
    connection = Connection(gateway)
    warm(connection)
    gateway.read()
    bodies = [body_of(LARGE + 997 * number, number) for number in range(80)]
    data = b"".join(frames.publish(1, routing_key=b"q", body=body) for body in bodies)
    for start in range(0, len(data), 70_001):
        feed(connection, data[start:start + 70_001])
    assert [record.body for record in gateway.read()] == bodies, "all of them, after all of it was read"
    assert len(gateway.paths) > 3


def test_without_another_room_what_is_incomplete_is_moved_out(tmp_path: Path) -> None:
    gateway = RoomGateway(tmp_path, rooms=1, room_bytes=600_000)
    connection = Connection(gateway)
    warm(connection)
    gateway.read()
    bodies = [body_of(100_000, number) for number in range(20)]
    data = b"".join(frames.publish(1, routing_key=b"q", body=body) for body in bodies)
    for start in range(0, len(data), 70_001):
        feed(connection, data[start:start + 70_001])
    assert [record.body for record in gateway.read()] == bodies


def test_a_shard_that_goes_takes_its_rooms_along(gateway: RoomGateway) -> None:
    connection = Connection(gateway)
    warm(connection)
    gateway.read()
    data = frames.publish(1, routing_key=b"q", body=body_of(100_000, 1))
    read_in(connection, data[:50_000])
    gateway.shard_down(0)
    assert connection.room_to_read() is None and connection.backlog_bytes > 0
    gateway.shard_up(0)
    feed(connection, data[50_000:])
    assert [record.body for record in gateway.read()] == [body_of(100_000, 1)]


def test_a_client_that_goes_leaves_nothing(gateway: RoomGateway) -> None:
    slow = Connection(gateway)
    warm(slow)
    gateway.read()
    data = frames.publish(1, routing_key=b"q", body=body_of(100_000, 1))
    read_in(slow, data[:50_000])
    slow.close()
    other = Connection(gateway)
    warm(other)
    gateway.read()
    feed(other, data)
    assert [record.body for record in gateway.read()] == [body_of(100_000, 1)]
    assert slow.room_to_read() is None


def test_a_pause_moves_what_is_not_handled_out_of_the_room(gateway: RoomGateway) -> None:
    connection = Connection(gateway)
    warm(connection)
    gateway.read()
    connection.on_method_do = lambda made, number, method: made.pause()
    bodies = [body_of(50_000, number) for number in range(3)]
    data = frames.publish(1, routing_key=b"q", body=bodies[0]) + frames.method(1, 20, 20, b"\1")
    data += b"".join(frames.publish(1, routing_key=b"q", body=body) for body in bodies[1:])
    read_in(connection, data)
    assert [record.body for record in gateway.read()] == bodies[:1]
    assert connection.backlog_bytes > 0
    connection.resume()
    assert [record.body for record in gateway.read()] == bodies[1:]


def test_a_transaction_keeps_copies(gateway: RoomGateway) -> None:
    connection = Connection(gateway)
    channel = connection.channels[1]
    channel.tx_select()
    body = body_of(LARGE, 9)
    warm(connection)
    feed(connection, frames.publish(1, routing_key=b"q", body=body))
    feed(connection, frames.publish(1, routing_key=b"q", body=body_of(LARGE, 10)))
    channel.tx_commit()
    assert [record.body for record in gateway.read()] == [body_of(LARGE), body, body_of(LARGE, 10)]


def test_an_unroutable_one_comes_back(gateway: RoomGateway) -> None:
    connection = Connection(gateway)
    warm(connection)
    body = body_of(LARGE, 9)
    feed(connection, frames.publish(1, routing_key=b"q", body=body) +
         frames.publish(1, routing_key=b"nowhere", body=body, mandatory=True))
    (returned,) = [sent for sent in connection.sees() if sent.name == "return"]
    assert returned.body == body


def test_bytes_that_were_not_read_are_not_believed(gateway: RoomGateway) -> None:
    connection, other = Connection(gateway), Connection(gateway)
    warm(connection)
    room = connection.room_to_read()
    assert room is not None
    with pytest.raises(ValueError, match="were not read"):
        connection.receive_read(room, len(memoryview(room)) + 1)
    with pytest.raises(ValueError, match="were not read"):
        other.receive_read(room, 1)


def test_a_read_of_nothing_changes_nothing(gateway: RoomGateway) -> None:
    connection = Connection(gateway)
    warm(connection)
    gateway.read()
    data = frames.publish(1, routing_key=b"q", body=body_of(LARGE, 1))
    read_in(connection, data[:10_000])
    room = connection.room_to_read()
    assert room is not None
    connection.receive_read(room, 0)
    read_in(connection, data[10_000:])
    assert [record.body for record in gateway.read()] == [body_of(LARGE, 1)]


def test_a_file_that_has_taken_the_name_of_another_one_is_no_room(tmp_path: Path) -> None:
    """Of the next process of that shard, which the gateway has not heard of yet."""
    gateway = RoomGateway(tmp_path, rooms=0)
    path = tmp_path / "data"
    path.write_bytes(b"first".ljust(FILE_BYTES, b"\0"))
    place = (0, 7, str(path), FILE_BYTES, START, FILE_BYTES)
    gateway.room(*place, b"first")
    for beginning in (b"other", b"first" + bytes(FILE_BYTES)):
        with pytest.raises(ValueError, match="another"):
            gateway.room(0, 8, *place[2:], beginning)
    connection = Connection(gateway)
    warm(connection)
    room = connection.room_to_read()
    assert room is not None and room.number == 7


@pytest.mark.parametrize(("start", "end", "mapped"), [
    (START, FILE_BYTES + 1, FILE_BYTES), (START, FILE_BYTES, FILE_BYTES + 1), (FILE_BYTES, FILE_BYTES, FILE_BYTES),
    (FILE_BYTES + 5, START, FILE_BYTES), (0, 1, 0), ((1 << 64) - 1, 5, FILE_BYTES),
])
def test_a_room_that_its_file_has_not_is_refused(gateway: RoomGateway, start: int, end: int, mapped: int) -> None:
    with pytest.raises(ValueError, match="room"):
        gateway.room(0, 99, str(gateway.paths[1]), mapped, start, end)


def stream_of(rng: random.Random) -> bytes:
    """Frames as a client may send them, most of them right."""
    data = b""
    for number in range(rng.randrange(3, 25)):
        size = rng.choice([0, 5, 1000, LARGE - 1, LARGE, LARGE + 1, 60_000, 131_064, 131_065, 200_000])
        kind = rng.randrange(40)
        body = body_of(size, number)
        key = rng.choice([b"q", b"q", b"q", b"r", b"both", b"transient"])
        channel = rng.choice([1, 2])
        if kind < 30:
            headers = frames.properties(delivery_mode=rng.choice([1, 2]))
            data += frames.publish(channel, body, headers, routing_key=key, cut=rng.choice([131_064, 20_000]))
        elif kind < 34:
            data += frames.frame(frames.HEARTBEAT, 0, b"")
        elif kind < 36:
            data += frames.method(channel, 20, 20, b"\1")
        elif kind == 36:
            data += frames.publish_method(channel, routing_key=key) + frames.content_header(channel, size + 1) + \
                frames.body_frame(channel, body[:131_064])
        elif kind == 37:
            data += frames.publish_method(channel, routing_key=key) + frames.content_header(channel, len(body)) + \
                frames.frame(frames.BODY, channel, body[:131_064], end=0)
        elif kind == 38:
            data += frames.publish_method(channel, routing_key=key) + frames.publish_method(channel, routing_key=key)
        else:
            data += frames.publish(3, body[:100_000], routing_key=b"q")
    return data


@pytest.mark.parametrize("seed", range(60))
def test_the_same_happens_as_without_rooms(tmp_path: Path, seed: int) -> None:
    """Records, methods and errors, whatever comes in reads of whatever size."""
    rng = random.Random(seed)
    gateway, plain = RoomGateway(tmp_path, room_bytes=rng.choice([400_000, FILE_BYTES - START])), Gateway()
    in_room, straight = Connection(gateway, 2), Connection(plain, 2)
    bystander = Connection(gateway)
    for connection in (in_room, straight):
        warm(connection)
    data = stream_of(rng)
    straight.receive(data)
    while data:
        n = rng.choice([1, 8, 100, 5_000, 70_000, 300_000])
        paused = rng.random() < 0.15
        if paused:
            in_room.pause()
        taken = read_in(in_room, data[:n])
        data = data[taken:]
        if paused:
            in_room.resume()
        if rng.random() < 0.1:
            warm(bystander)
            feed(bystander, frames.publish(1, routing_key=b"q", body=body_of(LARGE)))
        if rng.random() < 0.2:
            gateway.read()
    gateway.read()

    def of_interest(seen: list[Any], connection: Connection) -> list[Any]:
        handles = {channel.handle: number for number, channel in connection.channels.items()}
        return [
            (handles[one.channel], one.queues, one.flags, one.routing_key, one.properties, one.body)
            for one in seen if isinstance(one, records.Published) and one.channel in handles]

    assert of_interest(gateway.seen, in_room) == of_interest(plain.send(0), straight)
    assert of_interest(gateway.seen_of_other, in_room) == of_interest(plain.send(1), straight)
    assert in_room.methods == straight.methods
    assert in_room.failed() == straight.failed()


FRAME = 131_072 - 8


def in_frames(channel: int, body: bytes, size: int = FRAME) -> list[bytes]:
    return [frames.publish_method(channel, routing_key=b"q") + frames.content_header(channel, len(body))] + [
        frames.body_frame(channel, body[at:at + size]) for at in range(0, len(body), size)]


def long_body(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.mark.parametrize("frame_bytes", [FRAME, 100_000, 4096, 1000, 7])
@pytest.mark.parametrize("read_bytes", [1 << 20, 70_001])
def test_bodies_of_several_frames_stay_in_one_piece(gateway: RoomGateway, frame_bytes: int, read_bytes: int) -> None:
    connection = Connection(gateway)
    warm(connection)
    gateway.read()
    bodies = [long_body(size, size) for size in (262_144, 200_000, 131_065, 300_001, 262_144, 400_000)]
    stream = b"".join(b"".join(in_frames(1, body, frame_bytes)) for body in bodies)
    feed(connection, stream[:1000])
    copied = 0
    rest = stream[1000:]
    while rest:
        rest = rest[read_in(connection, rest[:read_bytes]):]
        copied += len(bytes(memoryview(gateway.outgoing(0))))
        gateway.read()
    assert [record.body for record in gateway.seen[1:]] == bodies
    assert copied < 10_000, "their bodies were not copied to the shard"


def test_a_body_whose_header_was_read_elsewhere_goes_to_the_room_all_the_same(gateway: RoomGateway) -> None:
    """As after a pause: what was read before is handled where it was kept."""
    connection = Connection(gateway)
    warm(connection)
    gateway.read()
    for seed, first_bytes in enumerate((100, 60_000, 150_000, 262_144)):
        body = long_body(300_000, seed)
        stream = b"".join(in_frames(1, body))
        connection.receive(stream[:first_bytes])
        feed(connection, stream[first_bytes:], [10, 3, 70_001])
        assert len(bytes(memoryview(gateway.outgoing(0)))) < 1000, "it was not copied to the shard"
        assert [record.body for record in gateway.read()] == [body]


def test_a_body_that_begins_elsewhere_takes_no_room_from_another_connection(gateway: RoomGateway) -> None:
    other, connection = Connection(gateway), Connection(gateway)
    warm(other)
    warm(connection)
    gateway.read()
    body = long_body(400_000)
    pieces = in_frames(1, body)
    feed(other, b"".join(pieces[:3]) + pieces[3][:1000])        # it has the room, and is slow
    connection.receive(b"".join(pieces[:2]))
    connection.receive(b"".join(pieces[2:]))
    assert [record.body for record in gateway.read()] == [body]
    feed(other, pieces[3][1000:] + b"".join(pieces[4:]))
    assert [record.body for record in gateway.read()] == [body]


def test_an_unroutable_body_that_began_elsewhere_leaves_the_room_as_it_was(gateway: RoomGateway) -> None:
    connection = Connection(gateway)
    warm(connection)
    gateway.read()
    body = long_body(300_000)
    lost = frames.publish_method(1, routing_key=b"nowhere") + b"".join(in_frames(1, body))[
        len(frames.publish_method(1, routing_key=b"q")):]
    connection.receive(lost[:200])
    feed(connection, lost[200:])
    feed(connection, b"".join(in_frames(1, body)))
    assert [record.body for record in gateway.read()] == [body]


def test_a_body_that_does_not_fit_any_more_goes_to_the_next_room(gateway: RoomGateway) -> None:
    connection = Connection(gateway)
    warm(connection)
    gateway.read()
    bodies = [long_body(700_000, seed) for seed in range(9)]
    for body in bodies:
        for piece in in_frames(1, body):
            feed(connection, piece)
        assert len(bytes(memoryview(gateway.outgoing(0)))) < 1000
        assert [record.body for record in gateway.read()] == [body]
    assert len(gateway.paths) > 3


def test_two_channels_may_send_large_bodies_at_once(gateway: RoomGateway) -> None:
    connection = Connection(gateway)
    Channel(connection, 2)
    warm(connection)
    gateway.read()
    one, other = long_body(300_000, 1), long_body(280_000, 2)      # as many frames
    pairs = zip(in_frames(1, one, 60_000), in_frames(2, other, 60_000), strict=True)
    mixed = [piece for pair in pairs for piece in pair]
    mixed.insert(3, frames.frame(8, 0, b""))
    small = frames.publish(3, routing_key=b"q", body=b"small")
    Channel(connection, 3)
    mixed.insert(4, small)
    mixed.insert(6, frames.publish(3, routing_key=b"q", body=body_of(LARGE)))
    for cut in (1 << 20, 50_000):
        stream = b"".join(mixed)
        while stream:
            stream = stream[read_in(connection, stream[:cut]):]
        got = [record.body for record in gateway.read()]
        assert sorted(got, key=len) == sorted([one, other, b"small", body_of(LARGE)], key=len)


def test_another_connection_waits_only_as_long_as_the_body_grows(gateway: RoomGateway) -> None:
    slow, quick = Connection(gateway), Connection(gateway)
    warm(slow)
    warm(quick)
    gateway.read()
    body = long_body(400_000)
    pieces = in_frames(1, body)
    feed(slow, b"".join(pieces[:3]) + pieces[3][:1000])
    assert quick.room_to_read() is None, "it reads elsewhere"
    refused = 0
    while quick.room_to_read() is None:
        refused += 1
        assert refused < 100
    feed(quick, frames.publish(1, routing_key=b"q", body=body_of(LARGE)))
    feed(slow, pieces[3][1000:] + b"".join(pieces[4:]))
    assert [record.body for record in gateway.read()] == [body_of(LARGE), body]


@pytest.mark.parametrize("how", ["channel", "connection", "shard"])
def test_a_body_that_is_given_up_leaves_the_room_to_others(gateway: RoomGateway, how: str) -> None:
    connection, other = Connection(gateway), Connection(gateway)
    warm(connection)
    gateway.read()
    body = long_body(400_000)
    feed(connection, b"".join(in_frames(1, body)[:3]) + in_frames(1, body)[3][:77])
    if how == "channel":
        channel = connection.channels[1]
        channel.close()
        connection.remove_channel(1)
        channel.release()
        Channel(connection, 1)
    elif how == "connection":
        connection.close()
    else:
        gateway.shard_down(0)
        gateway.shard_up(0)
        gateway.give()
        gateway.give()
    warm(other)
    gateway.read()
    room = other.room_to_read()
    assert room is not None and room.joined_bytes == 0
    feed(other, b"".join(in_frames(1, body)))
    assert [record.body for record in gateway.read()] == [body]


def test_rooms_that_are_too_small_are_given_back_with_the_size_that_was_wanted(gateway: RoomGateway) -> None:
    connection = Connection(gateway)
    warm(connection)
    gateway.read()
    body = long_body(FILE_BYTES)
    feed(connection, b"".join(in_frames(1, body)))
    assert [record.body for record in gateway.read()] == [body]
    assert connection.room_to_read() is None
    ended = [one.document for one in records.read(bytes(memoryview(gateway.outgoing(0))))]
    assert [one["body"] for one in ended if one.get("event") == "room_end"] == [len(body)] * 2


def given_back(gateway: RoomGateway) -> list[int]:
    """The files of rooms that the shard is to take back, without giving others."""
    said = [one.document for one in records.read(bytes(memoryview(gateway.outgoing(0)))) if hasattr(one, "document")]
    return sorted(one["file"] for one in said if one["event"] == "room_end" and one.get("back"))


def test_rooms_that_nobody_reads_into_go_back(gateway: RoomGateway) -> None:
    connection = Connection(gateway)
    warm(connection)
    gateway.read()
    gateway.end_idle_rooms()
    assert connection.room_to_read() is not None
    gateway.end_idle_rooms()
    assert given_back(gateway) == [], "one of them was used since the last look"
    gateway.end_idle_rooms()
    assert given_back(gateway) == [1, 2]
    assert connection.room_to_read() is None


def test_what_is_incomplete_stays_when_its_room_goes_back(gateway: RoomGateway) -> None:
    connection = Connection(gateway)
    warm(connection)
    gateway.read()
    data = frames.publish(1, routing_key=b"q", body=body_of(100_000, 1))
    read_in(connection, data[:50_000])
    for _ in range(2):
        gateway.end_idle_rooms()
    assert given_back(gateway) == [1, 2] and connection.backlog_bytes > 0
    gateway.sent(0, 9)
    feed(connection, data[50_000:])
    assert [record.body for record in gateway.read()] == [body_of(100_000, 1)]


def test_who_cannot_read_into_rooms_asks_for_none(gateway: RoomGateway) -> None:
    connection = Connection(gateway)
    for roomless in (False, True):
        connection.roomless = roomless
        warm(connection)
        assert [record.flags & records.ROOMLESS for record in gateway.read()] == [records.ROOMLESS if roomless else 0]
