"""The listening port before and between gateways: the supervisor reserves it, the gateways listen on it.

A reserved port is bound with SO_REUSEPORT and never listens itself: it turns port 0 into a number, finds another
program on the port before anything starts, and keeps others off while gateways are restarted.
"""
from __future__ import annotations

import errno
import socket

from bus.context import StartError


def reserve(host: str, port: int) -> socket.socket:
    """A bound socket; StartError says why there is none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise StartError(f"host {host!r} cannot be resolved ({error.strerror}): give another one with --host") from None
    family, kind, protocol, _, address = found[0]
    if port:
        # Without SO_REUSEPORT, so that another broker of the same user is noticed too.
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _bind(probe, address)
    reserved = socket.socket(family, kind, protocol)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    _bind(reserved, address)
    return reserved


def _bind(target: socket.socket, address: tuple[object, ...]) -> None:
    host, port = address[0], address[1]
    try:
        target.bind(address)
        if not target.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT):
            target.listen(1)        # a port that another socket only reserved is found by listening alone
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
        raise StartError(f"cannot listen on {shown(str(host), int(str(port)))}: {reason}") from None


def shown(host: str, port: int) -> str:
    """An address as people write it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
