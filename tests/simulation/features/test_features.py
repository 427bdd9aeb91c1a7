"""Random lives of queues with every feature, against the model. A failure names its seed; replay it with
`pytest "tests/simulation/features/test_features.py::test_random_lives[<seed>]"`.

WARREN_SIMULATION_SEEDS makes more of them.
"""
import os
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.simulation.features.world")

from tests.simulation.features.world import World  # noqa: E402

SEEDS = int(os.environ.get("WARREN_SIMULATION_SEEDS", "12"))
STEPS = 400


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_lives(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, seed)
    for _ in range(STEPS):
        world.step()
    world.drain()
