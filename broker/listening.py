"""The listening port before and between gateways: the supervisor reserves it, the gateways listen on it.

A reserved port is bound with SO_REUSEPORT and never listens itself: it turns port 0 into a number, finds another
program on the port before anything starts, and keeps others off while gateways are restarted.
"""
from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any, Final

from bus.context import StartError

ALL_INTERFACES: Final = "*"


def reserve(host: str, port: int) -> list[socket.socket]:
    """A bound socket per address of the host, all on one port; StartError says why there is none."""
    try:
        found = socket.getaddrinfo(
            None if host == ALL_INTERFACES else host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise StartError(f"host {host!r} cannot be resolved ({error.strerror}): give another one with --host") from None
    reserved: list[socket.socket] = []
    try:
        for family, _, _, _, address in found:
            number = reserved[0].getsockname()[1] if reserved else port
            reserved.append(_reserve_one(family, (address[0], number, *address[2:])))
    except StartError:
        for one in reserved:
            one.close()
        raise
    return reserved


def _reserve_one(family: int, address: tuple[Any, ...]) -> socket.socket:
    if address[1]:
        # Listens without SO_REUSEPORT, so that another broker of the same user is noticed too.
        with _bound(family, address, shared=False) as probe:
            _or_explain(lambda: probe.listen(1), address)
    return _bound(family, address, shared=True)


def _bound(family: int, address: tuple[Any, ...], *, shared: bool) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _or_explain(lambda: made.bind(address), address)
    except BaseException:
        made.close()
        raise
    return made


def _or_explain(action: Callable[[], None], address: tuple[Any, ...]) -> None:
    try:
        action()
    except OSError as error:
        match error.errno:
            case errno.EADDRINUSE:
                reason = "the port is in use by another program: stop it, or give another port with --port"
            case errno.EACCES:
                reason = "no permission for this port: give one above 1023 with --port, or use socket activation"
            case errno.EADDRNOTAVAIL:
                reason = "this machine does not have that address: give another one with --host"
            case _:
                reason = str(error.strerror)
        raise StartError(f"cannot listen on {shown(address[0], address[1])}: {reason}") from None


def shown(host: str, port: int) -> str:
    """An address as people write it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
