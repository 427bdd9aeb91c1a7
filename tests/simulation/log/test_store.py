"""The store against a disk that forgets. A failing seed is replayed with WARREN_SEED=n."""
from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from .model import simulate

SEEDS = int(os.environ.get("WARREN_SEEDS", "30"))
FIRST_SEED = os.environ.get("WARREN_SEED")


@pytest.mark.parametrize("seed", [int(FIRST_SEED)] if FIRST_SEED else range(SEEDS))
def test_what_was_reported_durable_is_there_once_and_in_order(seed: int) -> None:
    # In memory where there is such a file system: what is lost is decided by the model, not by a real disk.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="warren-simulation-", dir=memory) as directory:
        simulate(Path(directory), seed, lives=8, steps=400)
