"""The results page: everything that a directory of raw results holds, in one Markdown file with plots beside them.

Nothing on it comes from anywhere else, so it can be made again at any time.
"""
from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from bench.page import agreement, comparison, half_load, measures, readme, scaling, versus
from bench.page.kept import read
from bench.page.origin import origin
from bench.perf.result import Result

PLOTS: Final = "plots"
HEAD: Final = """# Results

Made by `warren perf page` (`make bench`) from the raw results in [{directory}]({directory}), which hold every single
run; [README.md](README.md) says what the scenarios and the columns mean.
"""
GOALS_TITLE: Final = "Goals"
AGREEMENT_TEXT: Final = """`warren perf` beside amqpload, an independent load generator in C, with the same options:
medians of runs in turn on one broker. Ratios are those of `warren perf` to amqpload; `spread` is the wider one of the
two tools' own runs. On the server that only answers (`nullbroker`) both show what they can do at most.
"""

Section = Callable[[str, Sequence[Result], Path, str], tuple[str, list[Path]]]


def write_page(directory: Path, page: Path, readme_file: Path | None = None) -> list[Path]:
    """Writes the page and its plots; returns all files that were written. LoadError where there is nothing to show."""
    kept = read(directory)
    plots = directory / PLOTS
    plots.mkdir(exist_ok=True)
    place = os.path.relpath(directory, page.parent)
    written = [page]
    blocks = [HEAD.format(directory=place)]

    def add(title: str, text: str) -> None:
        if text:
            blocks.append(f"## {title[:1].upper()}{title[1:].replace('-', ' ')}\n\n{text}\n")

    goals, plot = versus.section(kept, plots, f"{place}/{PLOTS}")
    add(GOALS_TITLE, goals)
    written += plot
    sections: tuple[tuple[dict[str, list[Result]], Section], ...] = (
        (kept.comparisons, comparison.section), (kept.half_loads, half_load.section), (kept.scalings, scaling.section))
    for results_by_name, section in sections:
        for name, results in results_by_name.items():
            text, files = section(name, results, plots, f"{place}/{PLOTS}")
            add(name, f"{origin(results)}\n\n{text}")
            written += files
    for name, figures in kept.measures.items():
        add(name, measures.table(figures))
    for runs in kept.agreements.values():
        add("The load tool", f"{AGREEMENT_TEXT}\n{agreement.text(runs, 'github')}")
    page.write_text("\n".join(blocks))
    if readme_file is not None:
        readme.write(readme_file, kept, plot[0] if plot else None, page)
        written.append(readme_file)
    return written
