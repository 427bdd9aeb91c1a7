"""The section on latency at half of the load that a broker can carry: a table, and the latencies by percentile."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from bench.page.measures import met_text
from bench.page.targets import BASE, SUBJECT
from bench.perf.compare import Figures, figures
from bench.perf.half_load import HALF_OF, RATE
from bench.perf.output import duration
from bench.perf.plots import plot_latencies
from bench.perf.result import Result

HEADERS = ("scenario", "half of", "msgs/s", "broker", "reached", "p50", "p99", "CPU us/msg", "p99 below RabbitMQ's",
           "good")


def section(stem: str, results: Sequence[Result], plots: Path, place: str) -> tuple[str, list[Path]]:
    """Text and files."""
    lines = []
    for scenario, owner, rate, rows in groups(results):
        base = next((row for row in rows if row.name == BASE), None)
        for row in rows:
            lines.append((scenario, owner, f"{rate:,.0f}", row.name, _number(row.rate), _duration(row.p50_us),
                          _duration(row.p99_us), _number(row.cpu_us, 2), met_text(below(row, base)),
                          f"{row.good}/{row.runs}"))
    table = tabulate(lines, headers=HEADERS, tablefmt="github", disable_numparse=True,
                     colalign=("left", "left", "right", "left", *["right"] * 4, "left", "right"))
    blocks = ["Half of a broker's own maximum, and the other at the same rate, if it can carry it.", table]
    files = []
    for plotted in dict.fromkeys(one.scenario for one in results if one.ok):
        chosen = _shown([one for one in results if one.scenario == plotted and one.ok])
        files.append(plots / f"{stem}-{plotted}.svg")
        plot_latencies(chosen, files[-1])
        blocks.append(f"![{plotted}: latency at half load]({place}/{files[-1].name})")
    return "\n\n".join(blocks), files


def groups(results: Sequence[Result]) -> list[tuple[str, str, float, list[Figures]]]:
    """(scenario, whose half, rate, figures of each broker)"""
    keys = dict.fromkeys((one.scenario or "", one.setup[HALF_OF], one.setup[RATE]) for one in results)
    return [
        (scenario, owner, rate, figures([one for one in results if one.scenario == scenario
                                         and (one.setup[HALF_OF], one.setup[RATE]) == (owner, rate)]))
        for scenario, owner, rate in keys
    ]


def below(row: Figures, base: Figures | None) -> bool | None:
    """Whether Warren's p99 is below RabbitMQ's at the same rate."""
    if row.name != SUBJECT or base is None or base.p99_us is None or row.p99_us is None:
        return None
    return row.p99_us <= base.p99_us


def _shown(results: Sequence[Result]) -> list[tuple[str, Result]]:
    """The run in the middle of each broker and rate, with a label behind the broker's name."""
    found: dict[tuple[str, float], list[Result]] = {}
    for one in results:
        found.setdefault((one.name, one.setup[RATE]), []).append(one)
    return [(f", {rate:,.0f} per second", sorted(runs, key=_p99)[len(runs) // 2])
            for (_, rate), runs in found.items()]


def _p99(one: Result) -> float:
    return one.shown_latency.p99_us if one.shown_latency else 0.0


def _number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _duration(value: float | None) -> str:
    return "-" if value is None else duration(value)
