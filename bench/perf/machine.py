"""Where numbers are from."""
from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """Processor, cores that may be used, kernel, Python."""
    return {
        "cpu": _model(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def described(found: dict[str, Any]) -> str:
    """In a sentence."""
    return f"{found['cores']} cores ({found['cpu']}), Linux {found['kernel']}, Python {found['python']}"


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()
