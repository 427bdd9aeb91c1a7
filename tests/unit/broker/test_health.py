"""Whose silence is held against them."""
from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from broker.children import Child
from broker.health import Health
from broker.nursery import Process

SILENCE_S_MAX = 30.0


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """One that ends well when it is given a line."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def check_silence(process: subprocess.Popen[bytes], silent_s: float, held_up_s: float) -> int:
    """How the process ends after one look at a child that has been silent for so long."""
    child = Child("shard", 0, incarnation=1, state="ready", process=Process(process.pid))
    child.last_alive_s = time.monotonic() - silent_s
    settings = SimpleNamespace(memory_watermark=0.5, disk_free_limit_bytes=0, silence_s_max=SILENCE_S_MAX)
    ground: Any = SimpleNamespace(settings=settings)
    nursery: Any = None
    Health(ground, nursery, [child], lambda message: None).check_silence(held_up_s)
    process.communicate(b"\n")
    return process.returncode


def test_who_is_silent_for_too_long_is_killed(process: subprocess.Popen[bytes]) -> None:
    assert check_silence(process, SILENCE_S_MAX + 1, 0.0) == -signal.SIGKILL


def test_while_the_supervisor_was_held_up_nobody_was_silent(process: subprocess.Popen[bytes]) -> None:
    assert check_silence(process, SILENCE_S_MAX + 1, 2.0) == 0
