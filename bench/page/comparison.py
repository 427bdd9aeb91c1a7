"""The section on brokers side by side: medians of every scenario, and the runs in the middle drawn one by one."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.perf import compare
from bench.perf.plots import plot_comparison, plot_runs
from bench.perf.result import Result

PLOTTED: Final = ("confirm", "persistent", "backlog", "many", "latency", "latency_dur")
"""Scenarios whose runs are drawn: where the course over time or the tail of the latency says something."""


def section(stem: str, results: Sequence[Result], plots: Path, place: str) -> tuple[str, list[Path]]:
    """Text and files."""
    rows = compare.figures(results)
    blocks = [compare.table(rows, "github")]
    failed = compare.failures(results)
    if failed:
        blocks.append("Runs that count in no median:\n\n" + "\n".join(f"- {line}" for line in failed))
    files = []
    if any(row.good for row in rows):
        files.append(plots / f"{stem}.svg")
        plot_comparison(results, files[-1])
        blocks.append(image(f"{stem}: brokers side by side", place, files[-1]))
    for scenario in PLOTTED:
        chosen = typical(results, scenario)
        if chosen:
            files.append(plots / f"{stem}-{scenario}.svg")
            plot_runs(chosen, files[-1])
            blocks.append(f"### {scenario}\n\n{image(f'{scenario}: latency and throughput', place, files[-1])}")
    return "\n\n".join(blocks), files


def typical(results: Sequence[Result], scenario: str) -> list[Result]:
    """Of each broker, and each step, the good run in the middle."""
    groups: dict[tuple[str, str | None], list[Result]] = {}
    for one in results:
        if one.scenario == scenario and one.ok:
            groups.setdefault((one.name, one.step), []).append(one)
    # all have the same repetition, which the labels then leave out
    return [sorted(runs, key=lambda one: one.rate)[len(runs) // 2].model_copy(update={"repetition": 0})
            for runs in groups.values()]


def image(text: str, place: str, file: Path) -> str:
    return f"![{text}]({place}/{file.name})"
