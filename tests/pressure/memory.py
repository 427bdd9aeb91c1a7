"""How much memory the processes of a broker use while a test presses them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from tests.harness.warren import Warren

SAMPLE_INTERVAL_S = 0.05


def private_bytes(pid: int) -> int:
    """Resident memory of a process that is its own, without what it maps of files."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0
    for line in lines:
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def allocated_bytes(directory: Path) -> int:
    """What the files below a directory occupy."""
    total = 0
    for place, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return total


class MemoryWatch(threading.Thread):
    """The peak of every process, and of what is kept in shared memory, from now until `stop`."""

    def __init__(self, server: Warren) -> None:
        super().__init__(daemon=True)
        status = server.status()
        self._pids = {f"{one['role']}-{one['index']}": one["pid"] for one in status["processes"]}
        self._shared = Path(status["shared_directory"])
        self.base = {name: private_bytes(pid) for name, pid in self._pids.items()}
        self.peak = dict(self.base)
        self.shared_base = self.shared_peak = allocated_bytes(self._shared)
        self._stopping = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._stopping.wait(SAMPLE_INTERVAL_S):
            self._sample()

    def _sample(self) -> None:
        for name, pid in self._pids.items():
            self.peak[name] = max(self.peak[name], private_bytes(pid))
        self.shared_peak = max(self.shared_peak, allocated_bytes(self._shared))

    def stop(self) -> dict[str, int]:
        """How many bytes each had more, at most, than at the beginning; "shared" is what lies in shared memory."""
        self._stopping.set()
        self.join(10)
        self._sample()
        grown = {name: self.peak[name] - self.base[name] for name in self.peak}
        return grown | {"shared": self.shared_peak - self.shared_base}
