"""A ZeroMQ socket in an asyncio loop.

ZeroMQ's file descriptor is edge-triggered: it becomes readable once, and what is there must be taken until the
socket says that nothing is left; sending may swallow the edge too. That rule lives here and nowhere else.
Owns the socket it was given; never blocks.
"""
from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

import zmq

logger = logging.getLogger(__name__)

DRAIN_MESSAGES_MAX: Final = 256
"""Messages taken in one turn of the loop, so that a flood on one socket does not starve the others."""

RECONNECT_INTERVAL_MS: Final = 20
RECONNECT_INTERVAL_MS_MAX: Final = 500
"""A peer that is being restarted is back within a second or two; looking for its socket costs next to nothing."""

Frame = bytes | bytearray | memoryview


def context() -> zmq.Context[zmq.Socket[bytes]]:
    """The one ZeroMQ context of this process."""
    return zmq.Context.instance()


class SocketPump:
    """Hands each message that arrives to `on_message`, in order, from the loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        socket: zmq.Socket[bytes],
        on_message: Callable[[list[bytes]], None],
    ) -> None:
        self._loop = loop
        self._socket = socket
        self._on_message = on_message
        self._descriptor = int(socket.get(zmq.FD))
        self._drain_scheduled = False
        self._closed = False
        loop.add_reader(self._descriptor, self._drain)
        self._schedule_drain()

    def send(self, frames: Sequence[Frame]) -> bool:
        """Hands the message to ZeroMQ; False where its peer is unknown or its queue is full."""
        if self._closed:
            return False
        sent = True
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            sent = False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            sent = False
        if int(self._socket.get(zmq.EVENTS)) & zmq.POLLIN:
            self._schedule_drain()
        return sent

    def close(self, linger_ms: int = 0) -> None:
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._descriptor)
        self._socket.close(linger_ms)

    def _schedule_drain(self) -> None:
        if not self._drain_scheduled:
            self._drain_scheduled = True
            self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        self._drain_scheduled = False
        for _ in range(DRAIN_MESSAGES_MAX):
            if self._closed:
                return
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                self._on_message(frames)
            except Exception:
                logger.exception("a message from another process could not be handled")
        self._schedule_drain()


def open_socket(kind: int, **options: Any) -> zmq.Socket[bytes]:
    """A socket with the options that every socket of the broker has, then those given by name."""
    socket = context().socket(kind)
    socket.set(zmq.LINGER, 0)
    socket.set(zmq.SNDHWM, 0)
    socket.set(zmq.RCVHWM, 0)
    if kind == zmq.ROUTER:
        socket.set(zmq.ROUTER_MANDATORY, 1)
        socket.set(zmq.ROUTER_HANDOVER, 1)
    else:
        socket.set(zmq.RECONNECT_IVL, RECONNECT_INTERVAL_MS)
        socket.set(zmq.RECONNECT_IVL_MAX, RECONNECT_INTERVAL_MS_MAX)
    for name, value in options.items():
        socket.set(getattr(zmq, name.upper()), value)
    return socket
