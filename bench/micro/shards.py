"""The engine of a shard, by the features of a queue: the cases of `bench.engine`, and streams (streams.py)."""
from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench import engine
from bench.micro import streams
from bench.micro.case import Case, Timed

BATCHES: Final = 100
"""Of engine.BATCH_MESSAGES messages, into an engine of their own."""


def rounds(case: engine.Case) -> Callable[[Path, int], Timed]:
    """Each time with a new engine, whose making is not part of it."""

    def prepare(directory: Path, units: int) -> Timed:
        batches = max(1, units // engine.BATCH_MESSAGES)
        serial = itertools.count()

        def timed(loops: int) -> float:
            took_s = 0.0
            for _ in range(loops):
                root = directory / str(next(serial))
                with tempfile.TemporaryDirectory(dir=engine.MEMORY_DIRECTORY) as memory:
                    took_s += case.round(root, Path(memory), batches) * batches * engine.BATCH_MESSAGES
                shutil.rmtree(root)
            return took_s

        return timed

    return prepare


CASES: Final = (
    *(Case(case.name, rounds(case), BATCHES * engine.BATCH_MESSAGES) for case in engine.CASES),
    *streams.CASES,
)
