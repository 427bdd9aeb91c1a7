"""What the processes of a broker use: CPU time and memory of process trees, read from outside.

CPU time comes from each process's own CPU clock, in nanoseconds and with all its threads; a process that ends in
between keeps what it had used when it was last seen. Memory is from /proc: RSS, and PSS where we may see it.
"""
from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
KIB: Final = 1024
FOUND_AGAIN_S: Final = 5.0
"""How often all processes of the machine are looked through, which costs it milliseconds."""
TITLE_PREFIX: Final = b"warren: "
PSS_LINE: Final = b"\nPss:"


def cpu_seconds(pid: int) -> float | None:
    """Of a process since its start; None where it is gone."""
    try:
        return time.clock_gettime((~pid << 3) | 2)      # CPUCLOCK_SCHED of that process, see clock_getcpuclockid(3)
    except OSError:
        return None


def title(pid: int) -> str:
    """The title that a process of Warren gives itself, of others the name of the program; empty where it is gone."""
    try:
        given = (PROC / str(pid) / "cmdline").read_bytes().rstrip(b"\0")
        name = given if given.startswith(TITLE_PREFIX) else (PROC / str(pid) / "comm").read_bytes().strip()
    except OSError:
        return ""
    return name.decode("utf-8", "replace")


@dataclass(frozen=True)
class Memory:
    rss_bytes: int = 0                  # shared pages count in each process
    pss_bytes: int = 0                  # ... and here in parts; 0: not to be seen


class ProcessTree:
    """Some processes with all their descendants, as they come and go."""

    def __init__(self, roots: Iterable[int]) -> None:
        self.roots = list(roots)
        self._cpu_s: dict[int, float] = {}
        self._pids: list[int] = []
        self._found_s = -FOUND_AGAIN_S

    def pids(self) -> list[int]:
        """Those that live, or did a moment ago."""
        now_s = time.monotonic()
        if now_s >= self._found_s + FOUND_AGAIN_S:
            self._pids, self._found_s = self._find(), now_s
        return self._pids

    def _find(self) -> list[int]:
        children: dict[int, list[int]] = {}
        for pid in _all_pids():
            parent = _parent(pid)
            if parent is not None:
                children.setdefault(parent, []).append(pid)
        found = [pid for pid in self.roots if (PROC / str(pid)).exists()]
        for pid in found:                               # grows while children are found
            found += [child for child in children.get(pid, ()) if child not in found]
        return found

    def cpu_seconds(self) -> float:
        """Of all of them, those that have ended since the first call among them."""
        for pid in self.pids():
            used = cpu_seconds(pid)
            if used is not None:
                self._cpu_s[pid] = used
        return sum(self._cpu_s.values())

    def cpu_by_title(self) -> dict[str, float]:
        """CPU seconds of those that live, by their titles."""
        found: dict[str, float] = {}
        for pid in self.pids():
            found[title(pid)] = found.get(title(pid), 0.0) + (cpu_seconds(pid) or 0.0)
        return found

    def memory(self) -> Memory:
        rss = pss = 0
        for pid in self.pids():
            try:
                rss += int((PROC / str(pid) / "statm").read_bytes().split()[1]) * PAGE_BYTES
                pss += _pss_bytes(pid)
            except (OSError, IndexError, ValueError):
                continue
        return Memory(rss, pss)


def _pss_bytes(pid: int) -> int:
    try:
        rollup = (PROC / str(pid) / "smaps_rollup").read_bytes()
    except OSError:                                     # another user's
        return 0
    at = rollup.find(PSS_LINE)
    return int(rollup[at + len(PSS_LINE) :].split()[0]) * KIB if at >= 0 else 0


def _all_pids() -> list[int]:
    return [int(entry) for entry in os.listdir(PROC) if entry.isdigit()]


def _parent(pid: int) -> int | None:
    try:
        stat = (PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    return int(stat.rpartition(b")")[2].split()[1])
