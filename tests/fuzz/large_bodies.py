"""A gateway as its sockets and shards see it: input through the buffers of its protocol, output by a real socket, links
in shared memory of which the test holds the other ends."""
from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from amqp091 import methods
from amqp091.constants import PROTOCOL_HEADER
from amqp091.method_table import (
    BasicConsume,
    ChannelOpen,
    ConfirmSelect,
    ConnectionOpen,
    ConnectionStartOk,
    ConnectionTuneOk,
    QueueDeclare,
)
from bus.doorbell import Doorbell, create_board, map_board
from bus.ring import RingEnd, create_link_file
from gateway.channel import Channel
from gateway.transport import ClientProtocol
from tests.unit.gateway.bench import CAPABILITIES, Bench, turn
from tests.unit.gateway_core import frames, records
from tests.unit.gateway_core.records import Document, Published

FRAME_MAX = 131_072
RING_BYTES = 256 * 1024
SHARDS = 2
ROOM_FILE_BYTES = 1 << 20
ROOM_START = 4160
READ_BYTES_MAX = 1 << 20


class Transport:
    """Of one client: what asyncio's would do, without a loop."""

    def __init__(self, ours: socket.socket) -> None:
        self.socket = ours
        self.waiting = bytearray()
        self.reading = True
        self.closing = False
        self.eof = False

    def get_extra_info(self, name: str) -> Any:
        return {"socket": self.socket, "peername": ("127.0.0.1", 40_000), "sockname": ("127.0.0.1", 5672)}.get(name)

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        self.high, self.low = high, low

    def get_write_buffer_size(self) -> int:
        return len(self.waiting)

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: Any) -> None:
        self.waiting += data

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.eof = True

    def abort(self) -> None:
        self.closing = True
        self.waiting.clear()


class Client:
    """One connection: writes through the protocol's buffers, reads from its socket."""

    def __init__(self, world: World, *, send_buffer_bytes: int | None = None) -> None:
        self.world = world
        ours, self.socket = socket.socketpair()
        for end in (ours, self.socket):
            end.setblocking(False)
        if send_buffer_bytes is not None:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
        self.transport = Transport(ours)
        self.protocol = ClientProtocol(world.gateway)
        self.protocol.connection_made(cast(Any, self.transport))
        self.output = bytearray()

    @property
    def connection(self) -> Any:
        return self.protocol._connection

    def feed(self, data: bytes, sizes: Iterable[int] = ()) -> None:
        """Reads of these sizes, the rest in reads as large as they can be; none is made that was not asked for."""
        at, pieces = 0, iter(sizes)
        while at < len(data) and not self.transport.closing:
            with memoryview(self.protocol.get_buffer(-1)) as place:
                n = min(next(pieces, len(data)), len(place), len(data) - at)
                place[:n] = data[at:at + n]
            self.protocol.buffer_updated(n)
            at += n

    def send(self, channel: int, *asked: tuple[Any, ...]) -> None:
        self.feed(b"".join(methods.encode(channel, one) for one in asked))

    def flow(self, wanted: int = READ_BYTES_MAX) -> None:
        """The transport writes as much as the socket takes; the client reads as much as it wants to."""
        waiting = self.transport.waiting
        with contextlib.suppress(BlockingIOError):
            if waiting and not self.transport.closing:
                del waiting[:self.transport.socket.send(waiting)]
        with contextlib.suppress(BlockingIOError):
            self.output += self.socket.recv(wanted)
        writable = self.connection.writable
        if writable and len(waiting) > self.transport.high:
            self.protocol.pause_writing()
        elif not writable and len(waiting) <= self.transport.low:
            self.protocol.resume_writing()

    def lose(self) -> None:
        """The socket is gone."""
        if not self.transport.closing:
            self.transport.abort()
        self.protocol.connection_lost(None)

    def close(self) -> None:
        self.socket.close()
        self.transport.socket.close()


class World:
    """`queues` are on shard 0 and 1, under their names. `rooms`: shards give some to read into, one after the other."""

    def __init__(self, directory: Path, *, rooms: bool = False) -> None:
        self.directory = directory
        self.rooms = rooms
        self.room_paths: list[Path] = []
        self.in_rooms: list[tuple[int, int, bytes]] = []
        self.full_rooms: list[tuple[int, int]] = []
        self.bench = Bench()
        self.gateway = self.bench.gateway
        self.clients: list[Client] = []
        self.published: list[Published] = []
        self.batch_counts = [0] * SHARDS
        path = str(directory / "board")
        create_board(path, 1 + SHARDS)
        board = map_board(path)
        self._bells = [Doorbell(board, slot, os.eventfd(0, os.EFD_NONBLOCK)) for slot in range(1 + SHARDS)]
        self.ours: dict[int, RingEnd] = {}
        self.theirs: dict[int, RingEnd] = {}
        for shard in range(SHARDS):
            path = str(directory / f"link-{shard}")
            create_link_file(path, RING_BYTES)
            self.ours[shard] = RingEnd(path, False, "shard", shard, 1, self._bells[1 + shard])
            self.theirs[shard] = RingEnd(path, True, "gateway", 0, 1, self._bells[0])
            os.unlink(path)
        os.unlink(directory / "board")

    async def client(self, *, confirms: bool = False, channels: int = 2, **options: Any) -> Client:
        """After the handshake, with channels open."""
        client = Client(self, **options)
        self.clients.append(client)
        client.feed(PROTOCOL_HEADER)
        client.send(0, ConnectionStartOk(CAPABILITIES, "PLAIN", b"\0guest\0guest", "en_US"))
        client.send(0, ConnectionTuneOk(2047, FRAME_MAX, 0), ConnectionOpen("/"))
        for number in range(1, 1 + channels):
            client.send(number, ChannelOpen())
            if confirms:
                client.send(number, ConfirmSelect())
        await turn()
        return client

    async def begin(self, *queues: str) -> None:
        """Declares them, in turn on shard 1 and 0; from then on the links are rings."""
        client = await self.client()
        for queue in queues:
            client.send(1, QueueDeclare(queue=queue))
            await turn()
        for shard, link in self.bench.links.items():
            self.gateway.on_link_down(cast(Any, link))
            self.gateway.on_link_up(cast(Any, self.ours[shard]))
        self.gateway.links = cast(Any, self.ours)
        for shard in range(SHARDS) if self.rooms else ():
            self.give_room(shard)
            self.give_room(shard)

    def consume(self, client: Client, queue: str, tag: str) -> int:
        """The handle of a consumer without acks; its shard has answered."""
        client.send(1, BasicConsume(queue=queue, consumer_tag=tag, no_ack=True, nowait=True))
        self.turn()
        channel = client.connection.channel(1)
        assert isinstance(channel, Channel)
        return channel.consumers[tag].handle

    def turn(self, *, answers: bool = False) -> None:
        """The end of a gateway's turn, and a turn of each shard: it takes what is in its ring."""
        ended: list[tuple[int, int]] = []
        self.gateway.flush()
        for shard in range(SHARDS):
            moved = True
            while moved or self.ours[shard].can_pump():
                if self.ours[shard].pump():
                    self.gateway.on_link_writable(self.ours[shard])
                moved = False
                while (view := self.theirs[shard].receive()) is not None:
                    moved = True
                    self.batch_counts[shard] += 1
                    found = records.read(records.with_bodies(bytes(view), self.body_at))
                    self.published += [record for record in found if isinstance(record, Published)]
                    ended += [
                        (shard, one.document["file"]) for one in found
                        if isinstance(one, Document) and one.document.get("event") == "room_end"]
                self.theirs[shard].release()
            if answers:
                self.say(shard, records.watermark(self.batch_counts[shard], self.batch_counts[shard]))
        for shard, _ in ended:
            self.give_room(shard)
        self.full_rooms += ended
        self.gateway.flush()

    def give_room(self, shard: int) -> None:
        """In a file of its own."""
        number = len(self.room_paths)
        path = self.directory / f"{number}.data"
        path.write_bytes(bytes(ROOM_FILE_BYTES))
        self.room_paths.append(path)
        self.say(shard, records.event({
            "event": "room", "file": number, "path": str(path), "bytes": ROOM_FILE_BYTES, "start": ROOM_START,
            "end": ROOM_FILE_BYTES - 64, "beginning": ""}))

    def remove_full_rooms(self) -> list[Path]:
        """Their files are gone, and the gateway hears of it."""
        removed = [self.room_paths[number] for _, number in self.full_rooms]
        for shard, number in self.full_rooms:
            self.room_paths[number].unlink()
            self.say(shard, records.event({"event": "lend_end", "file": number}))
        self.full_rooms.clear()
        self.in_rooms.clear()
        return removed

    def body_at(self, file: int, position: int, body_bytes: int) -> bytes:
        """Which is to stay there: `check_rooms`."""
        with self.room_paths[file].open("rb") as room:
            room.seek(position)
            body = room.read(body_bytes)
        self.in_rooms.append((file, position, body))
        return body

    def check_rooms(self) -> None:
        """Nothing was read over what the shards were told of."""
        before, self.in_rooms = self.in_rooms, []
        for file, position, body in before:
            assert self.body_at(file, position, len(body)) == body

    def say(self, shard: int, batch: bytes) -> None:
        """A batch of a shard, given back when it was handled."""
        self.theirs[shard].send(batch)
        while (view := self.ours[shard].receive()) is not None:
            self.gateway.on_link_batch(self.ours[shard], view)
            del view
            self.theirs[shard].pump()
        self.ours[shard].release()

    def close(self) -> None:
        for client in self.clients:
            if not client.connection.closed:
                client.lose()       # a connection that is open keeps its gateway, and that the memory of its doorbells
            client.close()
        for end in (*self.ours.values(), *self.theirs.values()):
            end.close()
        for bell in self._bells:
            os.close(bell.descriptor)


def publish(
    channel: int, body: bytes, routing_key: bytes, cuts: Iterable[int] = (), *, claims: int | None = None
) -> bytes:
    """A publish whose body comes in frames of these sizes, the last as large as it can be. `claims`: in its header."""
    found = frames.publish_method(channel, routing_key=routing_key)
    found += frames.content_header(channel, len(body) if claims is None else claims)
    at, pieces = 0, iter(cuts)
    while at < len(body):
        n = min(next(pieces, FRAME_MAX), FRAME_MAX - 8, len(body) - at)
        found += frames.body_frame(channel, body[at:at + n])
        at += n
    return found


def frames_of(output: bytes) -> list[tuple[int, int, bytes]]:
    """(type, channel, payload) of the whole frames."""
    found, at = [], 0
    while at + 8 <= len(output):
        kind, channel, size = struct.unpack_from(">BHI", output, at)
        if at + 8 + size > len(output):
            break
        assert output[at + 7 + size] == 0xCE
        found.append((kind, channel, output[at + 7:at + 7 + size]))
        at += 8 + size
    return found
