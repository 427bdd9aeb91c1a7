"""What systemd and a service talk about: readiness, watchdog, sockets that were opened in advance.

Speaks the plain datagram protocol of sd_notify(3) and the environment of sd_listen_fds(3); without systemd all of it
does nothing.
"""
from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from typing import Final

from bus.context import StartError

LISTEN_FDS_START: Final = 3


class ServiceManager:
    """The one end that talks to systemd: the supervisor's."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        self._address = environment.pop("NOTIFY_SOCKET", "")
        watchdog_us = environment.pop("WATCHDOG_USEC", "")
        watchdog_pid = environment.pop("WATCHDOG_PID", "")
        mine = watchdog_pid in ("", str(os.getpid()))
        self.watchdog_interval_s = int(watchdog_us) / 2e6 if watchdog_us.isdigit() and mine else None

    def notify(self, state: str) -> None:
        """Tells systemd, e.g. "READY=1"; an error does not matter more than the broker."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify_socket:
                notify_socket.connect(address)
                notify_socket.sendall(state.encode())
        except OSError:
            pass


def activated_sockets(environment: MutableMapping[str, str]) -> list[socket.socket]:
    """The listening sockets that systemd opened for this process."""
    count = environment.pop("LISTEN_FDS", "")
    pid = environment.pop("LISTEN_PID", "")
    environment.pop("LISTEN_FDNAMES", None)
    if not count.isdigit() or pid != str(os.getpid()):
        return []
    sockets = []
    for descriptor in range(LISTEN_FDS_START, LISTEN_FDS_START + int(count)):
        os.set_inheritable(descriptor, False)
        listener = socket.socket(fileno=descriptor)
        if listener.family not in (socket.AF_INET, socket.AF_INET6) or listener.type != socket.SOCK_STREAM:
            raise StartError("the socket unit must have ListenStream= with a TCP port, and nothing else")
        listener.setblocking(False)
        sockets.append(listener)
    return sockets
