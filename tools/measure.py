"""`make bench`: everything that the results page shows, to bench/results, bench/RESULTS.md and README.md.

    brokers         the scenarios with goals on RabbitMQ and Warren in turn
    sizes           bodies of other sizes, on both
    calls           requests and replies, basic.get, confirms one by one, on both
    half-load       latency of both at the same rate, half of what each can carry (needs the results of brokers)
    churn           connections opened and closed, queues declared, on both
    footprint       memory and growth               (python -m bench.footprint)
    growth          how the cost of a message grows with 10,000 of something, and of a queue with processes, the same
    deep-backlog    memory per message with 10,000,000 of them, the same
    startup         start, recovery, idle           (python -m bench.startup)
    scaling         Warren over gateways and shards

Parts can be run alone (--only brokers,calls), and single scenarios (--scenario persistent): what bench/results has of
the others stays. A part or a scenario that fails is told, and the others are run all the same. RabbitMQ is Debian's
package, where it is installed. Brokers keep their data in one directory, which is deleted; only one is under load at a
time, and one that died is started again.
"""
from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final

from bench.page.page import write_page
from bench.page.targets import CALLS, CHURN_GOALS, GOALS, SIZES
from bench.perf.compare import compare, failures, figures, table
from bench.perf.errors import LoadError
from bench.perf.half_load import SCENARIOS_DEFAULT, half_load
from bench.perf.output import from_json, to_json
from bench.perf.result import Result
from bench.perf.scaling import rows, scale
from bench.perf.scaling import table as scaling_table
from bench.perf.scenarios import SCENARIOS
from tests.harness import oracle
from tools.brokers import Brokers

ROOT: Final = Path(__file__).resolve().parent.parent
GAP_S: Final = 0.5
PROGRAM_TIMEOUT_S: Final = 3600.0
FAILED: Final = 1
CHURN: Final = "churn"
DEEP_BACKLOG: Final = "deep-backlog"
GROWTH: Final = "growth"
GROWTH_SUBJECTS: Final = (
    "queues-many-processes", "growth-queues", "growth-churn", "growth-connections", "growth-bindings")
"""Not that of a backlog, which takes minutes: it has to be filled with 10,000,000 messages twice."""
FOOTPRINT_ARGUMENTS: Final = "--scale 0.2 --subject idle --subject connections --subject queues --subject messages"
"""At full scale, and with growth, it takes half an hour. At a smaller one what each process has once would count."""
CALLING: Final = tuple(dict.fromkeys(call.scenario.partition("/")[0] for call in CALLS))
SIZED: Final = tuple(name for name, *_ in SIZES if name not in {goal.scenario for goal in GOALS})
LEFT_OUT: Final = frozenset({"transient4"})
"""There is no goal for them, and everything is to take less than 35 minutes."""


class Measurement:
    """The parts, each a method, and where they keep what they found."""

    def __init__(self, options: argparse.Namespace, directory: Path) -> None:
        self.options = options
        self.directory = directory
        self.failed: list[str] = []
        names = ["warren"] if options.without_rabbitmq or oracle.installed() is None else ["rabbitmq", "warren"]
        self.brokers = Brokers(directory, names, options.gateways, options.shards)

    def run(self, parts: Sequence[str]) -> None:
        """One after the other, whatever happens to each."""
        took_s: dict[str, float] = {}
        try:
            for part in parts:
                began_s = time.monotonic()
                self._guarded(part, PARTS[part], self)
                took_s[part] = time.monotonic() - began_s
                told(f"{part}: {took_s[part]:.0f} s")
        finally:
            self.brokers.stop()
            if took_s:
                told(f"measured in {sum(took_s.values()) / 60:.1f} minutes: "
                     + ", ".join(f"{part} {seconds:.0f} s" for part, seconds in took_s.items()))

    def _guarded(self, what: str, do: Callable[..., None], *arguments: object) -> None:
        try:
            do(*arguments)
        except LoadError as error:
            self.failed.append(f"{what}: {error}")
        except Exception as error:
            traceback.print_exc()
            self.failed.append(f"{what}: {error!r}")
        else:
            return
        told(self.failed[-1])

    # -- parts

    def compare_brokers(self) -> None:
        of_others = {*CALLING, *SIZED}
        scenarios = [name for name in SCENARIOS if not name.startswith(CHURN) and name not in of_others]
        self._compare("brokers", scenarios, LEFT_OUT)

    def compare_sizes(self) -> None:
        self._compare("sizes", SIZED)

    def compare_calls(self) -> None:
        self._compare("calls", CALLING)

    def compare_churn(self) -> None:
        churns = [name for name in SCENARIOS if name.startswith(CHURN)]
        self._compare("churn", churns, set(churns) - {goal.scenario for goal in CHURN_GOALS})

    def _compare(self, name: str, scenarios: Sequence[str], left_out: Collection[str] = ()) -> None:
        """`left_out` are only measured where they are asked for."""
        for scenario in scenarios:
            if scenario not in self.options.scenario if self.options.scenario else scenario in left_out:
                continue
            self._guarded(scenario, self._compare_scenario, name, scenario)

    def _compare_scenario(self, name: str, scenario: str) -> None:
        results = compare(
            self.brokers.targets(), [scenario], repetitions=self.options.reps, seconds=self.options.seconds,
            warmup_s=self.options.warmup, count=self.options.count, gap_s=GAP_S,
        )
        told(table(figures(results)))
        self.failed += failures(results)
        self._keep(name, results)

    def half_load(self) -> None:
        compared = self._kept("brokers")
        for scenario in SCENARIOS_DEFAULT:
            if self.options.scenario and scenario not in self.options.scenario:
                continue
            self._guarded(f"half load {scenario}", self._half_load, compared, scenario)

    def _half_load(self, compared: Sequence[Result], scenario: str) -> None:
        results = half_load(self.brokers.targets(), compared, [scenario], repetitions=self.options.reps,
                            seconds=self.options.seconds, warmup_s=self.options.warmup)
        told(table(figures(results)))
        self.failed += failures(results)
        self._keep("half-load", results)

    def scaling(self) -> None:
        """With no other broker beside it."""
        self.brokers.stop()
        numbers = [[int(part) for part in text.split(",")]
                   for text in (self.options.scaling_gateways, self.options.scaling_shards)]
        setups = [(gateways, shards) for gateways in numbers[0] for shards in numbers[1]]
        results = scale(setups, self.options.scaling_scenario, repetitions=self.options.reps,
                        seconds=self.options.seconds, warmup_s=self.options.warmup, directory=self.directory)
        told(scaling_table(rows(results)))
        self.failed += failures(results)
        self._file("scaling").write_bytes(to_json(results))

    def footprint(self) -> None:
        self._program("footprint")

    def deep_backlog(self) -> None:
        self._program("footprint", "footprint-backlog", f"--subject {DEEP_BACKLOG}")

    def growth(self) -> None:
        """At full scale: with fewer there is nothing to be seen."""
        self._program("footprint", "footprint-growth", " ".join(f"--subject {name}" for name in GROWTH_SUBJECTS))

    def startup(self) -> None:
        self._program("startup")

    def _program(self, program: str, name: str | None = None, arguments: str | None = None) -> None:
        """Writes its figures itself, and starts its own brokers."""
        self.brokers.stop()
        command = [sys.executable, "-m", f"bench.{program}", "--json", str(self._file(name or program)),
                   *(arguments or getattr(self.options, f"{program}_arguments")).split()]
        done = subprocess.run(command, cwd=ROOT, timeout=PROGRAM_TIMEOUT_S)
        if done.returncode:
            raise LoadError(f"{' '.join(command)} ended with exit status {done.returncode}")

    # -- what is kept

    def _file(self, name: str) -> Path:
        return Path(self.options.results) / f"{name}.json"

    def _kept(self, name: str) -> list[Result]:
        file = self._file(name)
        return from_json(file.read_bytes()) if file.exists() else []

    def _keep(self, name: str, results: Sequence[Result]) -> None:
        """In place of what there was of the same scenario; the order is that of the scenarios. Ctrl-C ends it all."""
        if any(one.interrupted for one in results):
            raise KeyboardInterrupt
        anew = {one.scenario for one in results}
        kept = [one for one in self._kept(name) if one.scenario not in anew] + list(results)
        order = list(SCENARIOS)
        kept.sort(key=lambda one: order.index(one.scenario) if one.scenario in order else len(order))
        self._file(name).write_bytes(to_json(kept))


PARTS: Final[dict[str, Callable[[Measurement], None]]] = {
    "brokers": Measurement.compare_brokers,
    "sizes": Measurement.compare_sizes,
    "calls": Measurement.compare_calls,
    "half-load": Measurement.half_load,
    "churn": Measurement.compare_churn,
    "footprint": Measurement.footprint,
    GROWTH: Measurement.growth,
    DEEP_BACKLOG: Measurement.deep_backlog,
    "startup": Measurement.startup,
    "scaling": Measurement.scaling,
}


def told(text: str) -> None:
    """At once, as a run takes long."""
    print(text + "\n", flush=True)


def parts_of(text: str) -> list[str]:
    """Of --only; ArgumentTypeError names what there is."""
    named = text.split(",")
    unknown = [part for part in named if part not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    return named


def parsed(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.measure", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=parts_of, default=list(PARTS), metavar="PART,PART...", help="default: all")
    parser.add_argument("--scenario", action="append", default=[], choices=list(SCENARIOS), metavar="NAME",
                        help="of the parts on both brokers; repeatable; default: those that the page shows")
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--warmup", type=float, default=1)
    parser.add_argument("--count", type=int, default=200_000, help="messages of the backlog scenario")
    parser.add_argument("--gateways", type=int, default=None, help="default: as `warren serve` chooses")
    parser.add_argument("--shards", type=int, default=None)
    parser.add_argument("--scaling-gateways", default="1,2")
    parser.add_argument("--scaling-shards", default="1,2")
    parser.add_argument("--scaling-scenario", default="confirm")
    parser.add_argument("--footprint-arguments", default=FOOTPRINT_ARGUMENTS,
                       help="of python -m bench.footprint, in one string")
    parser.add_argument("--startup-arguments", default="--idle-seconds 10 --rounds 2",
                        help="of python -m bench.startup, in one string")
    parser.add_argument("--directory", type=Path, default=None, help="for the brokers' data; default: a temporary one")
    parser.add_argument("--results", type=Path, default=ROOT / "bench" / "results")
    parser.add_argument("--page", type=Path, default=ROOT / "bench" / "RESULTS.md")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    parser.add_argument("--without-rabbitmq", action="store_true")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    """Parse, measure, write; 1 where something failed."""
    options = parsed(given)
    options.results.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.directory) as directory:
        measurement = Measurement(options, Path(directory))
        try:
            measurement.run(options.only)
        except KeyboardInterrupt:
            measurement.failed.append("interrupted: the rest was not measured")
    for file in write_page(options.results, options.page, options.readme):
        told(f"wrote {file}")
    for line in measurement.failed:
        print(f"failed: {line}", file=sys.stderr)
    return FAILED if measurement.failed else 0


if __name__ == "__main__":
    sys.exit(main())
