"""Warren as a set of real processes: start, stop, kill by role, restart.
"""
from __future__ import annotations
from pathlib import Path
class Warren:
    def __init__(self, directory: Path, **options) -> None: ...
