"""Memory and disk alarms: when publishers have to stop because the machine runs out of either.

`Alarms` decides from numbers that it is given; the functions below it read them from the system. What counts as the
broker's memory: private memory of all its processes and what it keeps in /dev/shm, but not the page cache of its
log, which the kernel takes back when it needs it.
"""
from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

CHECK_INTERVAL_S: Final = 1.0
PAGE_BYTES: Final = os.sysconf("SC_PAGESIZE")
STATM_BYTES_MAX: Final = 256
"""Seven numbers of at most 20 digits."""


@dataclass
class Alarms:
    """The state of both alarms."""

    memory_bytes_max: int
    disk_free_limit_bytes: int
    memory_used_bytes: int = 0
    disk_free_bytes: int = 0
    memory: bool = False
    disk: bool = False

    def check(self, memory_used_bytes: int, disk_free_bytes: int) -> bool:
        """True where an alarm was raised or cleared."""
        before = (self.memory, self.disk)
        self.memory_used_bytes = memory_used_bytes
        self.disk_free_bytes = disk_free_bytes
        self.memory = memory_used_bytes > self.memory_bytes_max
        self.disk = disk_free_bytes < self.disk_free_limit_bytes
        return before != (self.memory, self.disk)

    def message(self) -> dict[str, Any]:
        """What all processes are told."""
        return {"verb": "alarm", "memory": self.memory, "disk": self.disk}


def machine_memory_bytes(root: Path = Path("/")) -> int:
    """The machine's memory, or the container's where that is less."""
    limits = [PAGE_BYTES * os.sysconf("SC_PHYS_PAGES")]
    for file in _limit_files(root):
        try:
            limits.append(int(file.read_text()))
        except (OSError, ValueError):
            continue
    return min(limits)


def _limit_files(root: Path) -> Iterator[Path]:
    """Of this process's control group and all above it: a container's, MemoryMax= of a service."""
    groups = root / "sys/fs/cgroup"
    yield groups / "memory/memory.limit_in_bytes"
    yield groups / "memory.max"
    try:
        own = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in own:
        group = Path(line.removeprefix("0::/"))
        if line.startswith("0::/") and ".." not in group.parts:
            for ancestor in (group, *group.parents):
                yield groups / ancestor / "memory.max"


def private_memory_bytes(pid: int) -> int:
    """Resident memory of a process without what it shares with files: 0 where it is gone."""
    try:
        descriptor = os.open(f"/proc/{pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
        try:
            fields = os.read(descriptor, STATM_BYTES_MAX).split()
        finally:
            os.close(descriptor)
        return max(0, int(fields[1]) - int(fields[2])) * PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0


def allocated_bytes(directory: str | Path) -> int:
    """What the files below a directory occupy."""
    total = 0
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        total += allocated_bytes(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
                except OSError:
                    continue
    except OSError:     # it has gone meanwhile
        pass
    return total


def free_bytes(directory: Path) -> int:
    """Free for this user on the disk of a directory."""
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


def memory_used_bytes(nursery_pid: int, pids: Iterable[int], memory_directory: Path) -> int:
    """Of the broker. What its processes have from the nursery they share, but for the part that they write to: a few
    megabytes each, which are left out."""
    common = private_memory_bytes(nursery_pid)
    own = sum(max(0, private_memory_bytes(pid) - common) for pid in pids)
    return common + own + allocated_bytes(memory_directory)
