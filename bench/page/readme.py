"""The part of README.md that comes from the results, between two comments that mark it."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from tabulate import tabulate

from bench.page.kept import Kept
from bench.page.origin import origin
from bench.page.targets import BASE, SUBJECT
from bench.page.versus import Versus, versus
from bench.perf.errors import LoadError

BEGIN: Final = "<!-- results: written by `make bench` -->"
END: Final = "<!-- end of the results -->"
HEADERS: Final = ("scenario", "Warren msgs/s", "× RabbitMQ", "CPU us/msg", "× RabbitMQ")


def write(readme: Path, kept: Kept, plot: Path | None, page: Path) -> None:
    """LoadError where README has no such marks. Without results of both brokers it stays as it is."""
    text = readme.read_text()
    begin, end = text.find(BEGIN), text.find(END)
    if begin < 0 or end < begin:
        raise LoadError(f"{readme}: there is no {BEGIN!r} with {END!r} after it")
    found = versus(kept.compared)
    if not found:
        return
    shown = [one for one in kept.compared if one.name in (BASE, SUBJECT)
             and one.scenario in {row.goal.scenario.partition("/")[0] for row in found}]
    blocks = [f"{origin(shown)} [All results]({_link(page, readme)}), with goals, latencies and plots.", table(found)]
    if plot is not None:
        blocks.append(f"![messages per second and CPU time per message beside RabbitMQ's]({_link(plot, readme)})")
    readme.write_text(text[: begin + len(BEGIN)] + "\n" + "\n\n".join(blocks) + "\n" + text[end:])


def table(found: list[Versus]) -> str:
    lines = [
        (one.goal.label, f"{one.subject.rate or 0:,.0f}", f"**{one.rate or 0:.1f}**",
         f"{one.subject.cpu_us:.2f}" if one.subject.cpu_us else "-", f"**{one.cpu:.2f}**" if one.cpu else "-")
        for one in found
    ]
    return tabulate(lines, headers=HEADERS, tablefmt="github", disable_numparse=True,
                    colalign=("left", "right", "right", "right", "right"))


def _link(file: Path, readme: Path) -> str:
    return os.path.relpath(file, readme.parent)
