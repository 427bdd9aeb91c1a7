"""Dead letters within a shard, against deaths of its process and of its machine. WARREN_SEED=n replays a seed."""
from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .letters_model import every_step, simulate

SEEDS = int(os.environ.get("WARREN_SEEDS", "30"))
FIRST_SEED = os.environ.get("WARREN_SEED")
DISK_CALLS_MIN = 30


@pytest.fixture
def directory() -> Iterator[Path]:
    """In memory where there is such a file system: what is lost is decided by the model, not by a real disk."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="warren-simulation-", dir=memory) as name:
        yield Path(name)


@pytest.mark.parametrize("seed", [int(FIRST_SEED)] if FIRST_SEED else range(SEEDS))
def test_a_message_is_in_its_queue_or_at_its_targets(directory: Path, seed: int) -> None:
    simulate(directory, seed, lives=8, steps=120)


def test_whatever_call_of_the_disk_is_the_last(directory: Path) -> None:
    assert every_step(directory) >= DISK_CALLS_MIN
