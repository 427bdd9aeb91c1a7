"""Several brokers side by side: every scenario on each in turn (A B A B ...), then medians and ratios to the first.

A run that failed, or that the verification found at fault, counts in no median; how many were good is told. All raw
results are kept, in the order in which they were run.
"""
from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tabulate import tabulate

from bench.perf.errors import LoadError
from bench.perf.output import MIB, duration, faults
from bench.perf.result import Result
from bench.perf.run import Target
from bench.perf.scenarios import COUNT_DEFAULT
from bench.perf.session import OnProgress, run_scenario

REPETITIONS_DEFAULT: Final = 3
GAP_S_DEFAULT: Final = 1.0
"""After each run, for what a broker does behind it."""

Value = Callable[[Result], float | None]


@dataclass(frozen=True)
class Figures:
    """Medians of the good runs of one broker in one step of a scenario."""

    title: str                              # scenario, with its step where it has several
    name: str                               # of the broker
    good: int
    runs: int
    rate: float | None
    spread: float | None                    # of the rates: highest less lowest, as a part of the median
    cpu_us: float | None
    p50_us: float | None
    p99_us: float | None
    confirm_p50_us: float | None
    confirm_p99_us: float | None
    memory_bytes: float | None
    generator: float | None                 # busiest process of the load, at most


def compare(
    targets: Sequence[Target], scenarios: Iterable[str], *, repetitions: int, seconds: float, warmup_s: float,
    count: int = COUNT_DEFAULT, gap_s: float = GAP_S_DEFAULT, changes: dict[str, Any] | None = None,
    on_results: Callable[[list[Result]], None] | None = None, on_progress: OnProgress | None = None,
) -> list[Result]:
    """All raw results. `on_results` has those of one scenario, as soon as it is through. Ctrl-C ends it early."""
    everything: list[Result] = []
    for scenario in scenarios:
        of_scenario: list[Result] = []
        for repetition, target in itertools.product(range(repetitions), targets):
            try:
                found = run_scenario(target, scenario, seconds=seconds, warmup_s=warmup_s, count=count,
                                     changes=changes, on_progress=on_progress)
            except LoadError as error:
                found = [Result(scenario=scenario, error=str(error))]
            for result in found:
                result.name, result.repetition = target.name, repetition
            of_scenario += found
            if any(result.interrupted for result in found):
                return everything + of_scenario
            time.sleep(gap_s)
        everything += of_scenario
        if on_results is not None:
            on_results(of_scenario)
    return everything


def figures(results: Sequence[Result]) -> list[Figures]:
    """A row for each step and broker, in the order of the results."""
    steps = list(dict.fromkeys((one.scenario, one.step) for one in results if one.error is None))
    steps += [(one.scenario, None) for one in results if one.scenario not in {scenario for scenario, _ in steps}]
    names = list(dict.fromkeys(one.name for one in results))
    return [_figures(scenario, step, name, results) for scenario, step in dict.fromkeys(steps) for name in names]


def _figures(scenario: str | None, step: str | None, name: str, results: Sequence[Result]) -> Figures:
    runs = [one for one in results if one.scenario == scenario and one.name == name
            and (one.step == step or one.error is not None)]
    good = [one for one in runs if one.ok]
    rates = [one.rate for one in good]
    rate = _median(good, lambda one: one.rate)
    return Figures(
        title="/".join(filter(None, (scenario, step))),
        name=name,
        good=len(good),
        runs=len(runs),
        rate=rate,
        spread=(max(rates) - min(rates)) / rate if rate else None,
        cpu_us=_median(good, lambda one: one.broker_use.cpu_us_per_message if one.broker_use else None),
        p50_us=_median(good, lambda one: one.shown_latency.p50_us if one.shown_latency else None),
        p99_us=_median(good, lambda one: one.shown_latency.p99_us if one.shown_latency else None),
        confirm_p50_us=_median(good, lambda one: one.confirm_latency.p50_us if one.confirm_latency else None),
        confirm_p99_us=_median(good, lambda one: one.confirm_latency.p99_us if one.confirm_latency else None),
        memory_bytes=_median(good, lambda one: (one.broker_use.pss_peak_bytes or one.broker_use.rss_peak_bytes)
                             if one.broker_use else None),
        generator=max((one.generator.busiest_process for one in good if one.generator), default=None),
    )


def _median(results: Sequence[Result], value: Value) -> float | None:
    values = [found for one in results if (found := value(one)) is not None]
    return statistics.median(values) if values else None


# -- shown

HEADERS: Final = ("scenario", "broker", "msgs/s", "spread", "ratio", "CPU us/msg", "ratio", "p50", "p99", "memory MiB",
                  "load busy", "good")


def table(rows: Sequence[Figures], tablefmt: str = "simple") -> str:
    """One line per broker and step; ratios are to the first broker."""
    first = {row.title: row for row in reversed(rows)}
    lines = []
    previous = None
    for row in rows:
        base = first[row.title]
        lines.append((
            row.title if row.title != previous else "",
            row.name,
            _number(row.rate),
            _percent(row.spread),
            ratio(row.rate, base.rate),
            _number(row.cpu_us, 2),
            ratio(row.cpu_us, base.cpu_us),
            _duration(row.p50_us),
            _duration(row.p99_us),
            _number(row.memory_bytes / MIB if row.memory_bytes else None),
            _percent(row.generator),
            f"{row.good}/{row.runs}",
        ))
        previous = row.title
    return tabulate(lines, headers=HEADERS, tablefmt=tablefmt, disable_numparse=True,
                    colalign=("left", "left", *["right"] * (len(HEADERS) - 2)))


def failures(results: Sequence[Result]) -> list[str]:
    """What was wrong with runs that count in no median."""
    return [
        f"{'/'.join(filter(None, (one.scenario, one.step)))} on {one.name}, run {one.repetition + 1}: "
        f"{one.error or ', '.join(faults(one.verification))}"
        for one in results if not one.ok
    ]


def ratio(value: float | None, base: float | None) -> str:
    return f"{value / base:.2f}" if value is not None and base else "-"


def _number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _percent(part: float | None) -> str:
    return "-" if part is None else f"{part:.0%}"


def _duration(microseconds: float | None) -> str:
    return "-" if microseconds is None else duration(microseconds)
