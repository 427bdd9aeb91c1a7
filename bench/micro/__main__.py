"""`python -m bench.micro [NAME...]`: what each compiled module costs, measured with pyperf, as a table.

A NAME is a room (amqp091, bus, gateway, log, shards, topology) or a part of a case's name; none: everything. pyperf's
options are taken, too: `-o FILE` keeps the values as JSON, which `python -m pyperf compare_to BEFORE AFTER` compares.
"""
from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyperf
from tabulate import tabulate

from bench.micro import amqp091, bus, gateway, log, shards, topology
from bench.micro.case import Case, Timed

ROOMS: Final[dict[str, Sequence[Case]]] = {
    "amqp091": amqp091.CASES,
    "bus": bus.CASES,
    "gateway": gateway.CASES,
    "log": log.CASES,
    "shards": shards.CASES,
    "topology": topology.CASES,
}
PROCESSES: Final = 3
VALUES: Final = 3
VALUE_S: Final = 0.05
"""Of the clock at least, for each value. pyperf's own defaults take ten times as long, for another digit."""
NS: Final = 1e9


def cases(names: Sequence[str]) -> Iterator[tuple[str, Case]]:
    """(title, case) of those that a name fits."""
    for room, found in ROOMS.items():
        for case in found:
            title = f"{room}: {case.name}"
            if not names or any(name == room or name.lower() in title.lower() for name in names):
                yield title, case


class Prepared:
    """A case that is set up when it is first asked for: in the process that measures it, and nowhere else."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self._timed: Timed | None = None

    def __call__(self, loops: int) -> float:
        if self._timed is None:
            self._directory = tempfile.TemporaryDirectory(prefix="bench-micro-")
            self._timed = self.case.prepare(Path(self._directory.name), self.case.units)
        return self._timed(loops)


def hand_on(command: list[str], options: argparse.Namespace) -> None:
    """To the processes that pyperf starts."""
    command.extend(options.names)


def table(results: Sequence[tuple[str, Case, Any]]) -> str:
    """Nanoseconds for each unit, with the standard deviation."""
    lines = [
        (title, f"{NS * found.mean():,.1f}", f"{found.stdev() / found.mean():.0%}" if found.get_nvalue() > 1 else "",
         case.unit)
        for title, case, found in results
    ]
    return tabulate(lines, headers=("case", "ns", "+-", "per"), tablefmt="simple", disable_numparse=True,
                    colalign=("left", "right", "right", "left"))


def main() -> int:
    """Parse, measure, print; 2 where no case has such a name."""
    runner = pyperf.Runner(processes=PROCESSES, values=VALUES, min_time=VALUE_S, warmups=1, add_cmdline_args=hand_on,
                           program_args=("-m", "bench.micro"))
    runner.argparser.description = __doc__
    runner.argparser.add_argument("names", nargs="*", metavar="NAME")
    options = runner.parse_args()
    chosen = list(cases(options.names))
    if not chosen:
        wanted = " or ".join(options.names)
        print(f"no case is called {wanted}; there are the rooms {', '.join(ROOMS)}", file=sys.stderr)
        return 2
    results = []
    for title, case in chosen:
        found = runner.bench_time_func(title, Prepared(case), inner_loops=case.units)
        if found is not None and not options.worker:
            results.append((title, case, found))
    if results and not options.pipe:
        print("\n" + table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
