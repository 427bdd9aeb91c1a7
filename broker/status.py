"""What `warren status` is told."""
from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import Any

from broker.alarms import Alarms
from broker.children import Child
from broker.ground import Ground
from broker.nursery import Nursery
from broker.version import VERSION


def describe(
    ground: Ground, nursery: Nursery, children: Iterable[Child], alarms: Alarms, *, link_count: int, ready: bool,
    started_at_s: float,
) -> dict[str, Any]:
    """The whole answer; its keys are read by programs too."""
    now_s = time.monotonic()
    own_uptime_s = round(now_s - started_at_s, 1)
    supervisor = {
        "role": "supervisor", "index": 0, "pid": os.getpid(), "state": "ready", "restarts": 0, "incarnation": 1,
        "uptime_s": own_uptime_s,
    }
    forks = {
        "role": "nursery", "index": 0, "pid": nursery.pid, "state": "ready" if nursery.alive else "down",
        "restarts": nursery.restarts, "incarnation": nursery.restarts + 1,
        "uptime_s": round(now_s - nursery.started_at_s, 1) if nursery.alive else 0.0,
    }
    return {
        "version": VERSION,
        "ready": ready,
        "pid": os.getpid(),
        "host": ground.host,
        "port": ground.port,
        "data_directory": str(ground.data.path),
        "runtime_directory": str(ground.runtime.path),
        "shared_directory": str(ground.runtime.shared_path),
        "uptime_s": own_uptime_s,
        "link": ground.settings.link,
        "links": link_count,
        "alarms": {"memory": alarms.memory, "disk": alarms.disk},
        "memory_used_bytes": alarms.memory_used_bytes,
        "memory_bytes_max": alarms.memory_bytes_max,
        "disk_free_bytes": alarms.disk_free_bytes,
        "disk_free_limit_bytes": alarms.disk_free_limit_bytes,
        "processes": [supervisor, forks, *(_process(child, now_s) for child in children)],
    }


def _process(child: Child, now_s: float) -> dict[str, Any]:
    return {
        "role": child.role,
        "index": child.index,
        "pid": child.pid,
        "state": child.state,
        "restarts": child.restarts,
        "incarnation": child.incarnation,
        "uptime_s": round(now_s - child.started_at_s, 1) if child.pid is not None else 0.0,
    }
