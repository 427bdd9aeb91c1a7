"""Free TCP ports on the loopback, and waiting for a server to listen on one."""

from __future__ import annotations

import random
import socket
import subprocess
import time

POLL_S = 0.02


PORT_MIN, PORT_MAX = 20_000, 32_767
"""Below those that the kernel gives to clients: none of these takes one before its server has begun to listen."""


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    while True:
        port = random.randint(PORT_MIN, PORT_MAX)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def wait_for_port(host: str, port: int, timeout_s: float, process: subprocess.Popen[bytes] | None = None) -> None:
    """Return when the port accepts; raise when the process ends first or the time is up."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            socket.create_connection((host, port), timeout=1.0).close()
            return
        except OSError:
            pass
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"the server ended with status {process.returncode} before it listened on {port}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing listens on {host}:{port} after {timeout_s} s")
        time.sleep(POLL_S)
