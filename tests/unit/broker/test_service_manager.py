"""What systemd is told, and what it gives."""
from __future__ import annotations

import os
import socket
from pathlib import Path

from broker.service_manager import ServiceManager, activated_sockets


def test_states_go_to_the_notify_socket_and_children_do_not_inherit_it(tmp_path: Path) -> None:
    path = tmp_path / "n"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        receiver.settimeout(5)
        environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}
        service = ServiceManager(environment)
        service.notify("READY=1")
        assert receiver.recv(100) == b"READY=1"
    assert service.watchdog_interval_s == 15.0
    assert environment == {}
    service.notify("WATCHDOG=1")            # nobody there any more: no error


def test_without_systemd_nothing_happens() -> None:
    service = ServiceManager({})
    service.notify("READY=1")
    assert service.watchdog_interval_s is None


def test_a_watchdog_for_another_process_is_not_ours() -> None:
    assert ServiceManager({"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}).watchdog_interval_s is None


def test_sockets_for_another_process_are_not_ours() -> None:
    environment = {"LISTEN_FDS": "1", "LISTEN_PID": "1", "LISTEN_FDNAMES": "amqp"}
    assert activated_sockets(environment) == []
    assert environment == {}
