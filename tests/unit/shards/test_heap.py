"""What a drained backlog leaves behind goes back to the system. Measured in a process of its own: the holes that other
tests have left in the heap would be given back, too."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shards.heap import Heap

ROOT = Path(__file__).parents[3]


def test_memory_of_a_backlog_is_given_back(tmp_path: Path) -> None:
    heap = Heap()
    if heap._trim is None or heap._figures is None or "libasan" in os.environ.get("LD_PRELOAD", ""):
        pytest.skip("not the allocator of glibc")
    measured = subprocess.run(
        [sys.executable, "-m", "tests.unit.shards.backlog", str(tmp_path)], cwd=ROOT, capture_output=True, text=True,
        timeout=60, check=False,
    )
    assert measured.returncode == 0, measured.stderr
    ready, given_back_bytes, again = map(int, measured.stdout.split())
    assert ready == 0
    assert given_back_bytes > 6 << 20
    assert not again
