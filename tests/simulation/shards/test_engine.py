"""Random lives of a shard's engine against the model. A failure names its seed; replay it with
`pytest "tests/simulation/shards/test_engine.py::test_random_operations[<seed>]"`.

WARREN_SIMULATION_SEEDS makes more of them.
"""
import os
from pathlib import Path

import pytest

from tests.simulation.shards.world import World

SEEDS = int(os.environ.get("WARREN_SIMULATION_SEEDS", "12"))
STEPS = 400


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_operations(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, seed)
    for _ in range(STEPS):
        world.step()
    world.drain()
