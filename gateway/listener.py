"""The listening sockets of one gateway: its own on the shared port, or those that were handed in.

With SO_REUSEPORT the kernel spreads new connections over the gateways. With socket activation all gateways
accept from the same inherited sockets. Knows nothing of what is accepted.
"""
import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Any, Final

from bus.context import StartError

ALL_INTERFACES: Final = ("", "*")


def open_sockets(host: str, port: int) -> list[socket.socket]:
    """One bound socket per address of the host; StartError says what is in the way."""
    try:
        addresses = socket.getaddrinfo(
            None if host in ALL_INTERFACES else host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise StartError(f"cannot listen on host {host!r}: {error.strerror}") from None
    opened: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in addresses:
            opened.append(_open(family, kind, protocol, address))
    except OSError as error:
        for one in opened:
            one.close()
        if error.errno == errno.EADDRINUSE:
            raise StartError(f"port {port} on {host!r} is in use by another program") from None
        raise StartError(f"cannot listen on {host!r}, port {port}: {error.strerror}") from None
    return opened


def _open(family: int, kind: int, protocol: int, address: tuple[Any, ...]) -> socket.socket:
    one = socket.socket(family, kind, protocol)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.setblocking(False)
        one.bind(address)
    except OSError:
        one.close()
        raise
    return one


async def serve(
    loop: asyncio.AbstractEventLoop,
    sockets: list[socket.socket],
    backlog: int,
    make_protocol: Callable[[], asyncio.BaseProtocol],
) -> list[asyncio.Server]:
    """Accepts on all sockets from now on."""
    servers = []
    for one in sockets:
        one.setblocking(False)
        servers.append(await loop.create_server(make_protocol, sock=one, backlog=backlog))
    return servers
