"""The control bus over ZeroMQ: a ROUTER and DEALERs. What carries it where processes do not share a machine.

The same surface as bus/unix_carrier.py.
"""
from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import zmq

from bus.limits import CONTROL_MESSAGE_BYTES_MAX
from bus.sockets import SocketPump, open_socket

MS_PER_S: Final = 1000


class ZmqServer:
    """Many named clients. `on_message(name, payload)`."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, address: str, on_message: Callable[[str, bytes], None]
    ) -> None:
        self._on_message = on_message
        socket = open_socket(zmq.ROUTER, maxmsgsize=CONTROL_MESSAGE_BYTES_MAX)
        socket.bind(address)
        self._pump = SocketPump(loop, socket, self._receive)

    def send(self, name: str, payload: bytes) -> bool:
        """False where nobody of that name is connected."""
        return self._pump.send([name.encode(), payload])

    def close(self, linger_s: float) -> None:
        self._pump.close(int(linger_s * MS_PER_S))

    def _receive(self, frames: list[bytes]) -> None:
        if len(frames) == 2:
            self._on_message(frames[0].decode("utf-8", "replace"), frames[1])


class ZmqClient:
    """One server, which may come later and be restarted. What could not leave waits for it."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, address: str, name: str, on_message: Callable[[bytes], None]
    ) -> None:
        socket = open_socket(zmq.DEALER, routing_id=name.encode(), maxmsgsize=CONTROL_MESSAGE_BYTES_MAX)
        socket.connect(address)
        self._pump = SocketPump(loop, socket, lambda frames: on_message(frames[0]))

    def send(self, payload: bytes) -> bool:
        """False where this end was closed."""
        return self._pump.send([payload])

    def close(self, linger_s: float = 0.0) -> None:
        self._pump.close(int(linger_s * MS_PER_S))
