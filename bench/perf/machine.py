"""Where numbers are from."""
from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any, Final

CONGESTION_CONTROL: Final = Path("/proc/sys/net/ipv4/tcp_congestion_control")
"""How TCP sends: one that paces (bbr) does so over the loopback interface, too, which brokers and load tools feel."""


def machine() -> dict[str, Any]:
    """Processor, cores that may be used, kernel, its congestion control (None: not told), Python."""
    return {
        "cpu": _model(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "congestion_control": _congestion_control(),
        "python": platform.python_version(),
    }


def described(found: dict[str, Any]) -> str:
    """In a sentence. Results of earlier versions do not tell the congestion control."""
    control = found.get("congestion_control")
    kernel = found["kernel"] if control is None else f"{found['kernel']} with TCP {control}"
    return f"{found['cores']} cores ({found['cpu']}), Linux {kernel}, Python {found['python']}"


def _congestion_control() -> str | None:
    try:
        return CONGESTION_CONTROL.read_text().strip() or None
    except OSError:
        return None


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()
