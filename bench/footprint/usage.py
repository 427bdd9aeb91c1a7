"""Memory and CPU time of a broker's processes, and the kernel's memory for sockets, at one moment.

Proportional (PSS): a page that several processes have counts in parts, so the sum is what the broker takes.
"""
from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.perf.local_broker import LocalBroker
from bench.perf.processes import KIB, PAGE_BYTES, cpu_seconds

FIELDS: Final = {"Pss": "pss", "Pss_Anon": "anonymous", "Pss_File": "files", "Pss_Shmem": "shared"}
LINE: Final = re.compile(r"^(\w+):\s+(\d+) kB$", re.MULTILINE)
SETTLE_S: Final = 2.5
"""Once a second a shard gives memory back, and a gateway looks at its connections."""
SOCKSTAT_TCP: Final = re.compile(r"^TCP: .* mem (\d+)", re.MULTILINE)
SOCKET_SLABS: Final = frozenset({"TCP", "sock_inode_cache"})
"""Objects of each end of a connection."""
ENDS: Final = 2


@dataclass(frozen=True)
class Usage:
    """In bytes: of everything, by kind of page, and by process."""

    pss: int
    anonymous: int
    files: int
    shared: int
    by_process: dict[str, int]


def usage(broker: LocalBroker) -> Usage:
    """When what has just happened is over."""
    time.sleep(SETTLE_S)
    totals = dict.fromkeys(FIELDS.values(), 0)
    by_process: dict[str, int] = {}
    for name, pid in broker.processes().items():
        found = {field: int(size) * KIB for field, size in
                 LINE.findall(Path(f"/proc/{pid}/smaps_rollup").read_text())}
        for field, key in FIELDS.items():
            totals[key] += found.get(field, 0)
        by_process[name] = found["Pss"]
    return Usage(**totals, by_process=by_process)


def growth_by_process(before: Usage, after: Usage, count: int) -> dict[str, float]:
    """Bytes for each of `count`, by process; for the details of a row."""
    return {name: round((size - before.by_process.get(name, 0)) / count, 1) for name, size in after.by_process.items()}


def cpu_s(broker: LocalBroker) -> float:
    """Of all processes so far."""
    return sum(cpu_seconds(pid) or 0.0 for pid in broker.processes().values())


def kernel_socket_bytes() -> int | None:
    """Of the whole machine: buffers and objects of TCP sockets; None where they are not to be seen."""
    try:
        found = SOCKSTAT_TCP.search(Path("/proc/net/sockstat").read_text())
        total = int(found[1]) * PAGE_BYTES if found else 0
        for line in Path("/proc/slabinfo").read_text().splitlines()[2:]:
            name, active, _, size = line.split()[:4]
            if name in SOCKET_SLABS:
                total += int(active) * int(size)
        return total
    except (OSError, ValueError):
        return None
