"""CPU and memory of process trees, seen from outside."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bench.perf.processes import ProcessTree, cpu_seconds, title

SPIN = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
end = time.process_time() + 0.05
while time.process_time() < end: pass
print(child.pid, flush=True)
sys.stdin.read()
child.communicate()
"""


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", SPIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield process
    process.communicate(timeout=10)


def test_a_tree_has_its_children_their_time_and_their_memory(parent: subprocess.Popen[str]) -> None:
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    tree = ProcessTree([parent.pid])
    assert tree.pids() == [parent.pid, child]
    assert tree.cpu_seconds() > 0.05 and sum(tree.cpu_by_title().values()) > 0.05
    memory = tree.memory()
    assert memory.rss_bytes > 2 << 20 and 0 < memory.pss_bytes < memory.rss_bytes
    parent.communicate()
    assert tree.cpu_seconds() > 0.05, "what ended keeps what it used"


def test_a_process_that_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert cpu_seconds(process.pid) is None and title(process.pid) == ""
    tree = ProcessTree([process.pid])
    assert tree.pids() == [] and tree.cpu_seconds() == 0 and tree.memory().rss_bytes == 0


def test_our_own_time_is_that_of_our_clock() -> None:
    assert cpu_seconds(os.getpid()) == pytest.approx(sum(os.times()[:2]), abs=0.2)
    assert title(os.getpid()).startswith(("python", "pytest"))
