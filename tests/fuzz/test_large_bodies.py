"""Large bodies both ways, cut anywhere, lied about, given up in the middle: what arrives is whole, or nothing.

Over the sanitized core this also proves that nobody reads what a shard has taken back, or writes behind a ring.
"""
from __future__ import annotations

import asyncio
import random
import struct
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.limits import LENT_BODY_BYTES_MIN
from gateway.turn import READ_BUFFER_BYTES
from tests.fuzz.large_bodies import FRAME_MAX, RING_BYTES, Client, World, frames_of, publish
from tests.unit.gateway.bench import turn
from tests.unit.gateway_core import frames, records
from tests.unit.gateway_core.test_lent import deliver_lent

BODY_MAX = FRAME_MAX - 8
EDGES = [0, 1, 7, 8, LENT_BODY_BYTES_MIN - 100, LENT_BODY_BYTES_MIN - 41, LENT_BODY_BYTES_MIN - 40,
         LENT_BODY_BYTES_MIN - 1, LENT_BODY_BYTES_MIN, LENT_BODY_BYTES_MIN + 1, RING_BYTES // 2 - 64, BODY_MAX - 1,
         BODY_MAX, BODY_MAX + 1, RING_BYTES // 2, READ_BUFFER_BYTES - 8, READ_BUFFER_BYTES + 3, RING_BYTES * 2 + 5]
QUEUES = [b"one", b"two"]
MEMORY_DIRECTORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
CONTENT = random.Random(5).randbytes(2 * max(EDGES))
ACK, CHANNEL_CLOSE_METHOD, CONNECTION_CLOSE_METHOD = (60, 80), (20, 40), (10, 50)

sizes = st.one_of(st.sampled_from(EDGES), st.integers(0, 70_000))
cuts = st.one_of(st.just([]), st.lists(st.one_of(st.integers(1, 40), st.integers(1, FRAME_MAX)), max_size=12))
reads = st.lists(st.one_of(st.integers(1, 20), st.integers(1, 40_000)), max_size=30)


def played(test: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    """A world for it alone, and another one in which bodies are read into rooms."""
    for rooms in (False, True):
        with tempfile.TemporaryDirectory(dir=MEMORY_DIRECTORY) as directory:

            async def body(directory: str = directory, rooms: bool = rooms) -> None:
                world = World(Path(directory), rooms=rooms)
                try:
                    await world.begin(*map(bytes.decode, QUEUES))
                    await test(world)
                    world.check_rooms()
                finally:
                    world.close()

            asyncio.run(body())


def body_of(number: int, size: int) -> bytes:
    return CONTENT[number:number + size]


def methods_of(client: Client) -> list[tuple[int, int]]:
    """(class, method) of all that the client was told."""
    client.flow()
    found = [payload for kind, _, payload in frames_of(bytes(client.output)) if kind == frames.METHOD]
    return [(class_id, method_id) for class_id, method_id in (struct.unpack_from(">HH", one) for one in found)]


@given(st.lists(st.tuples(sizes, st.sampled_from(QUEUES), cuts, st.sampled_from((1, 2))), max_size=8), reads, st.data())
def test_publishes_arrive_whole_and_in_order_however_they_are_cut(
    drawn: list[tuple[int, bytes, list[int], int]], pieces: list[int], data: st.DataObject
) -> None:
    async def scenario(world: World) -> None:
        client = await world.client(confirms=True)
        first = (LENT_BODY_BYTES_MIN, data.draw(st.sampled_from(QUEUES)), [], 1)    # from then on it reads into rooms
        publishes = [first, *drawn]
        client.feed(publish(1, body_of(0, LENT_BODY_BYTES_MIN), first[1]))
        stream = b"".join(
            publish(channel, body_of(number, size), queue, frame_sizes)
            for number, (size, queue, frame_sizes, channel) in enumerate(publishes) if number)
        middle = data.draw(st.integers(0, len(stream)))
        client.feed(stream[:middle], pieces)
        world.turn()
        client.feed(stream[middle:], pieces)
        world.turn(answers=True)
        for queue in QUEUES:
            assert [one.body for one in world.published if one.routing_key == queue] == [
                body_of(number, size) for number, (size, of_queue, *_) in enumerate(publishes) if of_queue == queue]
        assert not client.connection.paused and client.connection.backlog_bytes == 0
        client.flow()
        assert confirmed(client) == [sum(one[3] == channel for one in publishes) for channel in (1, 2)]

    played(scenario)


@given(st.lists(st.integers(1, 300_000), min_size=2, max_size=3), cuts, reads, st.integers(0, 2**32))
def test_bodies_of_several_channels_and_connections_come_at_once(
    drawn: list[int], frame_sizes: list[int], pieces: list[int], seed: int
) -> None:
    """Frames of channels in any order, with heartbeats between, and the reads of two connections."""
    rng = random.Random(seed)

    async def scenario(world: World) -> None:
        clients = [await world.client(channels=3), await world.client(channels=3)]
        for client in clients:
            client.feed(publish(1, body_of(0, LENT_BODY_BYTES_MIN), QUEUES[0]))
        world.turn()
        del world.published[:]
        streams = []
        for _ in clients:
            waiting = []
            for number, size in enumerate(drawn):
                whole = publish(number + 1, body_of(number, size), QUEUES[0], frame_sizes)
                waiting.append([struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"
                                for kind, channel, payload in frames_of(whole)])
            stream = b""
            while waiting := [frames_left for frames_left in waiting if frames_left]:
                stream += rng.choice(waiting).pop(0)
                stream += struct.pack(">BHIB", 8, 0, 0, 0xCE) if rng.random() < 0.1 else b""
            streams.append(stream)
        while any(streams):
            which = rng.choice([n for n, stream in enumerate(streams) if stream])
            n = rng.choice((1, 9, 5000, 100_000, 400_000))
            clients[which].feed(streams[which][:n], pieces)
            streams[which] = streams[which][n:]
            if rng.random() < 0.3:
                world.turn()
        world.turn()
        wanted = sorted(body_of(number, size) for number, size in enumerate(drawn))
        assert sorted(one.body for one in world.published) == sorted(wanted * 2)

    played(scenario)


def confirmed(client: Client) -> list[int]:
    """By channel: the publishes that were acknowledged, each once."""
    highest = [0, 0]
    for kind, channel, payload in frames_of(bytes(client.output)):
        if kind == frames.METHOD and struct.unpack_from(">HH", payload) == ACK:
            tag, multiple = struct.unpack_from(">QB", payload, 4)
            assert tag == highest[channel - 1] + 1 or (multiple and tag > highest[channel - 1])
            highest[channel - 1] = tag
    return highest


@pytest.mark.parametrize("size", [LENT_BODY_BYTES_MIN - 41, LENT_BODY_BYTES_MIN, BODY_MAX, BODY_MAX + 100])
def test_a_read_may_end_at_every_byte_around_the_edges_of_a_publish(size: int) -> None:
    async def scenario(world: World) -> None:
        client = await world.client()
        one = publish(1, body_of(3, size), QUEUES[0])
        body_at = len(frames.publish_method(1, routing_key=QUEUES[0]) + frames.content_header(1, size))
        edges = {0, body_at, body_at + 7, body_at + 7 + LENT_BODY_BYTES_MIN, body_at + BODY_MAX, len(one)}
        places = {edge + step for edge in edges for step in range(-12, 13)} | set(range(body_at + 8))
        count = 0
        for at in sorted(place for place in places if 0 < place < 2 * len(one)):
            client.feed(one + one, [at])
            world.turn()
            count += 2
            assert [published.body for published in world.published[-2:]] == [body_of(3, size)] * 2
            del world.published[:-2]
        assert count > 100

    played(scenario)


LIES = [
    ("less than comes", lambda size: size - 1, True), ("more than comes", lambda size: size + 1, False),
    ("nothing", lambda size: 0, True), ("2 ** 32", lambda size: 1 << 32, True),
    ("2 ** 63", lambda size: 1 << 63, True), ("2 ** 64 - 1", lambda size: (1 << 64) - 1, True),
]


@pytest.mark.parametrize("size", [100, LENT_BODY_BYTES_MIN, 100_000, 300_000])
@pytest.mark.parametrize("claimed, refused", [lie[1:] for lie in LIES], ids=[lie[0] for lie in LIES])
def test_a_header_that_lies_about_the_body_publishes_nothing_more(
    claimed: Callable[[int], int], refused: bool, size: int
) -> None:
    """The connection or channel of the liar ends; others publish on."""
    async def scenario(world: World) -> None:
        rng = random.Random(size)
        liar, other = await world.client(), await world.client()
        true = publish(1, body_of(1, size), QUEUES[0])
        lie = publish(1, body_of(2, size), QUEUES[0], [rng.randrange(1, size)], claims=claimed(size))
        liar.feed(true + lie + publish(1, body_of(3, size), QUEUES[0]), [rng.randrange(1, size) for _ in range(20)])
        other.feed(publish(1, body_of(4, size), QUEUES[0]))
        world.turn()
        await turn()
        empty = [] if claimed(size) else [b""]
        assert [one.body for one in world.published] == [body_of(1, size), *empty, body_of(4, size)]
        world.turn()
        ended = {CHANNEL_CLOSE_METHOD, CONNECTION_CLOSE_METHOD} & set(methods_of(liar))
        assert bool(ended) or not refused
        assert not {CHANNEL_CLOSE_METHOD, CONNECTION_CLOSE_METHOD} & set(methods_of(other))

    played(scenario)


@pytest.mark.parametrize("size", [FRAME_MAX - 7, FRAME_MAX, 1 << 24, 0xFFFF_FFFF])
def test_a_frame_above_frame_max_is_not_waited_for(size: int) -> None:
    async def scenario(world: World) -> None:
        client = await world.client()
        head = frames.publish_method(1, routing_key=QUEUES[0]) + frames.content_header(1, 1 << 19)
        client.feed(head + struct.pack(">BHI", frames.BODY, 1, size) + bytes(1000), [len(head), 3, 5])
        client.feed(bytes(300_000))
        await turn()
        world.turn()
        assert client.connection.backlog_bytes == 0
        assert CONNECTION_CLOSE_METHOD in methods_of(client)
        assert world.published == []

    played(scenario)


@given(sizes.filter(lambda size: size > 10), st.data(), st.sampled_from(("channel", "connection", "shard")))
def test_a_body_that_is_given_up_in_the_middle_leaves_nothing(size: int, data: st.DataObject, what: str) -> None:
    async def scenario(world: World) -> None:
        client, other = await world.client(), await world.client()
        before = publish(1, body_of(1, LENT_BODY_BYTES_MIN), QUEUES[0])
        half = publish(1, body_of(2, size), QUEUES[0], [size // 2])
        client.feed(before)
        client.feed(half[:data.draw(st.integers(1, len(half) - 1))])
        if what == "channel":
            client.connection.channel(1).closing = True
            client.connection.channel(1).close()
            client.connection.end_channel(client.connection.channel(1))
        elif what == "connection":
            client.lose()
            await turn()
        else:
            world.turn()
            world.gateway.on_link_down(world.ours[0])
            world.gateway.on_link_up(world.ours[0])
        other.feed(publish(1, body_of(4, size), QUEUES[0]))
        world.turn()
        assert [one.body for one in world.published] == [body_of(1, LENT_BODY_BYTES_MIN), body_of(4, size)]

    played(scenario)


def test_a_connection_that_rests_keeps_no_memory_of_rooms_that_are_gone() -> None:
    async def scenario(world: World) -> None:
        clients = [await world.client() for _ in range(40)]
        for number, client in enumerate(clients):
            for _ in range(2):                  # the second one into a room
                client.feed(publish(1, body_of(number, 60_000), QUEUES[1]))
                world.turn()
        removed = world.remove_full_rooms()
        assert len(removed) >= 2 or not world.rooms
        mapped = Path("/proc/self/maps").read_text()
        assert not [path.name for path in removed if str(path) in mapped]

    played(scenario)


@given(st.lists(st.integers(1, 60_000), min_size=1, max_size=40), st.integers(0, 2**32), st.booleans())
def test_a_client_that_does_not_read_gets_every_lent_body_as_it_was_when_it_was_lent(
    lent: list[int], seed: int, leaves: bool
) -> None:
    """The shard writes over each file as soon as it has the batch back."""
    rng = random.Random(seed)

    async def scenario(world: World) -> None:
        client = await world.client(send_buffer_bytes=rng.choice((4096, 65_536, 1 << 20)))
        handle = world.consume(client, "two", "tag")
        client.flow()
        client.output.clear()
        expected = []
        with tempfile.NamedTemporaryFile() as file:
            file.truncate(1 << 20)
            world.say(0, records.event({
                "event": "lend", "file": 1, "path": file.name, "bytes": 1 << 20, "beginning": ""}))
            for first in range(0, len(lent), 5):
                batch = b""
                for number, size in enumerate(lent[first:first + 5]):
                    expected.append(body_of(first + number, size))
                    file.seek(100_000 * number)
                    file.write(expected[-1])
                    batch += deliver_lent(handle, 100_000 * number, size, file=1)
                    batch += records.deliver(handle, b"small") if rng.random() < 0.3 else b""
                file.flush()
                world.say(0, batch)
                assert not client.connection.has_lent
                file.seek(0)
                file.write(bytes(500_000))
                file.flush()
                if rng.random() < 0.5:
                    client.flow(rng.choice((1, 1000, 100_000)))
                    world.gateway.flush()
            world.say(0, records.event({"event": "lend_end", "file": 1}))
        if leaves:
            client.lose()
            await turn()
            return
        while client.connection.output_bytes or client.transport.waiting:
            client.flow()
            world.gateway.flush()
        before = -1
        while len(client.output) != before:
            before = len(client.output)
            client.flow()
        got = [one.body for one in frames.read(bytes(client.output), FRAME_MAX)]
        assert [body for body in got if body != b"small"] == expected

    played(scenario)
