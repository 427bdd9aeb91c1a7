"""The results page: raw results of `compare` and `scaling` as tables and plots in one Markdown file.

Everything on it comes from the JSON files of a directory; the plots go to a folder beside them.
"""
from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.perf import compare, scaling
from bench.perf.errors import LoadError
from bench.perf.machine import described
from bench.perf.output import from_json
from bench.perf.plots import plot_comparison, plot_runs, plot_scaling
from bench.perf.result import Result

PLOTS: Final = "plots"
PLOTTED: Final = ("confirm", "persistent", "backlog", "many", "latency", "latency_dur")
"""Scenarios whose runs are drawn one by one: where the course over time or the tail of the latency says something."""
HEAD: Final = """# Results

Made by `warren perf page` from the raw results in [{directory}]({directory}), which hold every single run;
[README.md](README.md) says what the scenarios and the columns mean.
"""


def write_page(directory: Path, page: Path) -> list[Path]:
    """Writes the page and its plots; returns all files that were written. LoadError where there is nothing to show."""
    sources = sorted(directory.glob("*.json"))
    if not sources:
        raise LoadError(f"there are no results (*.json) in {directory}")
    plots = directory / PLOTS
    plots.mkdir(exist_ok=True)
    place = os.path.relpath(directory, page.parent)
    blocks, written = [HEAD.format(directory=place)], [page]
    for source in sources:
        try:
            results = from_json(source.read_bytes())
        except ValueError as error:
            raise LoadError(f"{source}: no results: {error}") from None
        section = _scaling if any(one.setup for one in results) else _comparison
        text, files = section(source.stem, results, plots, f"{place}/{PLOTS}")
        blocks.append(f"## {source.stem.replace('-', ' ').capitalize()}\n\n{_origin(results)}\n\n{text}\n")
        written += files
    page.write_text("\n".join(blocks))
    return written


def _origin(results: Sequence[Result]) -> str:
    """Where and when, and what was measured."""
    good = [one for one in results if one.error is None]
    brokers = list(dict.fromkeys(one.broker for one in good))
    days = sorted({one.started_at[:10] for one in good})
    machines = list(dict.fromkeys(described(one.machine) for one in good if one.machine))
    seconds = sorted({one.options["seconds"] for one in good if one.options.get("seconds")})
    runs = 1 + max((one.repetition for one in results), default=0)
    window = f", {' or '.join(f'{value:g}' for value in seconds)} s each" if seconds else ""
    return (f"{', '.join(brokers) or 'No broker'}; {' to '.join(dict.fromkeys((days[0], days[-1]))) if days else ''}; "
            f"{'; '.join(machines)}. {runs} run{'s' if runs > 1 else ''} of each{window}; the load runs on the same "
            "machine.")


def _comparison(stem: str, results: Sequence[Result], plots: Path, place: str) -> tuple[str, list[Path]]:
    rows = compare.figures(results)
    blocks = [compare.table(rows, "github")]
    failed = compare.failures(results)
    if failed:
        blocks.append("Runs that count in no median:\n\n" + "\n".join(f"- {line}" for line in failed))
    files = []
    if any(row.good for row in rows):
        files.append(plots / f"{stem}.svg")
        plot_comparison(results, files[-1])
        blocks.append(_image(f"{stem}: brokers side by side", place, files[-1]))
    for scenario in PLOTTED:
        chosen = _typical(results, scenario)
        if chosen:
            files.append(plots / f"{stem}-{scenario}.svg")
            plot_runs(chosen, files[-1])
            blocks.append(f"### {scenario}\n\n{_image(f'{scenario}: latency and throughput', place, files[-1])}")
    return "\n\n".join(blocks), files


def _scaling(stem: str, results: Sequence[Result], plots: Path, place: str) -> tuple[str, list[Path]]:
    found = scaling.rows(results)
    machine = next((one.machine for one in results if one.machine), {})
    scenarios = ", ".join(dict.fromkeys(one.scenario or "" for one in results))
    blocks = [f"Scenario {scenarios}, with {scaling.PER_PROCESS} producers, consumers and queues for each gateway or "
              "shard.", scaling.table(found, "github"), *scaling.remarks(found, machine)]
    if not found:
        return "\n\n".join(blocks), []
    file = plots / f"{stem}.svg"
    plot_scaling(found, file)
    return "\n\n".join([*blocks, _image(f"{stem}: measured and calculated", place, file)]), [file]


def _typical(results: Sequence[Result], scenario: str) -> list[Result]:
    """Of each broker, and each step, the good run in the middle."""
    groups: dict[tuple[str, str | None], list[Result]] = {}
    for one in results:
        if one.scenario == scenario and one.ok:
            groups.setdefault((one.name, one.step), []).append(one)
    # all have the same repetition, which the labels then leave out
    return [sorted(runs, key=lambda one: one.rate)[len(runs) // 2].model_copy(update={"repetition": 0})
            for runs in groups.values()]


def _image(text: str, place: str, file: Path) -> str:
    return f"![{text}]({place}/{file.name})"
