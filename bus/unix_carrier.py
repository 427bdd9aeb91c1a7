"""The control bus over Unix sockets: what carries it between processes of one machine.

A stream in each direction of messages with their length in front; what a turn of the loop produced leaves with one
system call:

    offset  size  field
         0     4  payload_bytes     little-endian
         4        payload

The first message of a client is its name. A client whose name is known takes the place of the one before it. Neither
side blocks, waits for the other or knows what is in a message.
"""
from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import struct
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bus.limits import CONTROL_MESSAGE_BYTES_MAX

logger = logging.getLogger(__name__)

SCHEME: Final = "unix://"
HEAD: Final = struct.Struct("<I")
READ_BYTES: Final = 64 * 1024
"""Taken in one turn of the loop from one peer, so that a flood from one does not starve the others."""
BUFFERS_MAX: Final = 64
"""Messages handed to the kernel at once."""
NAME_BYTES_MAX: Final = 255
BACKLOG: Final = 1024
RECONNECT_S: Final = 0.02
RECONNECT_S_MAX: Final = 0.5
"""A server that is being restarted is back within a second or two; looking for its socket costs next to nothing."""
ACCEPT_PAUSE_S: Final = 0.1
"""After an accept that failed for want of descriptors or memory."""

OnMessage = Callable[[bytes], None]


class Stream:
    """One connected socket, which it owns. `on_lost` is called once, unless it was closed before."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, connected: socket.socket, on_message: OnMessage,
        on_lost: Callable[[], None],
    ) -> None:
        self.on_message = on_message
        self._loop = loop
        self._socket = connected
        self._on_lost = on_lost
        self._partial = bytearray()
        self._unsent: deque[bytes] = deque()        # each with its length in front
        self._sent_bytes = 0                        # of the first of them
        self._flush_due = False
        self._writing = False
        self._closed = False
        loop.add_reader(connected, self._read)

    def send(self, payload: bytes) -> None:
        """At the end of the turn."""
        self._unsent.append(HEAD.pack(len(payload)) + payload)
        if not self._flush_due and not self._writing:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def unsent(self) -> list[bytes]:
        """The messages that did not leave as a whole."""
        return [message[HEAD.size :] for message in self._unsent]

    def close(self, linger_s: float = 0.0) -> None:
        """With what was said last, if the peer takes it in that time."""
        if self._closed:
            return
        if linger_s and self._unsent:
            self._socket.settimeout(linger_s)
            with contextlib.suppress(OSError):
                self._socket.sendall(b"".join(self._unsent)[self._sent_bytes :])
        self._closed = True
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()

    def _flush(self) -> None:
        self._flush_due = False
        while self._unsent and not self._closed:
            buffers: list[bytes | memoryview] = [
                self._unsent[place] for place in range(min(len(self._unsent), BUFFERS_MAX))
            ]
            buffers[0] = memoryview(self._unsent[0])[self._sent_bytes :]
            try:
                self._note_sent(self._socket.sendmsg(buffers))
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                return                              # the reader hears of it, too
        self._watch(bool(self._unsent))

    def _note_sent(self, count: int) -> None:
        count += self._sent_bytes
        while self._unsent and count >= len(self._unsent[0]):
            count -= len(self._unsent.popleft())
        self._sent_bytes = count

    def _watch(self, writing: bool) -> None:
        if self._closed or writing == self._writing:
            return
        self._writing = writing
        if writing:
            self._loop.add_writer(self._socket, self._flush)
        else:
            self._loop.remove_writer(self._socket)

    def _read(self) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._lose()
            return
        if self._partial:
            self._partial += data
            used = self._take(self._partial)
            del self._partial[:used]
        else:
            used = self._take(data)
            if used < len(data) and not self._closed:
                self._partial += memoryview(data)[used:]

    def _take(self, data: bytes | bytearray) -> int:
        """Hands on whole messages; how many bytes they were."""
        position, end = 0, len(data)
        while end - position >= HEAD.size and not self._closed:
            (payload_bytes,) = HEAD.unpack_from(data, position)
            if payload_bytes > CONTROL_MESSAGE_BYTES_MAX:
                logger.error("a peer on the control bus sent nonsense and is cut off")
                self._lose()
                break
            start = position + HEAD.size
            if end - start < payload_bytes:
                break
            position = start + payload_bytes
            try:
                self.on_message(bytes(memoryview(data)[start:position]))
            except Exception:
                logger.exception("a message from another process could not be handled")
        return position

    def _lose(self) -> None:
        if not self._closed:
            self.close()
            self._on_lost()


class UnixServer:
    """Many named clients. `on_message(name, payload)`."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, address: str, on_message: Callable[[str, bytes], None]
    ) -> None:
        self._loop = loop
        self._on_message = on_message
        self._path = path_of(address)
        self._named: dict[str, Stream] = {}
        self._nameless: set[Stream] = set()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.setblocking(False)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)                   # of a server that died
        self._listener.bind(self._path)
        self._listener.listen(BACKLOG)
        loop.add_reader(self._listener, self._accept)

    def send(self, name: str, payload: bytes) -> bool:
        """False where nobody of that name is connected."""
        stream = self._named.get(name)
        if stream is None:
            return False
        stream.send(payload)
        return True

    def close(self, linger_s: float) -> None:
        if self._listener.fileno() < 0:
            return
        self._loop.remove_reader(self._listener)
        self._listener.close()
        Path(self._path).unlink(missing_ok=True)
        for stream in (*self._named.values(), *self._nameless):
            stream.close(linger_s)
        self._named.clear()
        self._nameless.clear()

    def _accept(self) -> None:
        try:
            connected, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionError):
            return
        except OSError as error:
            logger.error("the control bus accepts nobody for a moment: %s", error.strerror)
            self._loop.remove_reader(self._listener)
            self._loop.call_later(ACCEPT_PAUSE_S, self._accept_again)
            return
        connected.setblocking(False)
        self._welcome(connected)

    def _accept_again(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener, self._accept)

    def _welcome(self, connected: socket.socket) -> None:
        name: str | None = None

        def on_message(payload: bytes) -> None:
            nonlocal name
            if name is not None:
                self._on_message(name, payload)
                return
            if len(payload) > NAME_BYTES_MAX:
                lost()
                stream.close()
                return
            name = payload.decode("utf-8", "replace")
            self._nameless.discard(stream)
            before = self._named.get(name)
            self._named[name] = stream
            if before is not None:
                before.close()

        def lost() -> None:
            self._nameless.discard(stream)
            if name is not None and self._named.get(name) is stream:
                del self._named[name]

        stream = Stream(self._loop, connected, on_message, lost)
        self._nameless.add(stream)


class UnixClient:
    """One server, which may come later and be restarted. What could not leave waits for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, address: str, name: str, on_message: OnMessage) -> None:
        self._loop = loop
        self._path = path_of(address)
        self._name = name.encode()
        self._on_message = on_message
        self._stream: Stream | None = None
        self._waiting: list[bytes] = []
        self._pause_s = RECONNECT_S
        self._again: asyncio.TimerHandle | None = None
        self._closed = False
        self._connect()

    def send(self, payload: bytes) -> bool:
        """False where this end was closed."""
        if self._closed:
            return False
        if self._stream is None:
            self._waiting.append(payload)
        else:
            self._stream.send(payload)
        return True

    def close(self, linger_s: float = 0.0) -> None:
        self._closed = True
        if self._again is not None:
            self._again.cancel()
        if self._stream is not None:
            self._stream.close(linger_s)

    def _connect(self) -> None:
        self._again = None
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.setblocking(False)
        failed = made.connect_ex(self._path)
        if failed:
            made.close()
            if failed not in (errno.ENOENT, errno.ECONNREFUSED, errno.EAGAIN):
                logger.error("the control bus at %s cannot be reached: %s", self._path, os.strerror(failed))
            self._again = self._loop.call_later(self._pause_s, self._connect)
            self._pause_s = min(2 * self._pause_s, RECONNECT_S_MAX)
            return
        self._pause_s = RECONNECT_S
        self._stream = stream = Stream(self._loop, made, self._on_message, self._lost)
        stream.send(self._name)
        waiting, self._waiting = self._waiting, []
        for payload in waiting:
            stream.send(payload)

    def _lost(self) -> None:
        """A name that has not left is sent by the next connection anyway."""
        stream = self._stream
        assert stream is not None
        self._stream = None
        self._waiting = stream.unsent()
        if self._waiting and self._waiting[0] == self._name:
            del self._waiting[0]
        self._again = self._loop.call_later(self._pause_s, self._connect)


def path_of(address: str) -> str:
    """The place of the socket in the file system."""
    return address.removeprefix(SCHEME)
