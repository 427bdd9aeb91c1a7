"""Latency under load that is not too much: brokers at the same rate, half of what one of them can carry.

How much each can carry is what `compare` found. A broker that cannot carry a rate is not given it: its queues would
only grow. The scenario stays what it is, with its window and its prefetch; only the producers are held to a rate.
"""
from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from bench.perf.compare import figures
from bench.perf.errors import LoadError
from bench.perf.result import Result
from bench.perf.run import Target
from bench.perf.scenarios import SCENARIOS
from bench.perf.session import OnProgress, run_scenario

HALF: Final = 0.5
SCENARIOS_DEFAULT: Final = ("transient", "confirm", "persistent")
HALF_OF: Final = "half_of"
"""In `setup`: whose maximum the rate is the half of."""
RATE: Final = "rate"
"""In `setup`: messages per second in all."""


def maxima(results: Sequence[Result], scenario: str) -> dict[str, float]:
    """Messages per second of each broker, at most, in a scenario of one step: medians of good runs."""
    rows = figures([one for one in results if one.scenario == scenario])
    return {row.name: row.rate for row in rows if row.rate}


def half_load(
    targets: Sequence[Target], compared: Sequence[Result], scenarios: Iterable[str], *, repetitions: int,
    seconds: float, warmup_s: float, on_results: Callable[[list[Result]], None] | None = None,
    on_progress: OnProgress | None = None,
) -> list[Result]:
    """All raw results; `compared` are those of `compare` on the same brokers, which tell the maxima."""
    everything: list[Result] = []
    for scenario in scenarios:
        carried = maxima(compared, scenario)
        missing = [target.name for target in targets if target.name not in carried]
        if missing:
            raise LoadError(f"{scenario}: it is not known what {', '.join(missing)} can carry: compare first")
        of_scenario: list[Result] = []
        for owner in targets:
            rate = round(HALF * carried[owner.name])
            able = [target for target in targets if carried[target.name] >= rate]
            for repetition, target in itertools.product(range(repetitions), able):
                changes = {"rate": rate / producers(scenario)}
                try:
                    (result,) = run_scenario(target, scenario, seconds=seconds, warmup_s=warmup_s, changes=changes,
                                             on_progress=on_progress)
                except LoadError as error:
                    result = Result(scenario=scenario, error=str(error))
                result.name, result.repetition = target.name, repetition
                result.setup = {HALF_OF: owner.name, RATE: rate}
                of_scenario.append(result)
        everything += of_scenario
        if on_results is not None:
            on_results(of_scenario)
    return everything


def producers(scenario: str) -> int:
    """The rate of a load is that of each of them."""
    return int(SCENARIOS[scenario][0].options.get("producers", 1))
