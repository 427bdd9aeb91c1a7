"""The environment of a Python process that is to find this package, wherever it is installed."""
from __future__ import annotations

import os
from pathlib import Path


def module_environment() -> dict[str, str]:
    """With the place of a bare checkout on the module path, as -P leaves the working directory out."""
    environment = {"OPENBLAS_NUM_THREADS": "1", **os.environ}       # NumPy would start a thread per core, for nothing
    root = Path(__file__).resolve().parents[2]
    if root.name not in ("site-packages", "dist-packages"):
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(root), environment.get("PYTHONPATH"))))
    return environment
