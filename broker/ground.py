"""What a run of the broker stands on: settings, directories, the port, the service manager."""
from __future__ import annotations

import socket
from dataclasses import dataclass

from broker.data_directory import DataDirectory
from broker.runtime_directory import RuntimeDirectory
from broker.service_manager import ServiceManager
from broker.settings import Settings


@dataclass
class Ground:
    """Made and closed by `warren serve`, around the supervisor."""

    settings: Settings
    data: DataDirectory
    runtime: RuntimeDirectory
    host: str                               # where the broker listens, as numbers
    port: int
    listeners: list[socket.socket]          # from socket activation, else empty
    service: ServiceManager
