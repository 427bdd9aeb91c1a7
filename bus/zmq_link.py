"""A link over ZeroMQ: the serving shard binds a ROUTER, each client a DEALER. Works where no memory is shared.

Frames of a message (behind the ROUTER's identity, which is "<client's role>-<index>.<incarnation>"):

    [b"H"]                 client to shard: hello, answered by b"W"; both grant the first credit
    [b"W"]
    [b"D", batch]          one whole batch
    [b"C", u32]            so many bytes of batches were taken: their credit comes back

A side sends while it has credit left, so at most LINK_WINDOW_BYTES and one batch are under way in ZeroMQ's queues,
which themselves have no limit. What has no credit waits in `pending`, as with the ring.
"""
from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import zmq

from bus.limits import LINK_BATCH_BYTES_MAX, LINK_PENDING_BYTES_MAX, LINK_RING_BYTES
from bus.sockets import Frame, SocketPump, open_socket

if TYPE_CHECKING:
    from typing_extensions import Buffer

HELLO: Final = b"H"
WELCOME: Final = b"W"
DATA: Final = b"D"
CREDIT: Final = b"C"

LINK_WINDOW_BYTES: Final = LINK_RING_BYTES
"""The same amount in flight as in a ring."""
CREDIT_STEP_BYTES: Final = LINK_WINDOW_BYTES // 4
"""Credit goes back in steps: a message per batch would cost as much as the batch."""


class ZmqEnd:
    """One side of a link over ZeroMQ. See bus/links.py for what each method promises."""

    def __init__(
        self,
        serving: bool,
        peer_role: str,
        peer: int,
        peer_incarnation: int,
        transmit: Callable[[Sequence[Frame]], bool],
    ) -> None:
        self.serving = serving
        self.peer_role = peer_role
        self.peer = peer
        self.peer_incarnation = peer_incarnation
        self.next_batch_number = 1
        self.pending_bytes = 0
        self.congested = False
        self.closed = False
        self._transmit = transmit
        self._credit_bytes = 0
        self._pending: deque[bytes] = deque()
        self._inbox: deque[bytes] = deque()
        self._owed_bytes = 0
        self.on_input: Callable[[], None] = lambda: None
        # The peer may be anywhere, and says how much it took, but not when it is done with it.
        self.shares_files = False
        self.sent_position = self.returned_position = 0

    def __repr__(self) -> str:
        return f"<ZmqEnd to {self.peer_role} {self.peer}.{self.peer_incarnation}>"

    # --- sending

    def send(self, batch: Buffer) -> int:
        number = self.next_batch_number
        self.next_batch_number = number + 1
        if self.closed:
            return number
        data = bytes(batch)
        if not data:
            raise ValueError("an empty batch is not sent")
        if len(data) > LINK_BATCH_BYTES_MAX:
            raise ValueError(f"a batch of {len(data)} bytes is over the limit of {LINK_BATCH_BYTES_MAX}")
        if self._pending or not self._send_data(data):
            self._pending.append(data)
            self.pending_bytes += len(data)
            if self.pending_bytes > LINK_PENDING_BYTES_MAX:
                self.congested = True
        return number

    def send_quietly(self, batch: Buffer) -> int:
        return self.send(batch)         # ZeroMQ wakes whoever a message comes to

    def wake_peer(self) -> None:
        pass

    def pump(self) -> bool:
        while self._pending and self._send_data(self._pending[0]):
            self.pending_bytes -= len(self._pending.popleft())
        if self.congested and self.pending_bytes <= LINK_PENDING_BYTES_MAX // 2:
            self.congested = False
            return True
        return False

    def can_pump(self) -> bool:
        return bool(self._pending) and self._credit_bytes > 0

    def _send_data(self, data: bytes) -> bool:
        if self._credit_bytes <= 0 or not self._transmit([DATA, data]):
            return False
        self._credit_bytes -= len(data)
        return True

    # --- receiving

    def has_input(self) -> bool:
        return bool(self._inbox)

    def receive(self) -> memoryview | None:
        self.release()
        if self.closed or not self._inbox:
            return None
        data = self._inbox.popleft()
        self._owed_bytes += len(data)
        return memoryview(data)

    def release(self) -> None:
        if self._owed_bytes >= CREDIT_STEP_BYTES and not self.closed:
            step = min(self._owed_bytes, 0xFFFFFFFF)
            if self._transmit([CREDIT, step.to_bytes(4, "little")]):
                self._owed_bytes -= step

    def close(self) -> None:
        self.closed = True
        self._pending.clear()
        self._inbox.clear()
        self.pending_bytes = 0
        self.congested = False

    def on_message(self, frames: list[bytes]) -> None:
        """What came from the peer; what makes no sense is dropped."""
        match frames:
            case [b"D", data] if 0 < len(data) <= LINK_BATCH_BYTES_MAX:
                self._inbox.append(data)
            case [b"C", step] if len(step) == 4:
                self._credit_bytes += int.from_bytes(step, "little")
            case [b"H"]:
                self._transmit([WELCOME])
                self._credit_bytes = LINK_WINDOW_BYTES
            case [b"W"]:
                self._credit_bytes = LINK_WINDOW_BYTES
            case _:
                return
        self.on_input()


class ZmqListener:
    """A shard's ROUTER, shared by the ends of the links that it serves."""

    def __init__(self, loop: asyncio.AbstractEventLoop, address: str) -> None:
        self.address = address
        socket = open_socket(zmq.ROUTER)
        socket.bind(address)
        self._ends: dict[bytes, ZmqEnd] = {}
        self._early: dict[bytes, list[list[bytes]]] = {}
        self._pump = SocketPump(loop, socket, self._on_message)

    def open(self, peer_role: str, peer: int, peer_incarnation: int) -> ZmqEnd:
        identity = zmq_identity(peer_role, peer, peer_incarnation)

        def transmit(frames: Sequence[Frame]) -> bool:
            return self._pump.send([identity, *frames])

        end = ZmqEnd(True, peer_role, peer, peer_incarnation, transmit)
        self._ends[identity] = end
        for frames in self._early.pop(identity, []):
            end.on_message(frames)
        return end

    def forget(self, end: ZmqEnd) -> None:
        self._ends.pop(zmq_identity(end.peer_role, end.peer, end.peer_incarnation), None)

    def close(self) -> None:
        self._pump.close()

    def _on_message(self, frames: list[bytes]) -> None:
        end = self._ends.get(frames[0])
        if end is not None:
            end.on_message(frames[1:])
        elif frames[1:] == [HELLO]:
            # A client may hear of the link before this side does. It sends nothing else before the welcome.
            self._early[frames[0]] = [frames[1:]]


class ZmqConnection:
    """A client's DEALER to one shard, with its one end."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        address: str,
        identity: bytes,
        peer_role: str,
        peer: int,
        peer_incarnation: int,
    ) -> None:
        socket = open_socket(zmq.DEALER, routing_id=identity)
        socket.connect(address)
        self.end = ZmqEnd(False, peer_role, peer, peer_incarnation, self._transmit)
        self._pump = SocketPump(loop, socket, self.end.on_message)
        self._pump.send([HELLO])

    def _transmit(self, frames: Sequence[Frame]) -> bool:
        return self._pump.send(frames)

    def close(self) -> None:
        self._pump.close()


def zmq_identity(role: str, index: int, incarnation: int) -> bytes:
    """Of a client, at the ROUTER of a shard."""
    return f"{role}-{index}.{incarnation}".encode()
